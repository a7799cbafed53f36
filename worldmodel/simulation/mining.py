"""``rollout.py mode=mine``: finds moments worth replaying in any prepared data set and writes a scenario file for each.

Hard braking, sharp turning, standstill from the motion; a small gap where the set has a column ``gap_m``. Knows
columns and what is remarkable in them, nothing of pictures or worlds.

Shapes: T frames of an episode.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.episodes import Episode, EpisodeDataset
from worldmodel.simulation.keeping import keep_table
from worldmodel.simulation.outputs import landing
from worldmodel.simulation.recorder import PROVENANCE, write_json
from worldmodel.simulation.worlds import surroundings
from worldmodel.types import EgoMotion, FloatArray

KINDS = ("hard_braking", "sharp_turning", "small_gap", "standstill")
#: Acceleration is the change of speed over so long: a single row of a recording is noise.
_ACCEL_OVER_S = 0.5
#: Seconds between the start of a drive and what it was chosen for, and after that is over.
_LEAD_S, _AFTER_S = 1.5, 1.5
#: Two moments of one kind this near are one.
_APART_S = 5.0
#: A standstill is as long as this, and follows driving, or every parked car would be one.
_STANDING_S = 1.0


@dataclasses.dataclass(frozen=True)
class MineConfig:
    """A search.

    Attributes:
        data: folder of a prepared data set.
        out: folder for the scenario files; empty for ``outputs/mine``, numbered where that is taken.
        overwrite: replace a complete search at ``out``.
        kinds: what to look for, parted by commas.
        most: files of each kind; the most remarkable are kept.
        braking_mps2: at least this deceleration over half a second.
        turning_radps: at least this yaw rate, ...
        sideways_mps2: ... or this acceleration sideways.
        gap_m: at most this distance to the vehicle ahead, ...
        gap_s: ... or this time to where it is.
        standing_mps: at most this speed.
        context_s: seconds of frames a model is shown before.
        length_s: of the drive; ``None`` is until a little after the moment is over, at least 5 and at most 20 s.
    """

    data: str = ""
    out: str = ""
    overwrite: bool = False
    kinds: str = "hard_braking,sharp_turning,small_gap,standstill"
    most: int = 10
    braking_mps2: float = 3.0
    turning_radps: float = 0.3
    sideways_mps2: float = 3.0
    gap_m: float = 8.0
    gap_s: float = 0.8
    standing_mps: float = 0.3
    context_s: float = 3.2
    length_s: float | None = None

    def __post_init__(self) -> None:
        for name in self.wanted:
            if name not in KINDS:
                raise ValueError(f"kinds: {name!r} is not one of {', '.join(KINDS)}")
        for field in ("most", "braking_mps2", "turning_radps", "sideways_mps2", "gap_m", "gap_s", "context_s"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field}: expected a number above 0, got {getattr(self, field)}")
        if self.length_s is not None and not self.length_s > 0:
            raise ValueError(f"length_s: expected a number above 0, got {self.length_s}")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The kinds to look for."""
        return tuple(filter(None, (part.strip() for part in self.kinds.split(","))))


@dataclasses.dataclass(frozen=True)
class Find:
    """A remarkable moment.

    Attributes:
        kind: of ``KINDS``.
        begin, end: first frame of the moment, and the one after it.
        value: the most remarkable one. unit: of it.
        severity: to rank finds of one kind by; larger is more remarkable.
    """

    kind: str
    begin: int
    end: int
    value: float
    unit: str
    severity: float


def run(config: MineConfig) -> Path:
    """Search, write the files and return their folder.

    Raises:
        ValueError: no such data set, or nothing remarkable in it.
    """
    if not config.data or not Path(config.data).is_dir():
        raise ValueError(f"data={config.data}: no such folder; prepare one with data/<name>/prepare.py")
    episodes = list(EpisodeDataset(config.data))
    found: list[tuple[Episode, Find]] = [
        (episode, find) for episode in episodes for find in search(episode.t_s, episode.motion, episode.columns, config)
    ]
    chosen: list[tuple[Episode, Find]] = []
    for kind in config.wanted:
        of_kind = [pair for pair in found if pair[1].kind == kind]
        # By severity, and by name where that is equal: the same set gives the same files.
        of_kind.sort(key=lambda pair: (-pair[1].severity, pair[0].episode_id, pair[1].begin))
        chosen += of_kind[: config.most]
        print(f"{kind}: {len(of_kind)} found, {min(len(of_kind), config.most)} kept")
    if not chosen:
        raise ValueError(f"data={config.data}: nothing remarkable in {len(episodes)} episodes; lower a threshold")
    with landing(config.out, default="outputs/mine", overwrite=config.overwrite) as (partial, final):
        rows = []
        for number, (episode, find) in enumerate(chosen):
            name = f"{find.kind}_{number:02d}_{re.sub(r'[^A-Za-z0-9]+', '_', episode.episode_id).strip('_')}"
            (partial / f"{name}.yaml").write_text(scenario_text(episode, find, config), encoding="utf-8")
            moment_s = float(episode.t_s[find.begin] - episode.t_s[0])
            rows.append({"file": f"{name}.yaml", "kind": find.kind, "episode": episode.episode_id})
            rows[-1] |= {"t_s": moment_s, "value": find.value, "unit": find.unit}
        keep_table(partial / "finds.parquet", rows)
        options = dataclasses.asdict(config)
        write_json(partial / PROVENANCE, {"mode": "mine", **surroundings(), "options": options, "complete": True})
    print(f"{final}: {len(chosen)} scenarios; see them with mode=replay scenario={final}")
    return final


