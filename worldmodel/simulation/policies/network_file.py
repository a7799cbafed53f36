"""A driver in a file: any ONNX or TorchScript network, with a few lines beside it that say what it wants.

``my_policy.yaml`` beside ``my_policy.onnx`` or ``my_policy.pt``:

    frame: {name: image, size: [64, 128], layout: chw, scale: [-1, 1], stack: 3}    # size is height, width
    speed: {name: speed, unit: mps}      # left out where it wants no speed
    outputs: [accel_mps2, curvature_1pm] # in the order of the columns of its one output (batch, 2); or steering_rad
    wheelbase_m: 2.8                     # for steering_rad alone
    batch: any                           # or 1: rows are asked one by one

Inputs are float32: the frame ``(B, stack * 3, H, W)`` (layout chw) or ``(B, H, W, stack * 3)`` (hwc), oldest first, and
the speed ``(B, 1)``. For TorchScript they are passed in this order and names mean nothing. Rows share no state.

Shapes: B rows; H, W pixels.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.geometry.motion import curvature_of_steering
from worldmodel.simulation.documents import Document, FieldError, known_fields, number
from worldmodel.simulation.policies.policy import Observation
from worldmodel.types import Controls, FrameArray

SUFFIXES = (".onnx", ".pt", ".ts", ".torchscript")
_UNITS = {"mps": 1.0, "kmh": 3.6}
_OUTPUTS = ("accel_mps2", "curvature_1pm", "steering_rad")


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What a network wants and says, as its file has it.

    Attributes:
        frame_name, speed_name: of the inputs; an empty speed name for none.
        height_px, width_px: of frames; 0 for the world's own size.
        layout: ``chw`` or ``hwc``.
        low, high: what black and white are.
        stack: newest frames it is shown.
        speed_factor: from m/s to its unit.
        outputs: of its two columns, the name of each.
        wheelbase_m: for a steering angle.
        one_by_one: rows are asked one at a time.
    """

    frame_name: str = "frame"
    speed_name: str = "speed"
    height_px: int = 0
    width_px: int = 0
    layout: Literal["chw", "hwc"] = "chw"
    low: float = 0.0
    high: float = 1.0
    stack: int = 1
    speed_factor: float = 1.0
    outputs: tuple[str, str] = ("accel_mps2", "curvature_1pm")
    wheelbase_m: float = 2.8
    one_by_one: bool = False

    @classmethod
    def load(cls, path: Path) -> Declaration:
        """Read and check the YAML file.

        Raises:
            ValueError: none is there, or a field is wrong; with file and line.
        """
        if not path.is_file():
            raise ValueError(f"{path}: no such file; it says what the network beside it wants (docs/policies.md)")
        document = Document.load(path)
        with document.locating():
            return cls.parse(document.data)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Declaration:
        """From a mapping as in the module's example.

        Raises:
            FieldError: a field that is unknown or impossible.
        """
        known_fields(data, ("frame", "speed", "outputs", "wheelbase_m", "batch"))
        frame = _mapping(data.get("frame", {}), "frame", ("name", "size", "layout", "scale", "stack"))
        height, width = _pair(frame.get("size", [0, 0]), ("frame", "size"))
        low, high = _pair(frame.get("scale", [0, 1]), ("frame", "scale"))
        layout = frame.get("layout", "chw")
        if layout not in ("chw", "hwc"):
            raise FieldError(("frame", "layout"), f"expected chw or hwc, got {layout!r}")
        stack = frame.get("stack", 1)
        if isinstance(stack, bool) or not isinstance(stack, int) or not 1 <= stack <= 32:
            raise FieldError(("frame", "stack"), f"expected a number of frames from 1 to 32, got {stack!r}")
        speed = _mapping(data.get("speed") or {}, "speed", ("name", "unit"))
        unit = speed.get("unit", "mps")
        if unit not in _UNITS:
            raise FieldError(("speed", "unit"), f"expected one of {', '.join(_UNITS)}, got {unit!r}")
        outputs = data.get("outputs", ["accel_mps2", "curvature_1pm"])
        is_pair = isinstance(outputs, list) and len(outputs) == 2 and set(outputs) <= set(_OUTPUTS)
        if not is_pair or "accel_mps2" not in outputs:
            raise FieldError(("outputs",), f"expected accel_mps2 and curvature_1pm or steering_rad, got {outputs!r}")
        batch = data.get("batch", "any")
        if batch not in ("any", 1):
            raise FieldError(("batch",), f"expected any or 1, got {batch!r}")
        return cls(
            frame_name=str(frame.get("name", "frame")),
            speed_name=str(speed.get("name", "speed")) if "speed" in data else "",
            height_px=int(height),
            width_px=int(width),
            layout=layout,
            low=low,
            high=high,
            stack=stack,
            speed_factor=_UNITS[unit],
            outputs=(outputs[0], outputs[1]),
            wheelbase_m=number(data.get("wheelbase_m", 2.8), ("wheelbase_m",), above=0.0),
            one_by_one=batch == 1,
        )


