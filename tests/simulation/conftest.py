"""A tiny world that obeys ``types.World``: its frames show where it is, so a test can read them back."""

import dataclasses

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.types import Camera, Clip, EgoMotion, Tags


@dataclasses.dataclass
class FakeWorld:
    """Row b's frame holds its distance (red), heading (green) and seeded noise (blue)."""

    camera: Camera = dataclasses.field(default_factory=lambda: canonical_camera(32, 64, height_m=1.4))
    dt_s: float = 0.1
    tells: bool = True

    def start(self, context, *, batch=1, seed=0):
        contexts = list(context) if isinstance(context, (list, tuple)) else [context] * batch
        self.state = np.zeros((len(contexts), 2))
        self.seeds = np.arange(len(contexts)) + seed
        self.age = np.zeros(len(contexts), dtype=int)
        self.moved, self.told = [], []
        return self._frames()

    def step(self, motion, *, tags=None, decode=True):
        rows = len(self.state)
        self.state[:, 0] += np.nan_to_num(np.broadcast_to(motion.speed_mps, (rows,))) * self.dt_s
        self.state[:, 1] += np.nan_to_num(np.broadcast_to(motion.yaw_rate_radps, (rows,))) * self.dt_s
        self.age += 1
        self.moved.append(motion)
        self.told.append(tags)
        return self._frames() if decode else None

    def snapshot(self):
        return self.state.copy(), self.seeds.copy(), self.age.copy()

    def restore(self, snapshot):
        self.state, self.seeds, self.age = (part.copy() for part in snapshot)

    def reset(self, row, context, *, seed=None):
        self.state[row], self.age[row] = 0, 0
        if seed is not None:
            self.seeds[row] = seed

    def decode(self):
        return self._frames()

    def info(self):
        if not self.tells:
            return {}
        return {
            "distance_m": self.state[:, 0],
            "off_road": np.abs(self.state[:, 1]) > 1.0,
            "collision": self.state[:, 0] > 200.0,
        }

    def _frames(self):
        rows, (height, width) = len(self.state), (self.camera.height_px, self.camera.width_px)
        frames = np.zeros((rows, height, width, 3), dtype=np.uint8)
        frames[..., 0] = (self.state[:, 0] * 2 % 256).astype(np.uint8)[:, None, None]
        frames[..., 1] = (self.state[:, 1] * 40 + 128).clip(0, 255).astype(np.uint8)[:, None, None]
        noise = [np.random.default_rng([s, a]).integers(0, 255) for s, a in zip(self.seeds, self.age)]
        frames[..., 2] = np.array(noise, dtype=np.uint8)[:, None, None]
        return frames


@pytest.fixture
def fake_world():
    return FakeWorld()


@pytest.fixture
def make_fake_world():
    return FakeWorld


@pytest.fixture
def clip():
    """Eight frames of a steady left bend; the last motion is unknown, as at the end of an episode."""
    camera = canonical_camera(32, 64)
    speed, yaw = np.full(8, 10.0), np.full(8, 0.2)
    speed[-1] = yaw[-1] = np.nan
    return Clip(
        frames=np.zeros((8, 32, 64, 3), dtype=np.uint8),
        t_s=np.arange(8) * 0.1,
        motion=EgoMotion(speed, yaw),
        tags=Tags.unknown((8,)),
        camera=camera,
        valid_mask=np.ones((32, 64), dtype=bool),
    ).validate()
