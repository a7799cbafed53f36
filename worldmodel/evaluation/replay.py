"""``rollout.py mode=replay``: the model goes on from a scenario's context with the recorded motion, beside the truth.

    <out>/replay.mp4           the recording and the first samples, with what was told drawn in
    <out>/recorded, sample_00  drives; the recording's truth, where there is one, is in its columns
    <out>/errors.parquet, .csv a row per frame and sample
    <out>/errors.png           the same as curves, with the moments at which the samples part
    <out>/summary.json         those moments, and the errors at each horizon

Shapes: S steps; T = S + 1 frames; B samples; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldmodel.evaluation.film import write_film
from worldmodel.evaluation.judging import Verdict, judge, path_of, travelled_m
from worldmodel.evaluation.scenario_runs import Job, ScenarioConfig, run_scenarios
from worldmodel.metrics.image import psnr_db, ssim
from worldmodel.metrics.leaving import parting_of_looks, parting_of_ways
from worldmodel.metrics.path import displacement_m
from worldmodel.simulation.branching import BranchDrive, drive_branches
from worldmodel.simulation.chart import Curve, line_chart
from worldmodel.simulation.courses import UNEDITED, Course
from worldmodel.simulation.keeping import keep_drive, keep_table
from worldmodel.simulation.overlay import tile, way_ahead
from worldmodel.simulation.policies.simple import Recorded
from worldmodel.simulation.rollout import begin
from worldmodel.simulation.sheet import grid, write_png
from worldmodel.simulation.staging import Staged, stage
from worldmodel.simulation.views import parse_views, write_views
from worldmodel.types import EgoMotion, FloatArray, FrameArray, Tags, World

HORIZONS_S = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 30.0, 60.0)
#: Frames of the recording so far apart count as unrelated.
_UNRELATED_S = 2.0
_SHOWN_SAMPLES = 3
COLUMNS = {
    "seconds": "s",
    "ssim_1s": "SSIM at 1 s",
    "ssim_3s": "at 3 s",
    "still_ssim_3s": "(a still frame)",
    "looks_part_s": "looks part, s",
    "way_parts_s": "way parts, s",
    "path_error_3s_m": "path error at 3 s, m",
    "read_share": "read",
}


@dataclasses.dataclass(frozen=True)
class ReplayConfig(ScenarioConfig):
    """A replay; the fields are those of ``ScenarioConfig``."""

    samples: int = 4


def run(config: ReplayConfig, *, opened: tuple[World, Mapping[str, Any]] | None = None) -> Path:
    """Replay and return the folder.

    Raises:
        ValueError: as ``run_scenarios``, or a scenario that has no recording.
    """
    return run_scenarios(config, lambda job: replay(job, config), mode="replay", columns=COLUMNS, opened=opened)


def replay(job: Job, config: ReplayConfig) -> dict[str, Any]:
    """Replay one scenario into the job's folder; returns its line of the table."""
    world, scenario = job.world, job.scenario
    staged = stage(scenario, world.camera, dt_s=world.dt_s, policy=config.policy)
    if staged.motion is None or staged.seen is None:
        raise ValueError(f"{scenario.name}: a context of tags alone has no recording to be replayed; try mode=whatif")
    seed = config.seed_of(scenario)
    course = Course(UNEDITED, staged.motion[: staged.steps], staged.steps)
    contexts = [staged.context] * config.samples
    carry = begin(world, contexts, Recorded(course.motion), batch=config.samples, seed=seed)
    with tqdm(total=staged.steps, desc=scenario.name, unit="frame", leave=False) as bar:
        (driven,) = drive_branches(
            world, carry, [course], steps=staged.steps, tags=staged.tags, seed=seed, progress=bar.update
        )
    errors = Errors.of(staged, driven, read=config.read)
    _keep(job, staged, driven)
    keep_table(job.folder / "errors.parquet", errors.rows())
    write_png(job.folder / "errors.png", errors.chart())
    _film(job.folder, staged, driven, errors)
    for kind in parse_views(config.views):
        pictures = {"recorded": staged.seen, **{f"sample_{b:02d}": driven.frames[:, b] for b in range(config.samples)}}
        scalars = {f"ssim/sample_{b:02d}": errors.ssim[:, b] for b in range(config.samples)}
        for b, verdict in enumerate(errors.verdicts):
            scalars |= {f"read/sample_{b:02d}/{name}": column for name, column in verdict.columns().items()}
        write_views(kind, job.folder / f"replay.{kind}", driven.t_s, pictures, course.motion.of_frames(), scalars)
    return {**errors.summary(), "motion_known_share": float(course.motion.is_known.mean())}