class NetworkFile:
    """Drives by a network from a file.

    Args:
        path: of the network; its declaration lies beside it.
        device: where a TorchScript network computes; ONNX runs on the CPU.

    Raises:
        ValueError: no such file or declaration, a network that cannot be read, or no onnxruntime for one in ONNX.
    """

    needs_truth = False

    def __init__(self, path: str | Path, *, device: str = "cpu") -> None:
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"policy: {path}: no such file")
        self.name, self.declaration = path.name, Declaration.load(path.with_suffix(".yaml"))
        self._ask = _onnx(path, self.declaration) if path.suffix == ".onnx" else _torchscript(path, device)
        self._seen: dict[int, collections.deque[NDArray[np.float32]]] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """Forget the frames of row ``row``."""
        self._seen[row] = collections.deque(maxlen=self.declaration.stack)

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)``; a drive's first frame stands for those before it."""
        declared = self.declaration
        for row, frame in enumerate(observation.frames):
            prepared = self._prepared(frame)
            self._seen[row].extend([prepared] * (1 if self._seen[row] else declared.stack))
        stacked = np.stack([np.concatenate(self._seen[row], axis=-1) for row in range(len(observation.frames))])
        frames = np.ascontiguousarray(np.moveaxis(stacked, -1, 1) if declared.layout == "chw" else stacked)
        inputs = [frames]
        if declared.speed_name:
            inputs.append((observation.speed_mps[:, None] * declared.speed_factor).astype(np.float32))
        if declared.one_by_one:
            rows = range(len(frames))
            said = np.concatenate([self._ask([part[row : row + 1] for part in inputs]) for row in rows])
        else:
            said = self._ask(inputs)
        if said.shape != (len(frames), 2):
            raise ValueError(f"{self.name}: expected an output of shape ({len(frames)}, 2), got {said.shape}")
        columns = dict(zip(declared.outputs, said.astype(np.float64).T))
        if "steering_rad" in columns:
            steering = np.clip(columns["steering_rad"], -1.4, 1.4)
            columns["curvature_1pm"] = curvature_of_steering(steering, declared.wheelbase_m)
        return Controls(columns["accel_mps2"], columns["curvature_1pm"])

    def _prepared(self, frame: FrameArray) -> NDArray[np.float32]:
        declared = self.declaration
        size = (declared.width_px or frame.shape[1], declared.height_px or frame.shape[0])
        if frame.shape[1::-1] != size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        return (frame.astype(np.float32) / 255 * (declared.high - declared.low) + declared.low).astype(np.float32)


def _onnx(path: Path, declared: Declaration) -> Callable[[list[NDArray[np.float32]]], NDArray[Any]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"policy: {path}: to run ONNX networks, pip install 'worldmodel[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common class that is public
        raise ValueError(f"policy: {path}: not an ONNX network ({str(error).splitlines()[0]})") from error
    wanted = {node.name for node in session.get_inputs()}
    given = [declared.frame_name, *([declared.speed_name] if declared.speed_name else [])]
    if set(given) != wanted:
        raise ValueError(f"{path.with_suffix('.yaml')}: it declares {given}, the network's inputs are {sorted(wanted)}")
    return lambda inputs: np.asarray(session.run(None, dict(zip(given, inputs)))[0])


def _torchscript(path: Path, device: str) -> Callable[[list[NDArray[np.float32]]], NDArray[Any]]:
    try:
        network = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(f"policy: {path}: not a TorchScript network ({str(error).splitlines()[0]})") from error

    @torch.no_grad()
    def ask(inputs: list[NDArray[np.float32]]) -> NDArray[Any]:
        return network(*(torch.from_numpy(part).to(device) for part in inputs)).cpu().numpy()

    return ask


def _mapping(data: Any, field: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise FieldError((field,), f"expected fields such as {known[0]}, got {data!r}")
    known_fields(data, known, (field,))
    return data


def _pair(value: Any, place: tuple[str, str]) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise FieldError(place, f"expected two numbers, got {value!r}")
    return number(value[0], (*place, 0)), number(value[1], (*place, 1))
