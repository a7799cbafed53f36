"""Turn drives of the reference world into episodes, in parallel; run again, it goes on where it stopped."""

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from worldmodel.datasets import lerobot
from worldmodel.datasets.contact_sheet import write_contact_sheet
from worldmodel.datasets.episodes import EpisodeInfo, EpisodeWriter
from worldmodel.datasets.prepare import parse_size
from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options


def write_drive(seed: int, args: argparse.Namespace, fixed: dict) -> float:
    """Render one seed's drive and write its episode; returns the CPU seconds it took, 0 where it was there."""
    writer = EpisodeWriter(args.out)
    if writer.is_complete(seed - args.first_seed, 0):
        return 0.0
    begun = time.process_time()
    camera = canonical_camera(*args.size, height_m=args.camera_height_m)
    drive = render_drive(draw_options(seed, **fixed), round(args.seconds * 10), camera=camera)
    name, mask, caption = f"reference-{seed:06d}", np.ones(args.size, dtype=bool), drive.tags.caption
    info = EpisodeInfo(name, name, camera, mask, "measured", "measured", caption, "Apache-2.0", "reference")
    rows = drive.frames, drive.t_s, drive.motion, drive.tags
    writer.write(info, *rows, drive=seed - args.first_seed, part=0, columns=drive.columns)
    return time.process_time() - begun


def main() -> None:
    """Parse the command line, render, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, default=Path("data/cache/reference"), help="folder of the episodes")
    add("--drives", type=int, default=200)
    add("--seconds", type=float, default=60.0, help="of every drive")
    add("--first-seed", type=int, default=0)
    add("--size", type=parse_size, default=(128, 256), help="height x width, as 128x256")
    add("--camera-height-m", type=float, default=1.4)
    add("--workers", type=int, default=os.cpu_count() or 1)
    add("--fix", action="append", default=[], metavar="OPTION=VALUE", help="e.g. weather=clear")
    args = parser.parse_args()
    fixed = dict(part.split("=", 1) for part in args.fix)
    draw_options(args.first_seed, **fixed)
    args.out.mkdir(parents=True, exist_ok=True)
    recipe = {k: v for k, v in vars(args).items() if k not in ("out", "workers", "drives")} | {"fix": fixed}
    about, text = args.out / "reference.json", json.dumps(recipe, default=str, indent=1)
    if about.exists() and about.read_text() != text:
        raise ValueError(f"{args.out}: was begun with {about.read_text()}; choose another --out")
    about.write_text(text)
    spawn, cpu_s, rendered = multiprocessing.get_context("spawn"), 0.0, 0
    with ProcessPoolExecutor(args.workers, spawn, cv2.setNumThreads, (1,)) as pool:
        seeds = range(args.first_seed, args.first_seed + args.drives)
        jobs = [pool.submit(write_drive, seed, args, fixed) for seed in seeds]
        for job in tqdm(as_completed(jobs), "reference", len(jobs), unit="drive"):
            cpu_s, rendered = cpu_s + job.result(), rendered + (job.result() > 0)
    lerobot.rebuild_meta(args.out)
    write_contact_sheet(args.out)
    hours = rendered * args.seconds / 3600
    rate = hours * 3600 / max(cpu_s, 1e-9)
    print(f"{len(jobs)} drives in {args.out}, {rendered} new: {hours:.2f} h of driving, {rate:.1f} per core-hour")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
