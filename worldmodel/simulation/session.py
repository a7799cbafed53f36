"""A running learned world: a model, a ring of the past, and rows that know nothing of each other.

``Session`` obeys ``types.World``. Each row has its own seed, age, tags and camera; its noise is a function of (seed,
step) alone. Memory and the time of a step do not grow with the age of the world.
Legend: B rows, V views, N tokens, C channels, H W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodel.dynamics.conditioning import MOTION_CHANNELS, motion_channels
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.road import road_features
from worldmodel.dynamics.sampler import SamplerConfig, commit_frame, draw_frame, row_noise, shown
from worldmodel.model import Past, WorldModel, decoded, move_ahead, no_memory
from worldmodel.simulation.contexts import Start
from worldmodel.simulation.networks import best_precision, fast_networks
from worldmodel.simulation.roads import Roads
from worldmodel.simulation.state import SessionState
from worldmodel.tokenizer.drift import STEPS_AGO
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.types import VOCABULARY, Clip, EgoMotion, Tags

#: Streams of a row's noise: what a frame is drawn from, what a finished frame is blurred with, what a moved one.
DRAW, KEEP, MOVE = 0, 1, 2


class Session:
    """The learned world, frame by frame.

    Args:
        model: a world model.
        sampler: how frames are drawn; ``None`` for the model's own settings.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32``, ``bf16``, or ``auto`` for what the device is fastest in; contexts are read in fp32 anyway.
        compiled: take most of a minute at the first steps to make the others twice as fast.
    """

    def __init__(
        self,
        model: WorldModel,
        *,
        sampler: SamplerConfig | None = None,
        device: str = "cpu",
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        self.precision = best_precision(precision, device)
        self.model = model.eval().to(device)
        self.sampler = (sampler or model.sampler).validate()
        self.device = torch.device(device)
        self.camera, self.dt_s = model.camera(), model.dt_s
        #: What is called at each step; ``model`` is what it was made from.
        self.networks = fast_networks(model, precision=self.precision, compiled=compiled)
        self._latents: Tensor | None = None
        #: The newest frames (B, V, C, H, W) where they have been decoded: the next step moves them.
        self._pictures: Tensor | None = None
        #: The same of the K frames before, the oldest first.
        self._earlier: list[Tensor | None] = []
        self._seeds: list[int] = []
        self._steps: list[int] = []

    @property
    def batch(self) -> int:
        """Rows of the running world."""
        return len(self._seeds)

    def another(self, sampler: SamplerConfig | None = None) -> Session:
        """A world of the same networks that has not begun; with a sampler of its own, or with this one's."""
        other = Session.__new__(Session)
        other.__dict__.update(self.__dict__)
        other.sampler = (sampler or self.sampler).validate()
        other._latents, other._pictures, other._seeds, other._steps = None, None, [], []
        return other

    @torch.no_grad()
    def start(
        self, context: Clip | Tags | Sequence[Clip | Tags], *, batch: int = 1, seed: int | Sequence[int] = 0
    ) -> NDArray[np.uint8]:
        """Begin: from frames, or from tags alone, in which case the first frame is drawn. Returns (B, H, W, 3).

        Row i is the row that ``seed + i`` gives alone, or ``seed[i]`` where there is one for each.

        Raises:
            ValueError: a context of the wrong frame size, or as many contexts as there are not rows.
        """
        contexts = [context] * batch if isinstance(context, (Clip, Tags)) else list(context)
        if not isinstance(context, (Clip, Tags)) and batch not in (1, len(contexts)):
            raise ValueError(f"start: {len(contexts)} contexts for batch={batch}")
        d = self.model.dynamics
        rows = len(contexts)
        tokens = d.frame_tokens()
        like = next(d.parameters())
        self._ring = d.transformer.new_ring(rows, tokens, like=like)
        self._latents = like.new_zeros(rows, d.views, d.tokens, d.channels)
        self._before = self._latents[:, None].repeat(1, STEPS_AGO, 1, 1, 1)
        self._led = like.new_full((rows, STEPS_AGO, MOTION_CHANNELS), torch.nan)
        self._memory = no_memory(d, self.model.tokenizer, rows, like=like)
        self._roads = Roads.unknown(rows)
        self._forget_pictures()
        self._seeds = [seed + i for i in range(rows)] if isinstance(seed, int) else list(seed)
        self._steps = [0] * rows
        self._tags = np.zeros((rows, len(VOCABULARY)), dtype=np.int64)
        self._height_m = np.full(rows, self.camera.height_m)
        self._begin(list(enumerate(contexts)))
        return self.decode()

    @torch.no_grad()
    def reset(self, row: int, context: Clip | Tags, *, seed: int | None = None) -> None:
        """Start one row anew, leaving the others to the bit as they are.

        Raises:
            ValueError: no such row, or a context of the wrong frame size.
        """
        self._check_row("reset", row)
        if seed is not None:
            self._seeds[row] = seed
        alone = self.another()
        alone.start(context, batch=1, seed=self._seeds[row])
        self.restore_row(row, alone.snapshot())

    @torch.no_grad()
    def step(self, motion: EgoMotion, *, tags: Tags | None = None, decode: bool = True) -> NDArray[np.uint8] | None:
        """Move every row by ``motion`` (B,) or () and draw the next frames.

        Args:
            motion: from the newest frame to the next; NaN lets the model choose.
            tags: new tags from here on, (B,) or (); ``None`` keeps what they are.
            decode: whether pixels are wanted.

        Raises:
            ValueError: motion or tags of another shape than the batch, or impossible values.
        """
        self._state()
        motion.validate()
        if motion.shape not in ((), (self.batch,)):
            raise ValueError(f"step: motion of shape {motion.shape} for a batch of {self.batch}")
        if tags is not None:
            self._tags = np.array(np.broadcast_to(tags.validate().codes, self._tags.shape))
        told = self._led_by(motion)
        with self._autocast():
            drawn = self._draw(told)
        self._go_on(drawn, told)
        self._keep(told)
        return self.decode() if decode else None

    @torch.no_grad()
    def observe(self, frames: NDArray[np.uint8], motion: EgoMotion, *, tags: Tags | None = None) -> None:
        """Take frames ``(B, H, W, 3)`` that were seen elsewhere as the next ones, instead of drawing them.

        Args:
            frames: of the model's size.
            motion: ``(B,)`` or (), from the newest frame to these; NaN where unknown.
            tags: as of ``step``.

        Raises:
            ValueError: frames of another size or number.
        """
        wanted = (self.batch, self.camera.height_px, self.camera.width_px, 3)
        if frames.shape != wanted:
            raise ValueError(f"observe: frames are {frames.shape}, expected {wanted}")
        if tags is not None:
            self._tags = np.array(np.broadcast_to(tags.validate().codes, self._tags.shape))
        told = self._led_by(motion, seen=True)
        latents = self.model.tokenizer.encode(
            to_network(torch.from_numpy(np.ascontiguousarray(frames)).to(self.device))
        )
        self._go_on(self.model.dynamics.normalise(latents)[:, None], told)
        self._keep(told)

    @torch.no_grad()
    def decode(self) -> NDArray[np.uint8]:
        """The newest frames ``(B, H, W, 3)``."""
        return to_frames(self._seen()[:, 0]).cpu().numpy()

    def latents(self) -> Tensor:
        """The newest latents ``(B, V, N, C)`` in tokenizer units."""
        return self.model.dynamics.denormalise(self._state())

    def snapshot(self) -> SessionState:
        """The whole state, to be given back to ``restore``."""
        return SessionState(
            self._ring.clone(),
            self._state().clone(),
            self._before.clone(),
            self._led.clone(),
            self._memory.clone(),
            self._roads,
            tuple(self._seeds),
            tuple(self._steps),
            self._tags.copy(),
            self._height_m.copy(),
        )

    def restore(self, snapshot: SessionState) -> None:
        """Return to a snapshot: what follows is what followed then, to the bit."""
        self._ring = snapshot.ring.clone()
        self._forget_pictures()
        kept = (snapshot.latents, snapshot.before, snapshot.led, snapshot.memory)
        self._latents, self._before, self._led, self._memory = (x.clone() for x in kept)
        self._roads = snapshot.roads
        self._seeds, self._steps = list(snapshot.seeds), list(snapshot.steps)
        self._tags, self._height_m = snapshot.tags.copy(), snapshot.height_m.copy()

    def snapshot_row(self, row: int) -> SessionState:
        """The state of one row, a snapshot of batch 1; ``snapshot().of_rows([row])`` without copying the others.

        Raises:
            ValueError: no such row.
        """
        self._check_row("snapshot_row", row)
        kept = (self._ring, self._state(), self._before, self._led, self._memory, self._roads)
        numbers = (tuple(self._seeds), tuple(self._steps), self._tags, self._height_m)
        return SessionState(*kept, *numbers).of_rows([row])

    def restore_row(self, row: int, snapshot: SessionState) -> None:
        """Return one row to a snapshot of batch 1, of this or another row, leaving the others to the bit as they are.

        Raises:
            ValueError: no such row, or a snapshot of several.
        """
        self._check_row("restore_row", row)
        if len(snapshot.seeds) != 1:
            raise ValueError(f"restore_row: a snapshot of {len(snapshot.seeds)} rows; take one with snapshot_row")
        self._ring.put_row(row, snapshot.ring)
        kept = (self._state(), self._before, self._led, self._memory)
        self._latents, self._before, self._led, self._memory = mine = tuple(x.clone() for x in kept)
        for x, its in zip(mine, (snapshot.latents, snapshot.before, snapshot.led, snapshot.memory)):
            x[row] = its[0]
        self._roads = self._roads.replaced(row, snapshot.roads.maps[0], snapshot.roads.poses[0])
        self._forget_pictures()
        self._seeds[row], self._steps[row] = snapshot.seeds[0], snapshot.steps[0]
        self._tags[row], self._height_m[row] = snapshot.tags[0], snapshot.height_m[0]

    def _check_row(self, call: str, row: int) -> None:
        if not 0 <= row < self.batch:
            raise ValueError(f"{call}: no row {row} in a batch of {self.batch}")

    def _begin(self, contexts: list[tuple[int, Clip | Tags]]) -> None:
        """Feed every row its context. Rows with shorter contexts wait, so that all end at the same slot."""
        window = self.model.dynamics.config.transformer.window
        starts = {row: Start.of(c, self.camera, window) for row, c in contexts}
        length = max(len(s.motion) for s in starts.values())
        encoded = {row: self._encode(s) for row, s in starts.items()}
        for t in range(length):
            index = {row: t - (length - len(s.motion)) for row, s in starts.items()}
            rows = [row for row, i in index.items() if i >= 0]
            for row in rows:
                s, i = starts[row], index[row]
                self._tags[row] = s.tags[i]
                self._roads = self._roads.replaced(row, None if s.road is None else s.road[i])
                self._height_m[row] = s.height_m if np.isfinite(s.height_m) else self._height_m[row]
            incoming = np.full((self.batch, 3), np.nan)
            for row in rows:
                incoming[row] = starts[row].motion[index[row]]
            told = self._told(incoming[:, 0], incoming[:, 1], incoming[:, 2])
            newest = self._state().clone()
            drawn = [row for row in rows if encoded[row] is None]
            if drawn:
                first = dataclasses.replace(self.sampler, steps=self.sampler.first_steps, guidance=1.0)
                with self._autocast():
                    new = self._draw(told, first)
                newest[drawn] = new[drawn]
            for row in rows:
                latents = encoded[row]
                if latents is not None:
                    newest[row] = latents[index[row]]
            self._go_on(newest, told)
            self._keep(told, only=rows)

    def _encode(self, start: Start) -> Tensor | None:
        """Normalised latents ``(T, V, N, C)`` of a context's frames."""
        if start.frames is None:
            return None
        x = to_network(torch.from_numpy(start.frames).to(self.device))
        # One at a time: the same frame then has the same latents to the bit, whatever stands beside it.
        latents = torch.cat([self.model.tokenizer.encode(frame[None]) for frame in x])
        return self.model.dynamics.normalise(latents)[:, None]

    def _go_on(self, newest: Tensor, told: Told) -> None:
        """The newest frames become the last of those before, and the motion that led on from them is remembered."""
        self._before = torch.cat([self._before[:, 1:], self._state()[:, None]], dim=1)
        self._led = torch.cat([self._led[:, 1:], told.motion], dim=1)
        self._earlier = [*self._earlier[1:], self._pictures]
        self._latents, self._pictures = newest, None

    def _forget_pictures(self) -> None:
        self._pictures, self._earlier = None, [None] * STEPS_AGO

    def _seen(self) -> Tensor:
        """The newest frames ``(B, V, C, H, W)``, decoded once."""
        if self._pictures is None:
            with self._autocast():
                self._pictures = decoded(self.networks.tokenizer, self.model.dynamics, self._state())
        return self._pictures

    def _keep(self, told: Told, *, only: list[int] | None = None) -> None:
        """Leave the newest frames in the ring; rows not in ``only`` stay as young as they are."""
        before = self._ring.count_B.clone()
        with self._autocast():
            network, keep = self.networks.dynamics, self._noise(KEEP)
            commit_frame(network, self._state(), keep, told, self._ring, self.sampler.past_tau)
        for row in range(self.batch):
            if only is None or row in only:
                self._steps[row] += 1
            else:
                self._ring.count_B[row] = before[row]

    def _draw(self, told: Told, sampler: SamplerConfig | None = None) -> Tensor:
        noise = self._noise(DRAW)
        return draw_frame(self.networks.dynamics, noise, told, self._ring, sampler or self.sampler).float()

    def _noise(self, stream: int) -> Tensor:
        state = self._state()
        return row_noise(state.shape[1:], self._seeds, self._steps, stream=stream, like=state)

    def _led_by(self, motion: EgoMotion, *, seen: bool = False) -> Told:
        """What the next frames are told: of the motion that leads to them, and of the road as it then lies.

        Unless they have been seen, the last frames are put right where their road has gone astray from its map.
        """
        rows = EgoMotion(*(np.broadcast_to(x, (self.batch,)) for x in (motion.speed_mps, motion.yaw_rate_radps)))
        before, self._roads = self._roads, self._roads.moved(rows, self.dt_s)
        dt_s = np.full(self.batch, self.dt_s)
        return self._told(rows.speed_mps, rows.yaw_rate_radps, dt_s, before=None if seen else before)

    def _told(self, speed_mps: NDArray, yaw_rate_radps: NDArray, dt_s: NDArray, *, before: Roads | None = None) -> Told:
        speed, yaw_rate, dt, height = (
            torch.from_numpy(np.array(x)) for x in (speed_mps, yaw_rate_radps, dt_s, self._height_m)
        )
        channels = motion_channels(speed, yaw_rate, dt, height)
        told = Told(channels[:, None].to(self.device), torch.from_numpy(self._tags)[:, None].to(self.device))
        if self.model.dynamics.config.road:
            windows_BEK2 = torch.from_numpy(self._roads.windows()).to(self.device)
            grid = self.model.tokenizer.config.latent_grid
            road_BNF = road_features(windows_BEK2, height.to(self.device), self.camera, grid)
            told = dataclasses.replace(told, road=road_BNF[:, None])
        if not self.model.dynamics.config.moved:
            return told
        pictures, tokenizer, dynamics = self._seen(), self.networks.tokenizer, self.networks.dynamics
        with self._autocast():
            past = None
            if tokenizer.drift is not None:
                earlier = self._earlier[0]
                if earlier is None:
                    earlier = decoded(tokenizer, self.model.dynamics, self._before[:, 0])
                past = Past(earlier, self._led)
            road = None
            if self.sampler.righted and before is not None and before.known():
                road = torch.from_numpy(before.windows()).to(self.device)
            args = (tokenizer, dynamics, self._state(), told.motion[:, 0], past, self._memory)
            moved, self._memory = move_ahead(*args, frames_BVCHW=pictures, road_BEK2=road, righted=self.sampler.righted)
        return shown(told, moved.float(), self._noise(MOVE), self.sampler.moved_tau)

    def _state(self) -> Tensor:
        if self._latents is None:
            raise ValueError("Session: call start() before anything else")
        return self._latents

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
