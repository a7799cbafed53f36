"""Floor 0: the nouns every room shares, and the protocol both worlds obey.

Frozen dataclasses that hold numpy arrays and know nothing of files, networks or renderers. Each class has
``validate()``, which raises ``ValueError`` naming the field and the value, and returns the object so that calls chain.

Shapes: ``...`` any shared leading shape; T frames; B rows of a batch; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
FrameArray = NDArray[np.uint8]

MotionSource = Literal["measured", "interpolated", "inferred", "unknown"]

VOCABULARY_VERSION = 1
#: Tag vocabulary. Index 0 of each channel is "unknown". It may grow at the end of a tuple; never reorder or remove.
VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "weather": ("unknown", "clear", "rain", "fog", "snow"),
    "time_of_day": ("unknown", "day", "dusk", "night"),
    "road_kind": ("unknown", "motorway", "country", "town"),
    "traffic": ("unknown", "none", "light", "dense"),
    "event": tuple("unknown none hard_brake cut_in stopped_vehicle slow_truck pedestrian off_road collision".split()),  # noqa: SIM905
}
#: Events that come of how the ego drives. Drives are labelled with them; nobody can ask for them.
OUTCOMES = ("off_road", "collision")


def _fail(owner: object, field: str, value: object, expected: str) -> None:
    raise ValueError(f"{type(owner).__name__}.{field}: expected {expected}, got {value!r}")


def _broadcast(owner: object, *fields: str) -> None:
    """Give fields of a frozen dataclass one shape, as arrays of their own."""
    arrays = np.broadcast_arrays(*(np.asarray(getattr(owner, field), dtype=np.float64) for field in fields))
    for field, array in zip(fields, arrays):
        object.__setattr__(owner, field, np.array(array))


@dataclasses.dataclass(frozen=True)
class EgoMotion:
    """What the ego does from frame t to frame t+1, of the ground point under the camera.

    It is the SE(2) part of T_t^-1 T_{t+1} over the true time between the two frames. NaN means unknown, per channel.

    Attributes:
        speed_mps: ``(...)`` signed chord length over time, positive forwards.
        yaw_rate_radps: ``(...)`` change of heading over time, left positive (ISO 8855).
    """

    speed_mps: FloatArray
    yaw_rate_radps: FloatArray

    def __post_init__(self) -> None:
        _broadcast(self, "speed_mps", "yaw_rate_radps")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shared leading shape."""
        return self.speed_mps.shape

    def __getitem__(self, index: Any) -> EgoMotion:
        return EgoMotion(self.speed_mps[index], self.yaw_rate_radps[index])

    @classmethod
    def unknown(cls, shape: tuple[int, ...] = ()) -> EgoMotion:
        """Motion of ``shape`` of which nothing is known."""
        return cls(np.full(shape, np.nan), np.full(shape, np.nan))

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """``(...)`` true where both channels are known."""
        return np.isfinite(self.speed_mps) & np.isfinite(self.yaw_rate_radps)

    def of_frames(self) -> EgoMotion:
        """``(T + 1,)``: motion ``(T,)`` of steps as that of the frames between them; the last one's is unknown."""
        return EgoMotion(np.append(self.speed_mps, np.nan), np.append(self.yaw_rate_radps, np.nan))

    def validate(self) -> EgoMotion:
        """Raise ``ValueError`` on infinite values or on speeds and turns no road vehicle reaches."""
        for field, bound in (("speed_mps", 100.0), ("yaw_rate_radps", 5.0)):
            values = np.asarray(getattr(self, field))
            bad = np.isinf(values) | (np.abs(np.nan_to_num(values, posinf=0, neginf=0)) > bound)
            if bad.any():
                _fail(self, field, float(values[bad].flat[0]), f"finite or NaN, at most {bound} in magnitude")
        return self


