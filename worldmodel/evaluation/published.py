"""FID, FVD and LPIPS proper, in the published networks' features: only from weights that the user names.

The files are the TorchScript ones that StyleGAN3 and StyleGAN-V published and most papers since have used:

- ``fid_weights``: ``inception-2015-12-05.pt``, called as ``network(images, return_features=True)`` with uint8 images
  ``(N, 3, H, W)``; it resizes them to 299×299 itself. Every frame of every drive counts.
- ``fvd_weights``: ``i3d_torchscript.pt``, called as ``network(videos, rescale=True, resize=True,
  return_features=True)`` with float videos ``(N, 3, T, H, W)`` of 0 to 255; it resizes them to 224×224 itself, whatever
  their aspect. Clips are of 16 frames at the world's own rate, one after the other without overlap.
- ``lpips_weights``: ``vgg16.pt``, called as ``network(images, resize_images=False, return_lpips=True)`` with float
  images of 0 to 255 at the world's own size; LPIPS is the squared distance of what it returns.

Nothing is resized here, so that the only resize is the published one. Features of any other network never go by these
names. Knows files and frames, nothing of drives.

Shapes: T frames; N images or clips; F features; K times that likeness is asked at.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel.evaluation.obedience import score_of
from worldmodel.evaluation.pairs import AT_S, Pair, frames_at
from worldmodel.metrics.frechet import frechet_distance
from worldmodel.metrics.intervals import known_mean
from worldmodel.types import FloatArray, FrameArray

#: Frames of a clip.
CLIP = 16
_BATCH = 16
_PROTOCOL = {
    "fid": "all frames, resized to 299x299 by the network itself, 2048 features of its last pooling",
    "fvd": f"clips of {CLIP} frames without overlap, resized to 224x224 by the network itself, 400 logits",
    "lpips": "single frames at their own size",
}


@dataclasses.dataclass(frozen=True)
class Published:
    """TorchScript files that the user named; empty for none.

    Attributes:
        fid, fvd, lpips: paths.
    """

    fid: str = ""
    fvd: str = ""
    lpips: str = ""

    def __post_init__(self) -> None:
        for name, path in dataclasses.asdict(self).items():
            if path and not Path(path).is_file():
                raise ValueError(f"{name}_weights={path}: no such file; name a published TorchScript file, or none")

    def hashes(self) -> dict[str, str]:
        """Of the files that were named."""
        named = {name: path for name, path in dataclasses.asdict(self).items() if path}
        return {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in named.items()}

    def features(self, t_s: FloatArray, generated: FrameArray, true: FrameArray) -> dict[str, np.ndarray]:
        """What a pair of drives ``(T, H, W, 3)`` leaves to be scored: features by name and side, LPIPS ``(K,)``.

        Raises:
            ValueError: a file that is no such network.
        """
        kept: dict[str, np.ndarray] = {}
        for side, frames in (("generated", generated), ("true", true)):
            if self.fid:
                kept[f"fid/{side}"] = _said("fid", self.fid, frames, return_features=True)
            if self.fvd:
                count = len(frames) // CLIP
                clips = frames[: count * CLIP].reshape(count, CLIP, *frames.shape[1:])
                kept[f"fvd/{side}"] = _said("fvd", self.fvd, clips, rescale=True, resize=True, return_features=True)
        if self.lpips:
            at = frames_at(t_s)
            one, other = (
                _said("lpips", self.lpips, f[at], resize_images=False, return_lpips=True) for f in (generated, true)
            )
            kept["lpips"] = np.full(len(AT_S), np.nan)
            kept["lpips"][: len(at)] = ((one.astype(np.float64) - other) ** 2).sum(axis=1)
        return kept


def published_scores(pairs: Sequence[Pair], hashes: Mapping[str, str]) -> dict[str, Any]:
    """``fid``, ``fvd`` and ``lpips`` of the weights that were named: value, floor, how many, and the protocol.

    The floor of the Fréchet distances is that of one half of the true drives to the other. Their samples are fewer, and
    fewer samples are further apart: ``value_of_halves``, generated drives of one half to true ones of the other, is
    what it compares with.
    """
    scores: dict[str, Any] = {}
    for name, found in hashes.items():
        about = {"network": found, "protocol": _PROTOCOL[name]}
        if name == "lpips":
            columns = np.stack([pair.kept["lpips"] for pair in pairs])
            at = {f"{s:g}": known_mean(column) for s, column in zip(AT_S, columns.T) if np.isfinite(column).any()}
            main = AT_S.index(1.0)
            scores[name] = score_of(columns[:, main], np.zeros(len(pairs)), {}) | {"at": at} | about
            continue
        made, true = ([pair.kept[f"{name}/{side}"] for pair in pairs] for side in ("generated", "true"))
        scores[name] = {
            "value": _distance(made, true),
            "floor": _distance(true[::2], true[1::2]),
            "value_of_halves": _distance(made[::2], true[1::2]),
            "n": len(np.concatenate(true)),
        } | about
    return scores


def _distance(some: Sequence[FloatArray], others: Sequence[FloatArray]) -> float | None:
    if not some or not others:
        return None
    a, b = np.concatenate(some), np.concatenate(others)
    return frechet_distance(a, b) if min(len(a), len(b)) > 1 else None


@torch.no_grad()
def _said(name: str, path: str, frames: FrameArray, **how: bool) -> np.ndarray:
    """Features ``(N, F)`` float32 of images ``(N, H, W, 3)`` or clips ``(N, T, H, W, 3)``."""
    network = _network(path)
    found = []
    for start in range(0, len(frames), _BATCH):
        x = torch.from_numpy(np.ascontiguousarray(frames[start : start + _BATCH])).movedim(-1, 1)
        try:
            said = network(x if name == "fid" else x.float(), **how)
        except RuntimeError as error:
            raise ValueError(
                f"{name}_weights={path}: not the published network: {str(error).splitlines()[-1]}"
            ) from None
        found.append(said.float().flatten(1).numpy())
    return np.concatenate(found) if found else np.empty((0, 1), np.float32)


@functools.lru_cache(maxsize=4)
def _network(path: str) -> Any:
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except RuntimeError as error:
        raise ValueError(f"{path}: not a TorchScript file: {str(error).splitlines()[0]}") from None
