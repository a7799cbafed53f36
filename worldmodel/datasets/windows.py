"""Windows of frames for training: which exist, which set they belong to, and batch k as a pure function of (seed, k).

A window lies within one stretch of driving, never across two. Stretches come from disk (``episodes.Episode``) or are
held in memory (``MemoryEpisode``); this room reads neither mp4 nor parquet itself, so that training on a world kept in
memory needs no codec.

Shapes: B rows of a batch; T frames of a window; H, W pixels; K tag channels.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import Camera, Clip, EgoMotion, FloatArray, FrameArray, Tags


class StretchInfo(Protocol):
    """What windows need to know of a stretch as a whole."""

    @property
    def drive_id(self) -> str:
        """Of the drive it is part of."""
        ...

    @property
    def place_id(self) -> str:
        """Of the place it was driven at."""
        ...

    @property
    def camera(self) -> Camera:
        """Of its frames."""
        ...

    @property
    def valid_mask(self) -> NDArray[np.bool_]:
        """``(H, W)`` false where the source camera saw nothing."""
        ...

    @property
    def split(self) -> str:
        """The publisher's, ``train``, ``val`` or ``test``; empty when there is none."""
        ...


class Stretch(Protocol):
    """An uninterrupted stretch of driving, on disk or in memory."""

    @property
    def episode_id(self) -> str:
        """Unique in its set."""
        ...

    @property
    def info(self) -> StretchInfo:
        """Of the whole."""
        ...

    @property
    def length(self) -> int:
        """Frames."""
        ...

    @property
    def t_s(self) -> FloatArray:
        """``(T,)`` seconds."""
        ...

    @property
    def motion(self) -> EgoMotion:
        """``(T,)`` from each frame to the next."""
        ...

    @property
    def tags(self) -> Tags:
        """``(T,)``."""
        ...

    def read(self, start: int, count: int, stride: int = 1) -> FrameArray:
        """Frames ``(count, H, W, 3)`` from index ``start``, every ``stride``-th."""
        ...


@dataclasses.dataclass(frozen=True)
class MemoryInfo:
    """``StretchInfo`` of a stretch in memory."""

    drive_id: str
    place_id: str
    camera: Camera
    valid_mask: NDArray[np.bool_]
    split: str = ""


@dataclasses.dataclass(frozen=True)
class MemoryEpisode:
    """A stretch held in memory as uint8."""

    episode_id: str
    info: MemoryInfo
    frames: FrameArray
    t_s: FloatArray
    motion: EgoMotion
    tags: Tags
    truth: Mapping[str, NDArray] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        clip: Clip,
        *,
        drive_id: str,
        place_id: str = "",
        split: str = "",
        episode_id: str = "",
        truth: Mapping[str, NDArray] | None = None,
    ) -> MemoryEpisode:
        """A stretch from a ``Clip``, whose arrays are shared, not copied; ``truth`` names columns ``(T, ...)``."""
        info = MemoryInfo(drive_id, place_id or drive_id, clip.camera, clip.valid_mask, split)
        return cls(episode_id or drive_id, info, clip.frames, clip.t_s, clip.motion, clip.tags, truth or {})

    @property
    def length(self) -> int:
        """Frames."""
        return len(self.frames)

    def read(self, start: int, count: int, stride: int = 1) -> FrameArray:
        """Frames ``(count, H, W, 3)`` from index ``start``, every ``stride``-th."""
        return self.frames[start : start + stride * count : stride]

    def piece(self, rows: slice, episode_id: str) -> MemoryEpisode:
        """Some of its frames as a stretch of that name."""
        return dataclasses.replace(
            self,
            episode_id=episode_id,
            frames=self.frames[rows],
            t_s=self.t_s[rows],
            motion=self.motion[rows],
            tags=self.tags[rows],
            truth={key: column[rows] for key, column in self.truth.items()},
        )


def load_all(stretches: Sequence[Stretch]) -> list[MemoryEpisode]:
    """Every stretch decoded once and kept as uint8: 98 kB a frame at 128x256."""
    return [
        MemoryEpisode(
            s.episode_id,
            MemoryInfo(s.info.drive_id, s.info.place_id, s.info.camera, s.info.valid_mask, s.info.split),
            s.read(0, s.length),
            s.t_s,
            s.motion,
            s.tags,
        )
        for s in stretches
    ]


def split(
    stretches: Sequence[Stretch], *, held_out: float = 0.1, by: Literal["drive", "place"] = "drive", salt: str = ""
) -> tuple[list[Stretch], list[Stretch]]:
    """Divide into (training, held out) by drive or by place, never within one.

    Where every stretch names a publisher's split and training is one of several, that is taken. Otherwise
    a group is held out when the hash of its id falls below ``held_out``, so the answer for one group does not depend
    on which others are there; except that when none falls below and there are two or more, the lowest one is.
    """
    groups = sorted({getattr(s.info, f"{by}_id") for s in stretches}, key=lambda g: unit_hash(salt + g))
    official = {s.info.split for s in stretches}
    if held_out > 0 and "" not in official and "train" in official and len(official) > 1:
        out = {getattr(s.info, f"{by}_id") for s in stretches if s.info.split != "train"}
    else:
        out = {g for g in groups if unit_hash(salt + g) < held_out}
    if held_out > 0 and not out and len(groups) > 1:
        out = {groups[0]}
    if len(out) == len(groups) and len(groups) > 1:
        out.discard(groups[-1])
    kept = [s for s in stretches if getattr(s.info, f"{by}_id") not in out]
    return kept, [s for s in stretches if getattr(s.info, f"{by}_id") in out]


