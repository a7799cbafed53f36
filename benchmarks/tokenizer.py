"""What is left of a picture after the tokenizer: peak signal to noise, road users, motion; beside JPEG of equal size.

Held-out drives of the reference world in every weather and light, one second each, sensor noise off. ``all`` is the
mean over drives, ``clear day`` and ``worst`` that of one of the twelve conditions, ``users`` counts pixels inside boxes
of road users alone. What the judge reads of the pictures stands beside it: the share of true boxes it finds (at a score
of a half, overlapping by a third), how often it says that somebody is ahead when somebody is (within 60 m) and when
nobody is (within 120 m), and how far speed and yaw rate are from the truth. True pictures are the floor.

    python benchmarks/tokenizer.py nano
    python benchmarks/tokenizer.py nano docs/gpu/nano_base outputs/train/tokenizer --drives 96
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from worldmodel.metrics.boxes import detections
from worldmodel.metrics.image import sharpness
from worldmodel.model import WorldModel
from worldmodel.perception.reader import Reader
from worldmodel.reference.drive import ReferenceDrive, render_drive
from worldmodel.reference.options import draw_options
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.training.keeping import user_map
from worldmodel.types import VOCABULARY, FrameArray

FIRST_SEED = 960_000
FRAMES, BEGIN = 12, 50
CONDITIONS = list(itertools.product(VOCABULARY["weather"][1:], VOCABULARY["time_of_day"][1:]))
NEAR_M, FAR_M = 60.0, 120.0
COLUMNS = (
    "all, dB", "clear day", "worst", "users", "sharpness",
    "users found", "ahead: is; is not", "speed, m/s", "yaw, rad/s",
)  # fmt: skip

Codec = Callable[[FrameArray], FrameArray]


def held_out(number: int) -> ReferenceDrive:
    """One drive; the numbers go through the conditions."""
    cv2.setNumThreads(1)
    weather, time_of_day = CONDITIONS[number % len(CONDITIONS)]
    options = draw_options(FIRST_SEED + number, weather=weather, time_of_day=time_of_day, sensor=False)
    return render_drive(options, BEGIN + FRAMES)


def through(model: WorldModel) -> Codec:
    """Frames there and back through a model's tokenizer."""

    @torch.no_grad()
    def codec(frames: FrameArray) -> FrameArray:
        x_BCHW = to_network(torch.from_numpy(np.ascontiguousarray(frames)))
        return to_frames(model.tokenizer.decode(model.tokenizer.encode(x_BCHW))).numpy()

    return codec


def jpeg(size_bytes: int) -> Codec:
    """Frames there and back through the best JPEG that is no larger, or the smallest there is."""

    def one(frame: FrameArray) -> FrameArray:
        best = None
        for quality in range(1, 96):
            _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
            if best is not None and len(data) > size_bytes:
                break
            best = data
        assert best is not None
        picture = cv2.imdecode(best, cv2.IMREAD_COLOR)
        assert picture is not None
        return np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8)

    return lambda frames: np.stack([one(frame) for frame in frames])


def row(codec: Codec, drives: Sequence[ReferenceDrive], judge: Reader) -> list[str]:
    """The cells of one line of the table."""
    errors, users, pixels, sharp, speed, yaw = [], 0.0, 0.0, [], [], []
    found, there, near, nobody = 0, 0, [], []
    for drive in drives:
        frames, rows = drive.frames[BEGIN:], slice(BEGIN, None)
        made = codec(frames)
        square = (made.astype(np.float64) - frames) ** 2
        where = user_map(torch.from_numpy(drive.boxes[rows]), (frames.shape[1], frames.shape[2]))[:, 0].numpy()
        errors.append(square.mean())
        users, pixels = users + (square * where[..., None]).sum(), pixels + 3 * where.sum()
        sharp.append(sharpness(made).mean())
        read = judge.read(made, drive.t_s[rows], drive.camera)
        assert read.boxes is not None
        sure = np.where(read.boxes.score > 0.5, read.boxes.score, np.nan)
        some = detections(read.boxes.edges_px, sure, drive.boxes[rows, :, :4].astype(np.float64), least=1 / 3)
        found, there = found + int(some.right.sum()), there + some.true
        ahead, gap_m = read.flags["has_gap"] > 0.5, drive.columns["gap_m"][rows]
        near += list(ahead[gap_m < NEAR_M])
        nobody += list(ahead[~(gap_m < FAR_M)])
        motion = drive.motion[BEGIN : BEGIN + FRAMES - 1]
        speed.append(np.nanmean(np.abs(read.motion.speed_mps[:-1] - motion.speed_mps)))
        yaw.append(np.nanmean(np.abs(read.motion.yaw_rate_radps[:-1] - motion.yaw_rate_radps)))

    def db(mean_square: float) -> str:
        return f"{10 * np.log10(255**2 / mean_square):.1f}" if mean_square else "–"

    def mean_db(some: Sequence[float]) -> float:
        return float(np.mean([10 * np.log10(255**2 / e) if e else np.inf for e in some]))

    by_condition = [mean_db(errors[i :: len(CONDITIONS)]) for i in range(min(len(CONDITIONS), len(errors)))]
    worst = int(np.argmin(by_condition))
    return [
        *(f"{x:.1f}" if np.isfinite(x) else "–" for x in (mean_db(errors), by_condition[0])),
        f"{by_condition[worst]:.1f} ({' '.join(CONDITIONS[worst])})" if np.isfinite(by_condition[worst]) else "–",
        db(users / max(pixels, 1)),
        f"{np.mean(sharp):.1f}",
        f"{100 * found / max(there, 1):.0f} %",
        f"{100 * np.mean(near):.0f} %; {100 * np.mean(nobody):.0f} %",
        f"{np.mean(speed):.2f}",
        f"{np.mean(yaw):.4f}",
    ]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["nano"])
    parser.add_argument("--drives", type=int, default=48)
    arguments = parser.parse_args()
    models = [WorldModel.from_pretrained(name) for name in arguments.models]
    with multiprocessing.get_context("spawn").Pool() as pool:
        drives = pool.map(held_out, range(arguments.drives), chunksize=1)
    judge = Reader.from_pretrained("judge")
    c = models[0].tokenizer.config
    numbers = c.tokens * c.channels
    lines = [("true pictures", lambda frames: frames)]
    lines += [(f"JPEG, {numbers // 2**10} KiB (a byte for a latent)", jpeg(numbers))]
    lines += [(name, through(model)) for name, model in zip(arguments.models, models)]
    print(f"| | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, codec in lines:
        print(f"| {name} | {' | '.join(row(codec, drives, judge))} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