@dataclasses.dataclass(frozen=True)
class Controls:
    """What a policy says. Only ``geometry.motion`` turns controls into ego motion.

    Attributes:
        accel_mps2: ``(...)`` wanted acceleration along the path.
        curvature_1pm: ``(...)`` wanted path curvature, left positive.
    """

    accel_mps2: FloatArray
    curvature_1pm: FloatArray

    def __post_init__(self) -> None:
        _broadcast(self, "accel_mps2", "curvature_1pm")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shared leading shape."""
        return self.accel_mps2.shape

    def __getitem__(self, index: Any) -> Controls:
        return Controls(self.accel_mps2[index], self.curvature_1pm[index])

    def validate(self) -> Controls:
        """Raise ``ValueError`` unless both channels are finite."""
        for field in ("accel_mps2", "curvature_1pm"):
            values = np.asarray(getattr(self, field))
            if not np.isfinite(values).all():
                _fail(self, field, float(values[~np.isfinite(values)].flat[0]), "a finite number")
        return self


@dataclasses.dataclass(frozen=True)
class Tags:
    """Named properties of a frame, as indices into ``VOCABULARY``, and a caption of the whole.

    Attributes:
        codes: ``(..., len(VOCABULARY))`` int64; 0 is unknown.
        caption: free text; empty when there is none.
    """

    codes: NDArray[np.int64]
    caption: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", np.asarray(self.codes, dtype=np.int64))

    @classmethod
    def named(cls, *, caption: str = "", **names: str) -> Tags:
        """Tags of one moment from names, e.g. ``Tags.named(weather="rain", time_of_day="night")``.

        Raises:
            ValueError: a channel or a name the vocabulary does not have.
        """
        codes = np.zeros(len(VOCABULARY), dtype=np.int64)
        channels = list(VOCABULARY)
        for channel, name in names.items():
            if channel not in VOCABULARY:
                raise ValueError(f"Tags.{channel}: no such tag; the vocabulary has {', '.join(channels)}")
            if name not in VOCABULARY[channel]:
                raise ValueError(f"Tags.{channel}: {name!r} is not one of {', '.join(VOCABULARY[channel])}")
            codes[channels.index(channel)] = VOCABULARY[channel].index(name)
        return cls(codes, caption)

    @classmethod
    def unknown(cls, shape: tuple[int, ...] = ()) -> Tags:
        """Tags of leading ``shape`` of which nothing is known."""
        return cls(np.zeros((*shape, len(VOCABULARY)), dtype=np.int64))

    @property
    def shape(self) -> tuple[int, ...]:
        """The leading shape."""
        return self.codes.shape[:-1]

    def __getitem__(self, index: Any) -> Tags:
        return Tags(self.codes[index], self.caption)

    def channel(self, name: str) -> NDArray[np.int64]:
        """``(...)`` codes of one channel."""
        return self.codes[..., list(VOCABULARY).index(name)]

    def names(self) -> dict[str, str]:
        """Channel to name, for tags of a single moment."""
        if self.codes.ndim != 1:
            raise ValueError(f"Tags.names: expected tags of one moment, got shape {self.codes.shape}")
        return {channel: values[int(code)] for (channel, values), code in zip(VOCABULARY.items(), self.codes)}

    def validate(self) -> Tags:
        """Raise ``ValueError`` on codes outside the vocabulary."""
        if self.codes.shape[-1:] != (len(VOCABULARY),):
            _fail(self, "codes", self.codes.shape, f"shape (..., {len(VOCABULARY)})")
        for i, (channel, values) in enumerate(VOCABULARY.items()):
            codes = self.codes[..., i]
            if codes.size and (codes.min() < 0 or codes.max() >= len(values)):
                _fail(self, f"codes[{channel}]", int(codes.max()), f"0..{len(values) - 1}")
        return self


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera, with Brown-Conrady distortion and the angles of its mount.

    Attributes:
        width_px, height_px: size of the image.
        fx_px, fy_px, cx_px, cy_px: intrinsics; pixel centres are at integer coordinates.
        distortion: k1, k2, p1, p2, k3 (OpenCV's order).
        height_m: above the ground; NaN when unknown.
        pitch_rad: nose up positive. roll_rad: clockwise seen from behind positive. yaw_rad: left positive.
    """

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    height_m: float = math.nan
    pitch_rad: float = 0.0
    roll_rad: float = 0.0
    yaw_rad: float = 0.0

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The ``(3, 3)`` intrinsic matrix."""
        return np.array([[self.fx_px, 0, self.cx_px], [0, self.fy_px, self.cy_px], [0, 0, 1]], dtype=np.float64)

    @property
    def horizontal_fov_rad(self) -> float:
        """Horizontal field of view."""
        return 2 * math.atan(self.width_px / (2 * self.fx_px))

    def validate(self) -> Camera:
        """Raise ``ValueError`` on sizes or focal lengths that are not positive, or on angles beyond 45 degrees."""
        for field in ("width_px", "height_px", "fx_px", "fy_px"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value > 0):
                _fail(self, field, value, "a positive number")
        for field in ("pitch_rad", "roll_rad", "yaw_rad"):
            value = getattr(self, field)
            if not abs(value) <= math.pi / 4:
                _fail(self, field, value, "at most pi/4 in magnitude")
        if not (math.isnan(self.height_m) or 0 < self.height_m < 20):
            _fail(self, "height_m", self.height_m, "NaN or between 0 and 20")
        return self


@dataclasses.dataclass(frozen=True)
class Clip:
    """A stretch of video with what is known about it. The last row of ``motion`` may be unknown.

    Attributes:
        frames: ``(T, H, W, 3)`` uint8 RGB.
        t_s: ``(T,)`` seconds, increasing.
        motion: ``(T,)``; row t is the motion from frame t to frame t+1.
        tags: ``(T,)``.
        camera: of these frames.
        valid_mask: ``(H, W)`` bool; false where the source camera saw nothing.
        road: ``(T, 2, P, 2)`` a map of the road as each frame sees it (``geometry.road``), or ``None``.
    """

    frames: FrameArray
    t_s: NDArray[np.float64]
    motion: EgoMotion
    tags: Tags
    camera: Camera
    valid_mask: NDArray[np.bool_]
    road: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: slice) -> Clip:
        parts = {name: getattr(self, name)[index] for name in ("frames", "t_s", "motion", "tags")}
        return dataclasses.replace(self, **parts, road=None if self.road is None else self.road[index])

    def validate(self) -> Clip:
        """Raise ``ValueError`` when shapes disagree or time does not increase."""
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[-1] != 3:
            _fail(self, "frames", (self.frames.dtype, self.frames.shape), "uint8 of shape (T, H, W, 3)")
        length = len(self.frames)
        if length == 0:
            _fail(self, "frames", self.frames.shape, "at least one frame")
        for field, shape in (("t_s", self.t_s.shape), ("motion", self.motion.shape), ("tags", self.tags.shape)):
            if shape != (length,):
                _fail(self, field, shape, f"shape ({length},)")
        if self.road is not None and (self.road.shape[:2], self.road.shape[3:]) != ((length, 2), (2,)):
            _fail(self, "road", self.road.shape, f"shape ({length}, 2, P, 2)")
        if not (np.diff(self.t_s) > 0).all():
            _fail(self, "t_s", float(np.diff(self.t_s).min()), "increasing times")
        if self.valid_mask.shape != self.frames.shape[1:3]:
            _fail(self, "valid_mask", self.valid_mask.shape, f"shape {self.frames.shape[1:3]}")
        if (self.camera.height_px, self.camera.width_px) != self.frames.shape[1:3]:
            _fail(self, "camera", (self.camera.height_px, self.camera.width_px), f"size {self.frames.shape[1:3]}")
        self.motion.validate()
        self.tags.validate()
        self.camera.validate()
        return self


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Where a drive starts and what surrounds it; who drives and what is measured belong to the run.

    Attributes:
        context: frames to start from, or tags alone.
        tags: wanted along the drive; ``None`` keeps those of the context.
        events: scripted happenings, each a mapping with at least ``kind`` and ``t_s``.
        seed: of everything random.
        length_s: of the drive.
        name: for people.
    """

    context: Clip | Tags
    tags: Tags | None = None
    events: tuple[Mapping[str, Any], ...] = ()
    seed: int = 0
    length_s: float = 60.0
    name: str = ""

    def validate(self) -> Scenario:
        """Raise ``ValueError`` on an impossible length, seed or event."""
        if not (math.isfinite(self.length_s) and self.length_s > 0):
            _fail(self, "length_s", self.length_s, "a positive number of seconds")
        if self.seed < 0:
            _fail(self, "seed", self.seed, "a number from 0")
        for event in self.events:
            if "kind" not in event or "t_s" not in event:
                _fail(self, "events", dict(event), "a mapping with kind and t_s")
            if not 0 <= event["t_s"] <= self.length_s:
                _fail(self, "events.t_s", event["t_s"], f"between 0 and length_s={self.length_s}")
        self.context.validate()
        if self.tags is not None:
            self.tags.validate()
        return self


