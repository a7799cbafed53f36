"""From any source to episodes on disk: choosing frames, the canonical view, workers, resuming, and the report.

Each drive is one job for one worker, frames pass one at a time, and a finished drive leaves a ledger entry; so memory
is bounded, and after a kill at any moment the same command continues. Knows sources and episodes, no publisher.

Shapes: N rows of a recording.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from worldmodel.datasets import lerobot
from worldmodel.datasets.check import MotionCheck, check_motion
from worldmodel.datasets.contact_sheet import write_contact_sheet
from worldmodel.datasets.episodes import EpisodeInfo, EpisodeWriter
from worldmodel.datasets.source import Recording, Source
from worldmodel.datasets.timing import choose_stride, motion_between, stretches
from worldmodel.datasets.workers import one_thread_each
from worldmodel.geometry.camera import CanonicalView

#: Bytes of mp4 per pixel and frame at crf 18, measured on the real recordings; for the estimate before the start.
BYTES_PER_PIXEL = 0.1
_LEDGER = ".prepare"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is the same for all drives of one prepared set.

    Attributes:
        height_px, width_px: of the canonical frames.
        min_frames: shorter stretches are dropped, and counted.
        crf: quality of the video.
    """

    height_px: int = 128
    width_px: int = 256
    min_frames: int = 16
    crf: int = 18


@dataclasses.dataclass
class DriveReport:
    """What became of one drive; ``error`` says why nothing did."""

    drive_id: str
    episodes: int = 0
    frames: int = 0
    seconds: float = 0.0
    known_seconds: float = 0.0
    metres: float = 0.0
    speed_seconds: float = 0.0
    top_mps: float = 0.0
    dropped_frames: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    error: str = ""


