"""Perception frame by frame: what ``Reader`` reads of a stretch, as the frames come, for many drives at once.

It remembers the last looks at each row, so that each frame is looked at once. ``Smoother`` makes readings steady enough
to steer by. Knows nothing of worlds or of who asks.

Shapes: R rows that are read, of any number that are remembered; H, W pixels; F features.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from worldmodel.perception.network import FLAGS, NUMBERS, Look, Perceiver
from worldmodel.perception.reader import load_perceiver
from worldmodel.types import VOCABULARY, Camera, FloatArray, FrameArray

#: Names of what a glance holds of each row, beside features.
COLUMNS = (
    "speed_mps", "yaw_rate_radps", "lane_offset_m", "heading_error_rad", "curvature_ahead_1pm", "gap_m",
    "closing_speed_mps", *FLAGS,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Glance:
    """What the newest frames show.

    Attributes:
        columns: ``(R,)`` by name of ``COLUMNS``: motion of the step that *ended* at the frame, numbers as in
            ``reader.Readings`` (a gap is told even where ``has_gap`` is unlikely), probabilities of flags. Motion and
            closing speed are NaN at a row's first frame.
        scales: ``(R,)`` of their errors (Laplace) by the same names, but for flags; that of ``gap_m`` in metres.
        road_kinds: ``(R, K)`` probability of each word of the vocabulary.
        features: ``(R, F)``.
    """

    columns: Mapping[str, FloatArray]
    scales: Mapping[str, FloatArray]
    road_kinds: FloatArray
    features: FloatArray


class StreamingReader:
    """Reads frames one at a time.

    Args:
        network: a trained perceiver.
        device: where it computes.
    """

    def __init__(self, network: Perceiver, *, device: str = "cpu") -> None:
        self.network = network.eval().to(device)
        self._device = torch.device(device)
        self._last: dict[int, Look] = {}
        self._past: dict[int, list[torch.Tensor]] = {}

    @classmethod
    def from_pretrained(cls, name_or_path: str, *, device: str = "cpu") -> StreamingReader:
        """As ``reader.load_perceiver``."""
        return cls(load_perceiver(name_or_path), device=device)

    def __deepcopy__(self, memo: dict[int, object]) -> StreamingReader:
        """A reader that remembers the same and goes its own way; the network, which does not change, is shared."""
        other = StreamingReader.__new__(StreamingReader)
        other.network, other._device = self.network, self._device
        other._last, other._past = dict(self._last), {row: list(past) for row, past in self._past.items()}
        return other

    def forget(self, row: int) -> None:
        """The next frame of row ``row`` is the first of a new drive."""
        self._last.pop(row, None)
        self._past.pop(row, None)

    @torch.no_grad()
    def read(self, frames: FrameArray, camera: Camera, *, dt_s: float, rows: Sequence[int] | None = None) -> Glance:
        """Read the newest frames ``(R, H, W, 3)`` uint8 of ``rows`` (by default 0, 1, ...), ``dt_s`` after the last.

        Raises:
            ValueError: frames that are not of the camera's size.
        """
        rows = range(len(frames)) if rows is None else rows
        if frames.shape != (len(rows), camera.height_px, camera.width_px, 3):
            size = (camera.height_px, camera.width_px, 3)
            raise ValueError(f"frames: expected {len(rows)} of shape {size}, got {frames.shape}")
        x = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).movedim(-1, 1).float() / 127.5 - 1
        look = self.network.look(self.network.sized(x).contiguous(memory_format=torch.channels_last))
        alone = [Look(*(part[i : i + 1] for part in look)) for i in range(len(rows))]
        is_first = np.array([row not in self._last for row in rows])
        # A drive's first frame stands for all before it, as ``Reader`` has it.
        before = Look(*(torch.cat(parts) for parts in zip(*(self._last.get(r, a) for r, a in zip(rows, alone)))))
        past = [self._past.get(row, [look.features[i]]) for i, row in enumerate(rows)]
        back = [torch.stack([p[min(n, len(p)) - 1] for p in past]) for n in range(2, self.network.config.context)]
        percept = self.network(before, look, torch.stack(back, dim=1) if back else None)
        for i, row in enumerate(rows):
            self._last[row] = alone[i]
            kept = [] if is_first[i] else self._past[row]
            self._past[row] = [look.features[i], *kept][: self.network.config.context - 1]

        def plain(tensor: torch.Tensor) -> FloatArray:
            return tensor.double().cpu().numpy()

        mean = {name: plain(value) for name, value in percept.mean.items()}
        scale = {name: plain(value) for name, value in percept.scale.items()}
        chord_mps, gap_m = camera.height_m / dt_s, np.exp(mean["log_gap"])
        same = [name for name in NUMBERS if name != "log_gap"]
        columns = {name: mean[name] for name in same}
        columns |= {
            "speed_mps": mean["chord_heights"] * chord_mps,
            "yaw_rate_radps": mean["turn_rad"] / dt_s,
            "gap_m": gap_m,
        }
        for name in ("speed_mps", "yaw_rate_radps", "closing_speed_mps"):
            columns[name] = np.where(is_first, np.nan, columns[name])
        columns |= {name: plain(percept.logits[name].sigmoid()) for name in FLAGS}
        scales = {name: scale[name] for name in same}
        scales |= {
            "speed_mps": scale["chord_heights"] * chord_mps,
            "yaw_rate_radps": scale["turn_rad"] / dt_s,
            "gap_m": gap_m * scale["log_gap"],
        }
        logits = percept.logits["road_kind"].clone()
        logits[:, VOCABULARY["road_kind"].index("unknown")] = -torch.inf  # "unknown" is no sight
        return Glance(columns, scales, plain(logits.softmax(dim=-1)), plain(percept.features))


class Smoother:
    """A steady value behind noisy readings: the Kalman filter of a random walk, one number a row.

    Kalman, "A New Approach to Linear Filtering and Prediction Problems", J. Basic Eng. 82, 35 (1960), equations 28-31
    with a scalar state: the variance grows by ``wander**2 * dt``, and a reading of variance R moves the value by the
    share P / (P + R). A Laplace distribution of scale b has the variance 2 b². What could not be read changes nothing
    but the variance.

    Args:
        wander: how far the value walks in a second (standard deviation), in its own unit.
    """

    def __init__(self, wander: float) -> None:
        self._wander = wander
        self._state: dict[int, tuple[float, float]] = {}

    def forget(self, row: int) -> None:
        """Row ``row`` begins anew."""
        self._state.pop(row, None)

    def follow(
        self, readings: FloatArray, scales: FloatArray, *, dt_s: float, drift: FloatArray | None = None
    ) -> FloatArray:
        """The values ``(R,)`` after readings ``(R,)`` with Laplace scales ``(R,)``; NaN before the first reading.

        Args:
            readings, scales: of rows 0 .. R - 1; NaN where nothing was read.
            dt_s: since the last.
            drift: ``(R,)`` what the values are expected to have changed by since then.
        """
        values = np.full(len(readings), np.nan)
        for row, (reading, scale) in enumerate(zip(readings, scales)):
            known = math.isfinite(reading) and math.isfinite(scale)
            if row in self._state:
                value, variance = self._state[row]
                moved = 0.0 if drift is None or not math.isfinite(drift[row]) else float(drift[row])
                value, variance = value + moved, variance + self._wander**2 * dt_s
                if known:
                    share = variance / (variance + 2 * float(scale) ** 2 + 1e-12)
                    value, variance = value + share * (float(reading) - value), variance * (1 - share)
            elif known:
                value, variance = float(reading), 2 * float(scale) ** 2
            else:
                continue
            self._state[row] = value, variance
            values[row] = value
        return values