@dataclasses.dataclass(frozen=True)
class Drive:
    """What happened: the record of one drive in any world. Metrics score any world's drive alike.

    Attributes:
        frames: a sequence of ``(H, W, 3)`` uint8 frames, possibly read lazily from disk.
        t_s: ``(T,)`` seconds.
        motion: ``(T,)``; the last row is unknown.
        controls: ``(T,)`` what the policy said at each frame, or ``None`` when motion was given.
        info: named ``(T, ...)`` columns: truth, readings, flags.
        tags: ``(T,)``.
        camera: of the frames.
        provenance: what made it: component hashes, seed, versions, options.
    """

    frames: Sequence[FrameArray]
    t_s: NDArray[np.float64]
    motion: EgoMotion
    controls: Controls | None
    info: Mapping[str, NDArray[Any]]
    tags: Tags
    camera: Camera
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.frames)

    def validate(self) -> Drive:
        """Raise ``ValueError`` when a column's length is not the number of frames."""
        length = len(self.frames)
        columns = {"t_s": self.t_s, "motion": self.motion, "tags": self.tags, "controls": self.controls}
        columns |= {f"info[{name}]": np.asarray(column) for name, column in self.info.items()}
        for field, column in columns.items():
            if column is not None and column.shape[:1] != (length,):
                _fail(self, field, column.shape, f"length {length}")
        return self


@runtime_checkable
class World(Protocol):
    """A driving world, learned or true. Rows of a batch are independent of each other.

    Row i started with ``seed`` is the row that ``seed + i`` gives alone.
    """

    camera: Camera
    dt_s: float

    def start(self, context: Clip | Tags | Sequence[Clip | Tags], *, batch: int = 1, seed: int = 0) -> FrameArray:
        """Begin ``batch`` worlds from a context (or one each, from a list); returns the newest frames (B, H, W, 3)."""
        ...

    def step(self, motion: EgoMotion, *, tags: Tags | None = None, decode: bool = True) -> NDArray[np.uint8] | None:
        """Move every row by ``motion`` (B,) or () and return the next frames (B, H, W, 3), or None undecoded."""
        ...

    def snapshot(self) -> Any:
        """The whole state, to be given back to ``restore``."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Return to a snapshot: what follows is what followed then, to the bit."""
        ...

    def reset(self, row: int, context: Clip | Tags, *, seed: int | None = None) -> None:
        """Start one row anew, leaving the others as they are."""
        ...