def search(t_s: FloatArray, motion: EgoMotion, columns: Mapping[str, NDArray], config: MineConfig) -> Iterator[Find]:
    """The remarkable moments of one episode for which there is a whole context, and some drive after it.

    Args:
        t_s: ``(T,)``.
        motion: ``(T,)``.
        columns: named ``(T,)``; ``gap_m`` is looked at.
        config: what is remarkable.
    """
    speed, yaw = motion.speed_mps, motion.yaw_rate_radps
    wanted = config.wanted
    if "hard_braking" in wanted:
        accel = acceleration(speed, t_s)
        yield from _finds("hard_braking", accel <= -config.braking_mps2, -accel, "m/s2 of braking", t_s, config)
    if "sharp_turning" in wanted:
        sideways = np.abs(speed * yaw)
        share = np.fmax(np.abs(yaw) / config.turning_radps, sideways / config.sideways_mps2)
        yield from _finds("sharp_turning", share >= 1, share, "times the threshold of turning", t_s, config)
    if "small_gap" in wanted and "gap_m" in columns:
        gap = np.asarray(columns["gap_m"], dtype=np.float64)
        time_s = gap / np.maximum(np.nan_to_num(speed), 0.1)
        # Beside a standing queue every gap is small.
        near = (np.nan_to_num(speed) > 2.0) & ((gap <= config.gap_m) | (time_s <= config.gap_s))
        yield from _finds("small_gap", near, -gap, "m to the vehicle ahead", t_s, config)
    if "standstill" in wanted:
        standing = np.isfinite(speed) & (np.abs(speed) <= config.standing_mps)
        for find in _finds("standstill", standing, standing.astype(float), "s of standing", t_s, config):
            lasts_s = float(t_s[find.end - 1] - t_s[find.begin])
            came_s = (t_s >= t_s[find.begin] - 3.0) & (t_s < t_s[find.begin])
            if lasts_s >= _STANDING_S and np.nanmax(speed[came_s], initial=0.0) > 2.0:
                yield dataclasses.replace(find, value=lasts_s, severity=lasts_s)


def acceleration(speed: FloatArray, t_s: FloatArray) -> FloatArray:
    """``(T,)`` mean change of speed over the coming half second in m/s2; NaN where speed is unknown, and at the end."""
    found = np.full(len(t_s), np.nan)
    later = np.searchsorted(t_s, t_s + _ACCEL_OVER_S - 0.01)
    rows = np.flatnonzero(later < len(t_s))
    found[rows] = (speed[later[rows]] - speed[rows]) / (t_s[later[rows]] - t_s[rows])
    return found


def scenario_text(episode: Episode, find: Find, config: MineConfig) -> str:
    """The scenario file of a find."""
    t_s = episode.t_s - episode.t_s[0]
    newest_s = _newest_s(t_s, find, config)
    length_s = config.length_s
    if length_s is None:
        length_s = float(np.clip(t_s[find.end - 1] + _AFTER_S - newest_s, 5.0, 20.0))
    # A tenth less than what is left: the last motion of an episode is unknown.
    length_s = max(0.1, min(length_s, float(t_s[-1]) - newest_s - 0.1))
    words = f"{find.kind.replace('_', ' ')} {t_s[find.begin]:.0f} s into {episode.episode_id}"
    lines = [
        f"# Found by mode=mine: {find.value:.3g} {find.unit}, {t_s[find.begin]:.1f} s into {episode.episode_id}.",
        f"name: {json.dumps(words)}",
        "context:",
        f"  data: {json.dumps(str(config.data))}",
        f"  episode: {json.dumps(episode.episode_id)}",
        f"  t_s: {newest_s:.3f}",
        f"  length_s: {config.context_s:g}",
        f"length_s: {length_s:.2f}",
        f"notes: {json.dumps(f'{find.value:.3g} {find.unit}')}",
    ]
    return "\n".join(lines) + "\n"


def _newest_s(t_s: FloatArray, find: Find, config: MineConfig) -> float:
    """The time a context ends: a little before the moment, and no sooner than it is whole."""
    return max(float(t_s[find.begin]) - _LEAD_S, config.context_s)


def _finds(
    kind: str, is_so: NDArray[np.bool_], severity: FloatArray, unit: str, t_s: FloatArray, config: MineConfig
) -> Iterator[Find]:
    """Stretches in which something is so; near ones are one, and those at the edges of an episode are left out."""
    since_s = t_s - t_s[0]
    for begin, end in _stretches(is_so, t_s):
        find = Find(kind, begin, end, 0.0, unit, 0.0)
        if since_s[begin] < config.context_s or since_s[-1] - _newest_s(since_s, find, config) < _LEAD_S + 1.0:
            continue
        most = float(np.nanmax(severity[begin:end]))
        yield dataclasses.replace(find, value=abs(most), severity=most)


def _stretches(is_so: NDArray[np.bool_], t_s: FloatArray) -> Sequence[tuple[int, int]]:
    rows = np.flatnonzero(is_so)
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(t_s[rows]) > _APART_S)
    firsts = np.concatenate([[rows[0]], rows[breaks + 1]])
    lasts = np.concatenate([rows[breaks], [rows[-1]]])
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts)]