@dataclasses.dataclass(frozen=True)
class Errors:
    """How far every sample is from the recording.

    Attributes:
        t_s: ``(T,)``.
        psnr_db, ssim: ``(T, B)`` of the samples to the recording.
        still_psnr_db, still_ssim: ``(T,)`` of the newest frame of the context, held still.
        unrelated_ssim: of frames of the recording that are seconds apart.
        path_error_m: ``(T, B)`` between the path read from a sample and the recorded one; NaN where it was not read.
        travelled_m: ``(T,)`` along the recorded path.
        verdicts: of the samples; none where nothing was read.
    """

    t_s: FloatArray
    psnr_db: FloatArray
    ssim: FloatArray
    still_psnr_db: FloatArray
    still_ssim: FloatArray
    unrelated_ssim: float
    path_error_m: FloatArray
    travelled_m: FloatArray
    verdicts: Sequence[Verdict]

    @classmethod
    def of(cls, staged: Staged, driven: BranchDrive, *, read: bool) -> Errors:
        """Measure a batch of samples against what was really seen."""
        assert staged.seen is not None
        assert staged.motion is not None
        seen, mask, t_s = staged.seen, staged.valid_mask, driven.t_s
        samples = range(driven.frames.shape[1])
        still = np.broadcast_to(seen[0], seen.shape)
        apart = max(1, round(_UNRELATED_S / float(np.median(np.diff(t_s)))))
        unrelated = float(np.median(ssim(seen[:-apart], seen[apart:], mask))) if len(seen) > apart else float("nan")
        path = path_of(staged.motion[: staged.steps].of_frames(), t_s)
        verdicts = [judge(driven.frames[:, b], t_s, staged.camera) for b in samples] if read else []
        errors = [displacement_m(verdict.path, path) for verdict in verdicts]
        return cls(
            t_s=t_s,
            psnr_db=np.stack([psnr_db(driven.frames[:, b], seen, mask) for b in samples], axis=1),
            ssim=np.stack([ssim(driven.frames[:, b], seen, mask) for b in samples], axis=1),
            still_psnr_db=psnr_db(still, seen, mask),
            still_ssim=ssim(still, seen, mask),
            unrelated_ssim=unrelated,
            path_error_m=np.stack(errors, axis=1) if errors else np.full((len(t_s), len(samples)), np.nan),
            travelled_m=travelled_m(path),
            verdicts=verdicts,
        )

    def looks_part_s(self) -> FloatArray:
        """``(B,)`` when each sample parts from the recording by its looks."""
        parts = [parting_of_looks(row, self.unrelated_ssim, self.t_s) for row in self.ssim.T]
        return np.array(parts)

    def way_parts_s(self) -> FloatArray:
        """``(B,)`` when the way read from each sample parts from the recorded one."""
        return np.array([parting_of_ways(row, self.travelled_m, self.t_s) for row in self.path_error_m.T])

    def rows(self) -> list[dict[str, Any]]:
        """A row per frame and sample."""
        return [
            {
                "sample": b,
                "t_s": float(time_s),
                "psnr_db": float(self.psnr_db[t, b]),
                "ssim": float(self.ssim[t, b]),
                "still_psnr_db": float(self.still_psnr_db[t]),
                "still_ssim": float(self.still_ssim[t]),
                "path_error_m": float(self.path_error_m[t, b]),
                "speed_read_mps": float(self.verdicts[b].motion.speed_mps[t]) if self.verdicts else float("nan"),
                "yaw_rate_read_radps": (
                    float(self.verdicts[b].motion.yaw_rate_radps[t]) if self.verdicts else float("nan")
                ),
            }
            for b in range(self.ssim.shape[1])
            for t, time_s in enumerate(self.t_s)
        ]

    def chart(self) -> FrameArray:
        """Similarity, noise and way over time, one above the other."""
        samples = range(self.ssim.shape[1])
        marks = [(float(time_s), "") for time_s in self.looks_part_s() if np.isfinite(time_s)]
        level = np.full(len(self.t_s), self.unrelated_ssim)
        charts = [
            line_chart(
                [
                    *(Curve(f"sample {b}", self.t_s, self.ssim[:, b]) for b in samples),
                    Curve("last frame held", self.t_s, self.still_ssim, is_dashed=True),
                    Curve("2 s apart", self.t_s, level, is_dashed=True),
                ],
                title="similarity to the recording; upright: its looks part",
                y_label="SSIM",
                marks=marks,
            ),
            line_chart(
                [
                    *(Curve(f"sample {b}", self.t_s, self.psnr_db[:, b]) for b in samples),
                    Curve("last frame held", self.t_s, self.still_psnr_db, is_dashed=True),
                ],
                title="signal to noise",
                y_label="PSNR, dB",
            ),
        ]
        if np.isfinite(self.path_error_m).any():
            marks = [(float(time_s), "") for time_s in self.way_parts_s() if np.isfinite(time_s)]
            curves = [Curve(f"sample {b}", self.t_s, self.path_error_m[:, b]) for b in samples]
            title = "way read from the frames, off the recorded one"
            charts.append(line_chart(curves, title=title, y_label="m", marks=marks))
        return np.concatenate(charts)

    def summary(self) -> dict[str, Any]:
        """Means over samples at each horizon, and when the samples part (the median one)."""
        looks, ways = self.looks_part_s(), self.way_parts_s()
        found: dict[str, Any] = {
            "seconds": round(float(self.t_s[-1]), 3),
            "looks_part_s": _median(looks),
            "way_parts_s": _median(ways),
            "looks_part_each_s": [_said(value) for value in looks],
            "way_parts_each_s": [_said(value) for value in ways],
            "unrelated_ssim": self.unrelated_ssim,
            "read_share": float(np.mean([v.read_share for v in self.verdicts])) if self.verdicts else None,
        }
        for horizon_s in (h for h in HORIZONS_S if h <= self.t_s[-1] + 1e-6):
            at = int(np.abs(self.t_s - horizon_s).argmin())
            name = f"{horizon_s:g}s"
            found |= {
                f"ssim_{name}": float(self.ssim[at].mean()),
                f"psnr_{name}_db": float(self.psnr_db[at].mean()),
                f"still_ssim_{name}": float(self.still_ssim[at]),
                f"path_error_{name}_m": float(np.nanmean(self.path_error_m[at]))
                if np.isfinite(self.path_error_m[at]).any()
                else None,
            }
        return found


