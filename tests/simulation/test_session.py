"""The learned world keeps the protocol's promises, whatever its weights are."""

import dataclasses
import resource
import time

import numpy as np
import pytest
import torch

from tests.tiny import WINDOW, tiny_model
from worldmodel.dynamics.conditioning import incoming, motion_channels
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.road import road_features
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import POINTS, seen_from
from worldmodel.simulation.session import Session, SessionState
from worldmodel.types import Clip, EgoMotion, Tags, World


def clip(seed: int, length: int = WINDOW) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        frames=rng.integers(0, 256, (length, 32, 64, 3), dtype=np.uint8),
        t_s=np.arange(length) * 0.1,
        motion=EgoMotion(rng.uniform(0, 20, length), rng.uniform(-0.3, 0.3, length)),
        tags=Tags(np.tile(Tags.named(weather="rain").codes, (length, 1))),
        camera=canonical_camera(32, 64, height_m=1.3),
        valid_mask=np.ones((32, 64), dtype=bool),
        road=np.cumsum(rng.uniform(2, 4, (length, 2, POINTS, 2)), axis=2).astype(np.float32),
    )


def motion(t: int) -> EgoMotion:
    return EgoMotion(5.0 + t % 7, 0.1 * np.sin(t))


def joined(frames: list[Told]) -> Told:
    """What single frames were told as one clip's."""
    parts = zip(*([getattr(x, part.name) for part in dataclasses.fields(Told)] for x in frames))
    return Told(*(None if x[0] is None else torch.cat(x, dim=1) for x in parts))  # pyright: ignore


def overheard(world: Session) -> list[torch.Tensor]:
    """What the network of a world will be told of the road, as it is asked."""
    told, original = [], world.model.dynamics.step
    world.model.dynamics.step = lambda z, tau, d, says, ring: told.append(says.road) or original(z, tau, d, says, ring)
    return told


@pytest.fixture(params=[(1.0, False), (0.4, False), (1.0, True)], ids=["", "remembers", "told of the road"])
def world(request: pytest.FixtureRequest) -> Session:
    newest, road = request.param
    return Session(tiny_model(1, newest=newest, road=road), sampler=SamplerConfig(2, past_tau=0.7))


def test_it_is_a_world(world: Session) -> None:
    assert isinstance(world, World)
    frames = world.start(clip(0), batch=3)
    assert frames.shape == (3, 32, 64, 3)
    assert frames.dtype == np.uint8
    assert world.step(motion(0)).shape == (3, 32, 64, 3)
    assert world.step(motion(1), decode=False) is None
    assert world.camera.width_px == 64


def test_the_first_frame_is_the_contexts_last_one_reconstructed(world: Session) -> None:
    context = clip(0, length=3 * WINDOW)
    shown = world.start(context)[0].astype(int)
    x = torch.from_numpy(context.frames[-1:]).movedim(-1, 1) / 127.5 - 1
    with torch.no_grad():
        again = world.model.tokenizer.decode(world.model.tokenizer.encode(x))[0].clamp(-1, 1)
    assert np.abs(shown - ((again.movedim(0, -1).numpy() + 1) * 127.5)).max() < 1.0


def test_the_cached_world_equals_the_full_network_over_the_whole_history(world: Session) -> None:
    """Drawing frame t with the ring is the full forward over all frames so far, their kept noise included."""
    context = clip(0)
    world.start(context)
    network = world.model.dynamics
    seen, tau, told = [], [], []
    original = network.step

    def spy(z, tau_B, d_B, says, ring):
        out = original(z, tau_B, d_B, says, ring)
        if tau_B[0] == world.sampler.past_tau:  # the pass that leaves the frame in the ring; drawing is at 0 and 1/2
            seen.append(z)
            tau.append(tau_B)
            told.append(says)
        elif spy.compare:
            past = [*seen, z]
            with torch.no_grad():
                whole = network(
                    torch.stack(past, 1),
                    torch.stack([*tau, tau_B], 1),
                    torch.stack([torch.full_like(t, 1 / 32) for t in tau] + [d_B], 1),
                    joined([*told, says]),
                )
            spy.worst = max(spy.worst, (whole[:, -1] - out).abs().max().item())
        return out

    spy.compare, spy.worst = False, 0.0
    network.step = spy
    world.start(context)
    spy.compare = True
    for t in range(3 * WINDOW + 2):
        world.step(motion(t), decode=False)
    assert len(seen) == WINDOW + 3 * WINDOW + 2
    assert spy.worst < 1e-4