def prepare(
    source: Source,
    out: str | Path,
    settings: Settings | None = None,
    *,
    limit: int | None = None,
    dry_run: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> list[DriveReport]:
    """Prepare a source into ``out``; returns the report of every drive.

    Args:
        source: to read.
        out: folder of the episodes; continued if it was begun with the same settings.
        settings: size and quality.
        limit: at most that many drives.
        dry_run: open every drive and report, but write nothing.
        workers: processes; 0 works in this one; default: one per core.
        progress: show a bar and the estimate on stderr.

    Raises:
        ValueError: the source has nothing, ``out`` was begun with other settings, or the disk is too small.
    """
    settings, out = settings or Settings(), Path(out)
    drives = source.drives()[:limit]
    plans = {d: plan(source, d, settings) for d in tqdm(drives, "opening", disable=not progress, unit="drive")}
    good = [d for d in drives if not plans[d].error]
    need = int(sum(plans[d].frames for d in good) * settings.height_px * settings.width_px * BYTES_PER_PIXEL)
    if progress:
        print(f"{source.name}: {len(good)} drives, about {need / 1e6:.0f} MB into {out}", file=sys.stderr)
    if dry_run or not good:
        return list(plans.values())
    free = shutil.disk_usage(_existing(out)).free
    if need > free:
        raise ValueError(f"{out}: about {need / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free; use --limit")
    numbers = _begin(out, source, drives, settings)
    jobs = [(source, d, numbers[d], out, settings) for d in good]
    done = {d: plans[d] for d in drives if plans[d].error}
    bar = tqdm(total=sum(plans[d].frames for d in good), desc=source.name, unit="frame", disable=not progress)
    with bar:
        for report in _run(jobs, os.cpu_count() or 1 if workers is None else workers):
            done[report.drive_id] = report
            bar.update(plans[report.drive_id].frames)
    reports = [done[d] for d in drives]
    if any(r.episodes for r in reports):
        lerobot.rebuild_meta(out)
        write_contact_sheet(out)
        check_motion(out).write(out)
    return reports


def plan(source: Source, drive_id: str, settings: Settings) -> DriveReport:
    """Open one drive and report what it would give, without decoding frames."""
    report = DriveReport(drive_id)
    try:
        recording = source.open(drive_id)
        parts = _parts(recording, settings, report)
    except ValueError as error:
        report.error = _named(drive_id, error)
        return report
    for rows in parts:
        _account(report, recording, rows)
    report.problems += recording.problems
    if not parts:
        report.error = f"{drive_id}: no stretch of {settings.min_frames} frames; --min-frames takes shorter ones"
    return report


def prepare_drive(source: Source, drive_id: str, number: int, out: Path, settings: Settings) -> DriveReport:
    """Write the episodes of one drive, except those already there; the work of one worker."""
    entry = out / _LEDGER / f"{number:06d}.json"
    if entry.exists():
        return DriveReport(**json.loads(entry.read_text()))
    report = DriveReport(drive_id)
    try:
        recording = source.open(drive_id)
        parts = _parts(recording, settings, report)
        view = CanonicalView.of(recording.camera, settings.height_px, settings.width_px)
        info = EpisodeInfo(
            drive_id=drive_id,
            place_id=recording.place_id,
            camera=view.target,
            valid_mask=view.valid_mask,
            speed_source=recording.speed_source,
            yaw_rate_source=recording.yaw_rate_source,
            caption=recording.caption,
            licence=recording.licence,
            source=source.name,
            split=recording.split,
        ).validate()
        writer = EpisodeWriter(out, crf=settings.crf)
        part = 0
        while parts:
            rows = parts.pop(0)
            taken = _written(out, number, part, int(rows[0]))
            if taken is None:
                taken = _write(writer, recording, view, info, rows, (number, part), settings)
            rest = rows[taken + 1 :]
            parts[:0] = [rest] if len(rest) >= settings.min_frames else []
            if taken >= settings.min_frames:
                _account(report, recording, rows[:taken])
                part += 1
            else:
                report.dropped_frames += taken
    except ValueError as error:
        report.error = _named(drive_id, error)
        return report
    report.problems += recording.problems
    if not report.episodes:
        report.error = f"{drive_id}: no stretch of {settings.min_frames} readable frames"
        return report
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = entry.with_suffix(f".tmp-{os.getpid()}")
    temporary.write_text(json.dumps(dataclasses.asdict(report)))
    os.replace(temporary, entry)
    return report


def _parts(recording: Recording, settings: Settings, report: DriveReport) -> list[Any]:
    stride = choose_stride(recording.t_s, recording.breaks)
    found = stretches(recording.t_s, stride, breaks=recording.breaks, usable=recording.usable)
    report.dropped_frames += sum(len(rows) for rows in found if len(rows) < settings.min_frames)
    return [rows for rows in found if len(rows) >= settings.min_frames]


def _write(
    writer: EpisodeWriter,
    recording: Recording,
    view: CanonicalView,
    info: EpisodeInfo,
    rows: Any,
    slot: tuple[int, int],
    settings: Settings,
) -> int:
    """Write one stretch up to its first unreadable frame; returns how many rows that took. Too few are not kept."""
    episode = writer.open(info, drive=slot[0], part=slot[1])
    try:
        for frame in recording.frames(rows.tolist()):
            if frame is None:
                break
            episode.add(view.apply(frame))
        count = episode.count
        if count < settings.min_frames:
            episode.abort()
            return count
        taken = rows[:count]
        motion = motion_between(recording.motion, recording.t_s, taken, np.append(taken[1:], len(recording)))
        columns = {name: column[taken] for name, column in recording.columns.items()}
        episode.finish(recording.t_s[taken], motion, recording.tags[taken], source_frame=taken, columns=columns)
    except BaseException:
        episode.abort()
        raise
    return count


def _written(out: Path, number: int, part: int, first_row: int) -> int | None:
    """Length of the episode that an earlier run completed in this slot, if it begins at that row of the source."""
    if not EpisodeWriter(out).is_complete(number, part):
        return None
    footer = lerobot.read_footer(lerobot.data_file(out, number, part))
    return footer["length"] if footer["source_first"] == first_row else None


def _account(report: DriveReport, recording: Recording, rows: Any) -> None:
    motion = motion_between(recording.motion, recording.t_s, rows[:-1], rows[1:])
    steps = np.diff(recording.t_s[rows])
    report.episodes += 1
    report.frames += len(rows)
    report.seconds += float(steps.sum())
    report.known_seconds += float(steps[motion.is_known].sum())
    speed_known = np.isfinite(motion.speed_mps)
    report.speed_seconds += float(steps[speed_known].sum())
    report.metres += float((motion.speed_mps * steps)[speed_known].sum())
    report.top_mps = float(np.max(motion.speed_mps[speed_known], initial=report.top_mps))


def _run(jobs: Sequence[tuple], workers: int):
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield prepare_drive(*job)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn"), _start_worker) as pool:
        with one_thread_each():  # the pool starts its processes with the first job
            futures = [pool.submit(prepare_drive, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    """One thread for pictures, and none left behind: a worker whose parent is gone ends at once."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _begin(out: Path, source: Source, drives: Sequence[str], settings: Settings) -> dict[str, int]:
    """Check or note the settings, and give every drive its number: a drive keeps its own when others join."""
    path = out / _LEDGER / "set.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    asked = {"source": source.name, **dataclasses.asdict(settings)}
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"settings": asked, "drives": {}}
    if known["settings"] != asked:
        raise ValueError(f"{out}: was prepared with {known['settings']}, now asked for {asked}; choose another --out")
    numbers: dict[str, int] = known["drives"]
    for drive in drives:
        numbers.setdefault(drive, len(numbers))
    for stale in [*out.glob("videos/*/*/*.tmp*"), *out.glob("data/*/*.tmp*"), *path.parent.glob("*.tmp*")]:
        stale.unlink(missing_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(known, indent=1))
    os.replace(temporary, path)
    return numbers


def _named(drive_id: str, error: ValueError) -> str:
    return str(error) if drive_id in str(error) else f"{drive_id}: {error}"


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def summary(reports: Sequence[DriveReport]) -> str:
    """A table for people: totals, then what was rejected or skipped and why."""
    good = [r for r in reports if not r.error]
    seconds, known = sum(r.seconds for r in good), sum(r.known_seconds for r in good)
    timed = sum(r.speed_seconds for r in good)
    lines = [
        f"{'drives':>22} {len(good)} of {len(reports)}",
        f"{'episodes':>22} {sum(r.episodes for r in good)}",
        f"{'frames':>22} {sum(r.frames for r in good)}",
        f"{'hours':>22} {seconds / 3600:.3f}",
        f"{'known motion':>22} {known / seconds:.0%}" if seconds else "",
        f"{'speed':>22} mean {sum(r.metres for r in good) / timed:.1f}, top {max(r.top_mps for r in good):.1f} m/s"
        if timed
        else f"{'speed':>22} unknown",
        f"{'frames dropped':>22} {sum(r.dropped_frames for r in good)} (in stretches too short)",
    ]
    lines += [f"  rejected  {r.error}" for r in reports if r.error]
    lines += [f"  skipped   {problem}" for r in reports for problem in r.problems]
    return "\n".join(line for line in lines if line)


def parse_size(text: str) -> tuple[int, int]:
    """``"128x256"`` (height x width) as two numbers.

    Raises:
        ValueError: anything else.
    """
    height, _, width = text.partition("x")
    if not (
        height.isdigit() and width.isdigit() and int(height) % 2 == 0 == int(width) % 2 and int(height) * int(width)
    ):
        raise ValueError(f"--size: expected two even numbers as 128x256 (height x width), got {text!r}")
    return int(height), int(width)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
        return int(text)

    return number


def add_arguments(parser: argparse.ArgumentParser, default_out: str, *, min_frames: int = 16) -> None:
    """The options that every ``data/<name>/prepare.py`` shares."""
    parser.add_argument("--out", type=Path, default=Path(default_out), help="folder of the episodes")
    parser.add_argument("--size", type=parse_size, default=(128, 256), help="height x width, as 128x256")
    parser.add_argument("--limit", type=_at_least(1), help="at most that many drives")
    parser.add_argument("--min-frames", type=_at_least(2), default=min_frames, help="drop shorter stretches (at 10 Hz)")
    parser.add_argument("--workers", type=_at_least(0), help="processes; 0: this one alone (default: one per core)")
    parser.add_argument("--dry-run", action="store_true", help="report, write nothing")


def run(source: Source, arguments: argparse.Namespace) -> int:
    """Prepare with parsed arguments, print the summary; the exit status."""
    settings = Settings(*arguments.size, min_frames=arguments.min_frames)
    folder = getattr(arguments, "folder", None)
    if folder is not None and not folder.exists():  # a zip is a folder, too
        print(f"{folder}: no such folder", file=sys.stderr)
        return 1
    try:
        reports = prepare(
            source,
            arguments.out,
            settings,
            limit=arguments.limit,
            dry_run=arguments.dry_run,
            workers=arguments.workers,
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(summary(reports))
    if not arguments.dry_run and any(r.episodes for r in reports):
        print(f"{'motion':>22} {MotionCheck.read(arguments.out)}")
        print(f"{'episodes in':>22} {arguments.out}\n{'contact sheet':>22} {arguments.out / 'contact_sheet.png'}")
    return 0 if any(not r.error for r in reports) else 1