def _keep(job: Job, staged: Staged, driven: BranchDrive) -> None:
    """The recording and the samples as drives."""
    assert staged.seen is not None
    assert staged.motion is not None
    motion = staged.motion[: staged.steps].of_frames()
    about = {**job.provenance, "start": dict(staged.about)}
    kept = [("recorded", staged.seen, staged.truth, {**about, "row": None, "world": "recorded"})]
    for b in range(driven.frames.shape[1]):
        info = {name: column[:, b] for name, column in driven.info.items()}
        kept.append((f"sample_{b:02d}", driven.frames[:, b], info, {**about, "row": b}))
    tags = Tags(staged.tags.codes, staged.tags.caption)
    for name, frames, info, provenance in kept:
        keep_drive(
            job.folder / name, frames, driven.t_s, motion, tags, info, camera=staged.camera, provenance=provenance
        )


def _film(folder: Path, staged: Staged, driven: BranchDrive, errors: Errors) -> None:
    """The recording beside the first samples, and a sheet of five moments of it."""
    assert staged.seen is not None
    assert staged.motion is not None
    motion, dt_s = staged.motion[: staged.steps].of_frames(), float(driven.t_s[1])
    on_sheet = {round(share * staged.steps) for share in (0, 0.25, 0.5, 0.75, 1)}
    pictures = (_beside(t, staged, driven, errors, motion) for t in range(len(driven.t_s)))
    write_film(folder / "replay.mp4", pictures, fps=1 / dt_s, on_sheet=on_sheet)


def _beside(t: int, staged: Staged, driven: BranchDrive, errors: Errors, motion: EgoMotion) -> FrameArray:
    """Frame t of the recording and of the first samples."""
    assert staged.seen is not None
    time_s, way = float(driven.t_s[t]), way_ahead(motion, t, float(driven.t_s[1]))
    assumed = "camera height assumed" if np.isnan(staged.camera.height_m) else ""
    told = motion[t] if t < staged.steps else motion[max(t - 1, 0)]
    tiles = [tile(staged.seen[t], staged.camera, "recorded", t_s=time_s, told=told, way=way, note=assumed)]
    for b in range(min(_SHOWN_SAMPLES, driven.frames.shape[1])):
        note = f"SSIM {errors.ssim[t, b]:.2f}"
        frame = driven.frames[t, b]
        tiles.append(tile(frame, staged.camera, f"sample {b}", t_s=time_s, told=told, way=way, note=note))
    return grid(tiles, columns=len(tiles))


def _median(values: FloatArray) -> float | str | None:
    known = values[~np.isnan(values)]
    return _said(float(np.sort(known)[(len(known) - 1) // 2])) if len(known) else None


def _said(value: float) -> float | str | None:
    """A time, "never", or ``None`` where it cannot be told."""
    return None if np.isnan(value) else "never" if np.isinf(value) else round(float(value), 3)