def test_restore_replays_to_the_bit_and_a_snapshot_shares_nothing(world: Session) -> None:
    world.start(clip(0), batch=2, seed=5)
    for t in range(WINDOW + 1):
        world.step(motion(t))
    snapshot = world.snapshot()
    first = [world.step(motion(t), tags=Tags.named(weather="snow")) for t in range(2 * WINDOW)]
    world.restore(snapshot)
    again = [world.step(motion(t), tags=Tags.named(weather="snow")) for t in range(2 * WINDOW)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    world.restore(snapshot)
    other = [world.step(motion(t), tags=Tags.named(weather="clear")) for t in range(2)]
    assert not np.array_equal(first[1], other[1])


def test_what_came_before_the_newest_frame_is_seen_where_it_is_known(world: Session) -> None:
    """What has moved by itself shows in the last two frames; a snapshot carries both."""
    world.start(clip(0), batch=2, seed=5)
    world.step(motion(0))
    snapshot = world.snapshot()

    def next_frame(state: SessionState) -> np.ndarray:
        world.restore(state)
        return world.step(motion(1))

    usual = next_frame(snapshot)
    assert not np.array_equal(usual, next_frame(dataclasses.replace(snapshot, before=-snapshot.before)))
    unknown = dataclasses.replace(snapshot, led=torch.full_like(snapshot.led, torch.nan))
    other = dataclasses.replace(unknown, before=-snapshot.before)
    assert np.array_equal(next_frame(unknown), next_frame(other))
    assert not np.array_equal(usual, next_frame(unknown))


def test_the_same_seed_gives_the_same_drive_and_another_another(world: Session) -> None:
    def drive(seed: int) -> np.ndarray:
        world.start(clip(0), seed=seed)
        return np.stack([world.step(motion(t)) for t in range(5)])

    assert np.array_equal(drive(1), drive(1))
    assert not np.array_equal(drive(1), drive(2))


def test_a_row_does_not_feel_its_neighbours(world: Session) -> None:
    contexts = [clip(0), Tags.named(weather="fog"), clip(2, length=2)]

    def latents_alone(row: int) -> list[torch.Tensor]:
        world.start(contexts[row], seed=7 + row)
        out = []
        for t in range(2 * WINDOW):
            world.step(EgoMotion(*(x + row for x in (motion(t).speed_mps, motion(t).yaw_rate_radps))), decode=False)
            out.append(world.latents()[0].clone())
        return out

    alone = [latents_alone(row) for row in range(3)]
    world.start(contexts, seed=7)
    for t in range(2 * WINDOW):
        m = motion(t)
        world.step(EgoMotion(m.speed_mps + np.arange(3), m.yaw_rate_radps + np.arange(3)), decode=False)
        for row in range(3):
            assert (world.latents()[row] - alone[row][t]).abs().max() < 1e-4, (row, t)


def test_resetting_a_row_leaves_the_others_to_the_bit_and_starts_it_as_if_alone(world: Session) -> None:
    def others(*, reset: bool) -> tuple[torch.Tensor, torch.Tensor]:
        world.start([clip(0), clip(1), clip(2)], seed=3)
        for t in range(WINDOW + 3):
            world.step(motion(t), decode=False)
        if reset:
            world.reset(1, clip(9), seed=50)
        for t in range(3):
            world.step(motion(t), decode=False)
        latents = world.latents()
        return latents[[0, 2]].clone(), latents[1].clone()

    undisturbed, _ = others(reset=False)
    after, row = others(reset=True)
    assert torch.equal(undisturbed, after)
    world.start(clip(9), seed=50)
    for t in range(3):
        world.step(motion(t), decode=False)
    assert (world.latents()[0] - row).abs().max() < 1e-4
    with pytest.raises(ValueError, match="no row 3"):
        world.reset(3, clip(0))


def latents_of(world: Session, steps: range) -> torch.Tensor:
    out = []
    for t in steps:
        m = motion(t)
        world.step(EgoMotion(m.speed_mps + np.arange(world.batch), m.yaw_rate_radps), decode=False)
        out.append(world.latents().clone())
    return torch.stack(out)


def test_a_row_goes_back_alone_and_the_others_do_not_feel_it(world: Session) -> None:
    world.start([clip(0), clip(1), clip(2)], seed=3)
    latents_of(world, range(WINDOW + 1))
    then = world.snapshot_row(1)
    first = latents_of(world, range(WINDOW + 3))
    undisturbed = world.snapshot()
    expected = latents_of(world, range(2 * WINDOW))
    world.restore(undisturbed)
    world.restore_row(1, then)
    after = latents_of(world, range(2 * WINDOW))
    assert torch.equal(after[:, [0, 2]], expected[:, [0, 2]])
    # The ring's slots lie otherwise by now, so sums are taken in another order.
    assert (after[: WINDOW + 3, 1] - first[:, 1]).abs().max() < 1e-4
    assert (after[:, 1] - expected[:, 1]).abs().max() > 1e-3


def test_a_row_alone_comes_back_to_the_bit(world: Session) -> None:
    world.start(clip(0), seed=3)
    latents_of(world, range(WINDOW + 1))
    then = world.snapshot_row(0)
    first = latents_of(world, range(5))
    world.restore(SessionState.joined([then]))
    assert torch.equal(latents_of(world, range(5)), first)


def test_rows_of_several_worlds_make_a_batch(world: Session) -> None:
    """As people come and go: each row is what it is alone, however old it is and whoever is beside it."""
    states, expected = [], []
    for row, age in enumerate((1, WINDOW + 2, 3 * WINDOW)):
        world.start(clip(row), seed=row)
        latents_of(world, range(age))
        states.append(world.snapshot_row(0))
        alone = [world.step(EgoMotion(motion(t).speed_mps + row, motion(t).yaw_rate_radps)) for t in range(6)]
        assert alone[0] is not None
        expected.append(world.latents()[0].clone())
    world.restore(SessionState.joined(states))
    together = latents_of(world, range(6))[-1]
    for row in range(3):
        assert (together[row] - expected[row]).abs().max() < 1e-4
    world.restore(world.snapshot().of_rows([2]))
    assert world.batch == 1
    assert torch.equal(world.latents()[0], together[2])
    with pytest.raises(ValueError, match="no row 1"):
        world.snapshot_row(1)
    with pytest.raises(ValueError, match="a snapshot of 3 rows"):
        world.restore_row(0, SessionState.joined(states))


def test_motion_reaches_the_frame_it_leads_to(world: Session) -> None:
    """What is told at step t is what training puts at that frame: the outgoing row of the frame before."""
    context = clip(0)
    told = []
    original = world.model.dynamics.step
    world.model.dynamics.step = lambda z, tau, d, says, ring: (
        told.append(says.motion) or original(z, tau, d, says, ring)
    )
    world.start(context)
    world.step(EgoMotion(11.0, 0.2))
    height = torch.tensor(1.3, dtype=torch.float64)
    outgoing = motion_channels(
        torch.from_numpy(np.append(context.motion.speed_mps[:-1], [11.0, np.nan]))[None],
        torch.from_numpy(np.append(context.motion.yaw_rate_radps[:-1], [0.2, np.nan]))[None],
        torch.full((1, WINDOW + 1), 0.1, dtype=torch.float64),
        height,
    )
    expected = incoming(outgoing)[0]
    seen = torch.cat(told)[:, 0]
    assert torch.allclose(seen[1:WINDOW], expected[1:WINDOW], atol=1e-6)
    assert torch.allclose(seen[-1], expected[WINDOW], atol=1e-6)


def test_the_road_stays_where_it_is_while_the_ego_moves() -> None:
    """Told of each frame is the map as that frame sees it: of a context its own, then the last one's, moved on."""
    world = Session(tiny_model(road=True), sampler=SamplerConfig(1))
    told, original = [], world.model.dynamics.step
    world.model.dynamics.step = lambda z, tau, d, says, ring: told.append(says.road) or original(z, tau, d, says, ring)
    straight = np.stack([np.stack([4.0 * np.arange(200) - 12, np.full(200, y)], axis=-1) for y in (2.0, -1.5)])
    context = dataclasses.replace(clip(0), road=np.broadcast_to(straight, (WINDOW, *straight.shape)).astype(np.float32))
    grid, height = world.model.tokenizer.config.latent_grid, torch.tensor(1.3)

    def wanted(*, left_m: float = 0.0, turned_rad: float = 0.0) -> torch.Tensor:
        seen = seen_from(straight, np.array([0.0, left_m, turned_rad]))[:, :POINTS]
        return road_features(torch.from_numpy(seen).float(), height, world.camera, grid)

    world.start(context)
    assert torch.allclose(told[-1][0, 0], wanted(), atol=1e-4)
    world.step(EgoMotion(40.0, 0.0))
    assert torch.allclose(told[-1][0, 0], wanted(), atol=1e-4)  # straight on, all roads are alike
    snapshot = world.snapshot()
    world.step(EgoMotion(0.0, 2.0))
    assert torch.allclose(told[-1][0, 0], wanted(turned_rad=0.2), atol=1e-4)
    world.step(EgoMotion(10.0, 0.0))
    assert torch.allclose(told[-1][0, 0], wanted(left_m=np.sin(0.2), turned_rad=0.2), atol=2e-2)
    world.restore(snapshot)
    world.step(EgoMotion(40.0, 0.0))
    assert torch.allclose(told[-1][0, 0], wanted(), atol=1e-4)
    world.step(EgoMotion.unknown())
    assert (told[-1] == 0).all()
    world.step(EgoMotion(1.0, 0.0))
    assert (told[-1] == 0).all()
    world.reset(0, dataclasses.replace(context, road=None))
    assert (told[-1] == 0).all()


def test_a_road_that_ends_is_not_told_beyond_its_end() -> None:
    world = Session(tiny_model(road=True), sampler=SamplerConfig(1))
    told, original = [], world.model.dynamics.step
    world.model.dynamics.step = lambda z, tau, d, says, ring: told.append(says.road) or original(z, tau, d, says, ring)
    world.start(clip(0))
    for _ in range(60):
        world.step(EgoMotion(50.0, 0.0))
    assert (told[0] != 0).any()
    assert (told[-1] == 0).all()


def test_memory_and_time_of_a_step_do_not_grow(world: Session, record_property: object) -> None:
    world.start(clip(0))

    def elements() -> int:
        state = world.snapshot()
        return sum(x.numel() for x in [*state.ring.keys, *state.ring.values, state.latents, state.memory])

    def seconds(steps: int, start: int) -> float:
        begin = time.perf_counter()
        for t in range(start, start + steps):
            world.step(motion(t), decode=False)
        return (time.perf_counter() - begin) / steps

    seconds(20, 0)
    at_first, early = elements(), seconds(30, 20)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds(1900, 50)
    late = seconds(30, 1950)
    assert elements() == at_first
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 20_000  # KiB
    print(f"a step takes {1e3 * early:.2f} ms at first and {1e3 * late:.2f} ms after 2000")


def test_it_starts_from_tags_and_moves_without_knowing_the_motion(world: Session) -> None:
    frames = world.start(Tags.named(road_kind="town"), batch=2)
    assert not np.array_equal(frames[0], frames[1])  # rows have noise of their own
    assert world.step(EgoMotion.unknown()).shape == (2, 32, 64, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.start(Clip(np.zeros((2, 16, 16, 3), np.uint8), np.arange(2.0), EgoMotion.unknown((2,)),
                                Tags.unknown((2,)), canonical_camera(16, 16), np.ones((16, 16), bool))), "context"),
        (lambda w: w.step(EgoMotion(np.inf, 0.0)), "speed_mps"),
        (lambda w: w.step(EgoMotion(np.zeros(5), np.zeros(5))), "batch of 1"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_clear_error(world: Session, call: object, message: str) -> None:
    world.start(clip(0))
    with pytest.raises(ValueError, match=message):
        call(world)


def test_a_world_that_was_not_started_says_so() -> None:
    with pytest.raises(ValueError, match="start"):
        Session(tiny_model()).step(EgoMotion(1.0, 0.0))
    with pytest.raises(ValueError, match="steps_per_frame"):
        Session(tiny_model(), sampler=SamplerConfig(3))
    with pytest.raises(ValueError, match="precision"):
        Session(tiny_model(), precision="fp16")
