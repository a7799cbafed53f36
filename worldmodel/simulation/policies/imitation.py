"""A driver that imitates: a small convolutional network from one frame and its own speed to controls.

Behaviour cloning: Bojarski et al., "End to End Learning for Self-Driving Cars", arXiv 1604.07316. ``imitating`` trains
it. Knows pixels, nothing of worlds.

Shapes: B rows; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.nn.component import config_from, load_component
from worldmodel.simulation.policies.policy import Observation
from worldmodel.types import Controls

FILE = "imitation.safetensors"
#: Where ``imitating`` puts networks, and how many drives and steps each of its budgets has.
FOLDER = Path("outputs/imitation")
BUDGETS = {"small": (16, 300), "medium": (64, 1500), "large": (256, 6000)}


@dataclasses.dataclass(frozen=True)
class ImitationConfig:
    """Shape of the network.

    Attributes:
        height_px, width_px: it looks at.
        width: channels of its first layer.
    """

    height_px: int = 64
    width_px: int = 128
    width: int = 16


class ImitationNetwork(nn.Module):
    """Frames and speed → acceleration in units of 2 m/s², sideways acceleration in units of 3 m/s²."""

    def __init__(self, config: ImitationConfig) -> None:
        super().__init__()
        self.config = config
        widths = [3, *(config.width * 2**i for i in range(4))]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(4, b), nn.SiLU())
                for a, b in itertools.pairwise(widths)
            )
        )
        rows, columns = config.height_px // 16, config.width_px // 16
        self.squeeze = nn.Conv2d(widths[-1], 16, 1)
        self.head = nn.Sequential(nn.Linear(16 * rows * columns + 1, 128), nn.SiLU(), nn.Linear(128, 2))

    def forward(self, x_BCHW: Tensor, speed_B: Tensor) -> Tensor:
        """Frames in [-1, 1] of any size and speeds in m/s → ``(B, 2)``."""
        size = (self.config.height_px, self.config.width_px)
        if x_BCHW.shape[-2:] != size:
            x_BCHW = F.interpolate(x_BCHW, size, mode="bilinear", align_corners=False, antialias=True)
        features = self.squeeze(self.layers(x_BCHW)).flatten(1)
        return self.head(torch.cat([features, speed_B[:, None] / 20 - 1], dim=1))


#: Units of the network's two answers.
UNITS_MPS2 = (2.0, 3.0)
#: Below this speed curvature is that of this speed: at a stand sideways acceleration says nothing.
LEAST_SPEED_MPS = 4.0


class Imitator:
    """Does what the network says.

    Args:
        network: a trained one.
        name: of the policy.
        device: where it computes.
    """

    needs_truth = False

    def __init__(self, network: ImitationNetwork, *, name: str, device: str = "cpu") -> None:
        self.name = name
        self._network, self._device = network.eval().to(device), device

    @classmethod
    def load(cls, folder: str | Path, *, name: str, device: str = "cpu") -> Imitator:
        """From a folder that ``imitating`` has written.

        Raises:
            ValueError: there is none; with the command that trains it.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise ValueError(
                f"policy {name}: {path} is not there; train it with "
                f"python -m worldmodel.simulation.imitating --budget {Path(folder).name} --out {folder}"
            )
        tensors, about = load_component(path)
        network = ImitationNetwork(config_from(ImitationConfig, about["config"]))
        network.load_state_dict(tensors)
        return cls(network, name=name, device=device)

    def reset(self, row: int, *, seed: int) -> None:
        """Nothing to forget: it looks at one frame at a time."""

    @torch.no_grad()
    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)``."""
        frames = torch.from_numpy(np.ascontiguousarray(observation.frames)).to(self._device)
        speed = torch.from_numpy(np.asarray(observation.speed_mps, dtype=np.float32)).to(self._device)
        said = self._network(frames.movedim(-1, 1).float() / 127.5 - 1, speed).double().cpu().numpy()
        lateral = said[:, 1] * UNITS_MPS2[1]
        return Controls(said[:, 0] * UNITS_MPS2[0], lateral / np.maximum(observation.speed_mps, LEAST_SPEED_MPS) ** 2)
