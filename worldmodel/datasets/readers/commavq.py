"""commaVQ: minutes of driving as tokens, 1200 frames of 8x16 codes of 10 bits at 20 Hz, with or without poses.

Read are folders of ``*.npy`` token arrays (``(N, 8, 16)`` or ``(N, 128)``; a ``pose.npy`` beside ``token.npy``, or
``<name>.pose.npy`` beside ``<name>.token.npy``). Frames are decoded by the published decoder, a file the user names:
``decoder.onnx`` (run by OpenCV) or a TorchScript file (run by torch). Without it nothing can be seen, and the error
says where to get it.

A pose is six numbers per frame, of which the publisher tells neither unit nor axes. They are taken for those of
openpilot's ``cameraOdometry``: forwards, right, down, and about these axes. Motion stays unknown until the user
says whether they are rates (m/s, rad/s) or steps from the frame before (m, rad); preparing then checks the turn.

Format: https://github.com/commaai/commavq (README, notebooks/decode.ipynb); the decoder is ``decoder.onnx`` of
https://huggingface.co/commaai/commavq-gpt2m.

Shapes: N frames of a segment.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.files import numbers, parse_array, read_bytes
from worldmodel.datasets.source import Recording, assemble
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import EgoMotion, FrameArray

FPS, CODES, TOKENS = 20.0, 1024, 128
HEIGHT_PX, WIDTH_PX = 128, 256
#: The pictures are comma's own model input: a focal length of 910 px on a crop 1024 wide, so 58.7 degrees; the horizon
#: is 60 of 256 rows above the middle of a crop of 512.
HORIZONTAL_FOV_DEG, HORIZON, CAMERA_HEIGHT_M = 58.7, 0.37, 1.22
DECODER_URL = "https://huggingface.co/commaai/commavq-gpt2m"


@dataclasses.dataclass(frozen=True)
class CommaVQ:
    """A folder of token arrays; a ``source.Source``.

    Attributes:
        root: the folder.
        decoder: the published decoder, ``.onnx`` or TorchScript (``.pt``).
        poses: what the numbers of a pose are: ``rates``, ``steps``, or empty for unknown.
    """

    root: Path
    decoder: Path | None = None
    poses: Literal["", "rates", "steps"] = ""
    name: str = "commavq"

    def drives(self) -> list[str]:
        """Token arrays, named by their path from the root, sorted."""
        found = _segments(Path(self.root))
        if not found:
            raise ValueError(f"{self.root}: no *token*.npy in it, nor in its folders")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one segment; errors name the file."""
        path = _segments(Path(self.root))[drive_id]
        tokens = read_tokens(path)
        if self.decoder is None or not Path(self.decoder).is_file():
            named = "none was named" if self.decoder is None else f"{self.decoder} is not there"
            raise ValueError(
                f"{path}: tokens need the published decoder to become pictures, and {named}; "
                f"fetch decoder.onnx from {DECODER_URL} and name it with --decoder"
            )
        problems: list[str] = []
        camera = nominal_camera(WIDTH_PX, HEIGHT_PX, HORIZONTAL_FOV_DEG, horizon=HORIZON)
        return assemble(
            drive_id,
            t_s=np.arange(len(tokens)) / FPS,
            motion=_motion(path, len(tokens), self.poses, problems),
            speed_source="inferred",
            yaw_rate_source="inferred",
            camera=dataclasses.replace(camera, height_m=CAMERA_HEIGHT_M),
            frames=_Decoded(tokens, Path(self.decoder), problems),
            where=path,
            licence="MIT (comma.ai)",
            problems=problems,
        )


@functools.lru_cache(maxsize=2)
def _segments(root: Path) -> dict[str, Path]:
    """Token arrays by their path from the root. Kept: there are 100,000."""
    paths = [p for depth in ("", "*/", "*/*/") for p in sorted(root.glob(f"{depth}*token*.npy"))]
    return {"_".join([*p.parent.relative_to(root).parts, p.stem.removesuffix(".token")]): p for p in paths}