class Batch(NamedTuple):
    """A batch of windows, as numpy arrays.

    Attributes:
        frames: ``(B, T, H, W, 3)`` uint8.
        motion: ``(B, T, 2)`` float32 speed_mps and yaw_rate_radps from each frame to the next; NaN unknown.
        dt_s: ``(B, T)`` float32 time from each frame to the next one; NaN after the last frame of a stretch.
        tags: ``(B, T, K)`` int64 codes.
        valid_mask: ``(B, H, W)`` bool.
        camera_height_m: ``(B,)`` float32; NaN unknown.
    """

    frames: NDArray[np.uint8]
    motion: NDArray[np.float32]
    dt_s: NDArray[np.float32]
    tags: NDArray[np.int64]
    valid_mask: NDArray[np.bool_]
    camera_height_m: NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class _Table:
    """Per-frame arrays of one stretch, ready to be cut."""

    motion: NDArray[np.float32]
    dt_s: NDArray[np.float32]
    tags: NDArray[np.int64]


class ClipWindows:
    """All windows of some sets of stretches, and batches drawn from them.

    ``batch(k)`` depends on nothing but the stretches, the settings and (seed, k): a run resumed at step k sees what it
    would have seen. A set is drawn by its weight, then a window uniformly within it. ``windows[k]`` is ``batch(k)``,
    so that a torch ``DataLoader`` with ``batch_size=None`` can hand out steps to workers.

    Args:
        sets: named sets of stretches, or one unnamed.
        length: T, frames of a window.
        batch_size: B.
        seed: of the draw.
        weights: share of each named set; by number of windows when not given.

    Raises:
        ValueError: a set without a window of that length, a weight for no set, or frames of different sizes.
    """

    def __init__(
        self,
        sets: Mapping[str, Sequence[Stretch]] | Sequence[Stretch],
        *,
        length: int,
        batch_size: int = 1,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        named = dict(sets) if isinstance(sets, Mapping) else {"all": sets}
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.stretches: list[Stretch] = []
        self._first: list[NDArray[np.int64]] = []  # per set: cumulative number of windows up to each of its stretches
        self._offset: list[int] = []  # per set: index of its first stretch
        self._tables: dict[int, _Table] = {}
        for name, stretches in named.items():
            ordered = sorted((s for s in stretches if s.length >= length), key=lambda s: s.episode_id)
            if not ordered:
                longest = max((s.length for s in stretches), default=0)
                raise ValueError(f"set {name!r}: no stretch of {length} frames; the longest has {longest}")
            self._offset.append(len(self.stretches))
            self._first.append(np.cumsum([0] + [s.length - length + 1 for s in ordered]))
            self.stretches += ordered
        sizes = {s.info.valid_mask.shape for s in self.stretches}
        if len(sizes) > 1:
            raise ValueError(f"sets: frames of different sizes {sorted(sizes)}; prepare them at one size")
        unknown = set(weights or {}) - set(named)
        if unknown:
            raise ValueError(f"weights: no set named {sorted(unknown)}; there are {sorted(named)}")
        shares = [float(weights.get(n, 0.0)) if weights else float(f[-1]) for n, f in zip(named, self._first)]
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(f"weights: expected shares from 0 with a positive sum, got {dict(zip(named, shares))}")
        self._cumulative = np.cumsum(shares) / sum(shares)

    def __len__(self) -> int:
        """Number of windows in all sets."""
        return int(sum(first[-1] for first in self._first))

    def __getitem__(self, k: int) -> Batch:
        return self.batch(k)

    def draw(self, k: int) -> list[tuple[int, int]]:
        """The (stretch, first frame) of each of the B windows of batch k."""
        random = np.random.default_rng((self.seed, k))
        drawn = []
        for _ in range(self.batch_size):
            chosen = min(int(np.searchsorted(self._cumulative, random.random(), "right")), len(self._first) - 1)
            first = self._first[chosen]
            window = int(random.integers(first[-1]))
            at = int(np.searchsorted(first, window, "right")) - 1
            drawn.append((self._offset[chosen] + at, window - int(first[at])))
        return drawn

    def batch(self, k: int) -> Batch:
        """Batch k."""
        return self.gather(self.draw(k))

    def gather(self, places: Sequence[tuple[int, int]]) -> Batch:
        """The windows at the given (stretch, first frame) as one batch."""
        tables = [self._table(stretch) for stretch, _ in places]
        cuts = [slice(first, first + self.length) for _, first in places]
        infos = [self.stretches[stretch].info for stretch, _ in places]
        return Batch(
            np.stack([self.stretches[stretch].read(first, self.length) for stretch, first in places]),
            np.stack([table.motion[cut] for table, cut in zip(tables, cuts)]),
            np.stack([table.dt_s[cut] for table, cut in zip(tables, cuts)]),
            np.stack([table.tags[cut] for table, cut in zip(tables, cuts)]),
            np.stack([info.valid_mask for info in infos]),
            np.array([info.camera.height_m for info in infos], dtype=np.float32),
        )

    def in_order(self, *, every: int | None = None) -> Iterator[Batch]:
        """Each window once, ``every`` frames apart (default: without overlap), in batches; for validation."""
        every = self.length if every is None else every
        places = [
            (i, first) for i, s in enumerate(self.stretches) for first in range(0, s.length - self.length + 1, every)
        ]
        for at in range(0, len(places), self.batch_size):
            yield self.gather(places[at : at + self.batch_size])

    def _table(self, index: int) -> _Table:
        if index not in self._tables:
            stretch = self.stretches[index]
            motion = stretch.motion
            self._tables[index] = _Table(
                np.stack([motion.speed_mps, motion.yaw_rate_radps], axis=-1).astype(np.float32),
                np.append(np.diff(stretch.t_s), np.nan).astype(np.float32),
                stretch.tags.codes,
            )
        return self._tables[index]


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