def read_tokens(path: Path) -> NDArray[np.int64]:
    """Tokens ``(N, 128)`` of a file.

    Raises:
        ValueError: another shape, no whole numbers, or codes outside 0..1023.
    """
    tokens = parse_array(read_bytes(path), path)
    if (
        tokens.dtype.kind not in "iu"
        or tokens.ndim not in (2, 3)
        or tokens.size != len(tokens) * TOKENS
        or not len(tokens)
    ):
        raise ValueError(f"{path}: expected whole numbers (N, 8, 16) or (N, 128), got {tokens.dtype} {tokens.shape}")
    tokens = tokens.reshape(len(tokens), TOKENS).astype(np.int64)
    if tokens.min() < 0 or tokens.max() >= CODES:
        raise ValueError(f"{path}: codes {tokens.min()}..{tokens.max()}, they must be within 0..{CODES - 1}")
    return tokens


def _motion(path: Path, count: int, kind: str, problems: list[str]) -> EgoMotion | None:
    pose_path = path.with_name(path.name.replace("token", "pose"))
    if pose_path == path or not pose_path.exists():
        problems.append(f"{pose_path}: missing, motion unknown")
        return None
    poses = numbers(parse_array(read_bytes(pose_path), pose_path), pose_path, (count, 6))
    if not kind:
        problems.append(f"{pose_path}: its units are not documented; say --poses rates or steps; motion unknown")
        return None
    if kind == "steps":
        # The step into frame t+1 is the motion from frame t on.
        poses = np.concatenate([poses[1:], np.full((1, 6), np.nan)]) * FPS
    else:
        # Rates at both ends of a step make its mean.
        poses = np.concatenate([(poses[1:] + poses[:-1]) / 2, np.full((1, 6), np.nan)])
    speed = np.hypot(poses[:, 0], poses[:, 1]) * np.where(poses[:, 0] < 0, -1.0, 1.0)
    return EgoMotion(speed, -poses[:, 5])


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """``FrameReader`` over tokens."""

    tokens: NDArray[np.int64]
    decoder: Path
    problems: list[str]

    def __call__(self, rows: Sequence[int]) -> Iterator[FrameArray | None]:
        decode = load_decoder(self.decoder)
        for row in rows:
            yield decode(self.tokens[row])


def load_decoder(path: Path) -> Callable[[NDArray[np.int64]], FrameArray]:
    """The function from tokens ``(128,)`` to a frame ``(128, 256, 3)``.

    Raises:
        ValueError: the file is no decoder, or gives no such frame.
    """
    try:
        if path.suffix == ".onnx":
            network = cv2.dnn.readNetFromONNX(str(path))

            def run(tokens: NDArray[np.int64]) -> NDArray[Any]:
                try:
                    network.setInput(tokens[None])  # whole numbers, as the published decoder takes them
                    return network.forward()
                except cv2.error:  # exported by somebody with another type
                    network.setInput(tokens[None].astype(np.float32))
                    return network.forward()
        else:
            import torch

            module = torch.jit.load(str(path), map_location="cpu").eval()

            def run(tokens: NDArray[np.int64]) -> NDArray[Any]:
                with torch.inference_mode():
                    return module(torch.from_numpy(tokens[None])).numpy()
    except (cv2.error, RuntimeError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not a decoder in ONNX or TorchScript: {error}; fetch it from {DECODER_URL}"
        ) from error

    def decode(tokens: NDArray[np.int64]) -> FrameArray:
        try:
            picture = run(tokens)
        except (cv2.error, RuntimeError) as error:
            raise ValueError(
                f"{path}: cannot be run: {error}; export it for a batch of one, tokens (1, 128)"
            ) from error
        if picture.shape != (1, 3, HEIGHT_PX, WIDTH_PX):
            raise ValueError(f"{path}: gives {picture.shape}, expected (1, 3, {HEIGHT_PX}, {WIDTH_PX})")
        return np.ascontiguousarray(picture[0].transpose(1, 2, 0).clip(0, 255).astype(np.uint8))

    return decode
