"""Names for Gymnasium: ``gymnasium.make("worldmodel:Drive-v0")`` and ``("worldmodel:Reference-v0")``.

``gymnasium.make_vec`` with ``num_envs`` gives many worlds in one batch. Importing ``worldmodel`` calls
``register_envs`` where Gymnasium is installed, so this file imports nothing else until an environment is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gymnasium.envs.registration import register, registry

from worldmodel.simulation.networks import Precision

_HERE = "worldmodel.simulation.registration"
#: Environment to the functions that make one and many.
ENVIRONMENTS = {
    "Drive-v0": (f"{_HERE}:make_drive_env", f"{_HERE}:make_drive_envs"),
    "Reference-v0": (f"{_HERE}:make_reference_env", f"{_HERE}:make_reference_envs"),
}


def register_envs(*_: Any) -> None:
    """Make the environments known; a second call changes nothing."""
    for name, (one, many) in ENVIRONMENTS.items():
        if name not in registry:
            register(name, entry_point=one, vector_entry_point=many)


def make_drive_env(*, render_mode: str | None = None, **settings: Any) -> Any:
    """``Drive-v0``: the learned world, started from frames of the reference world where no scenario is given.

    Args:
        render_mode: ``rgb_array`` or ``None``.
        settings: as of ``drive_world``.
    """
    from worldmodel.simulation.env import DriveEnv

    world, scenario_of, referee = drive_world(**settings)
    return DriveEnv(world, scenario_of_seed=scenario_of, referee=referee, render_mode=render_mode)


def make_drive_envs(*, num_envs: int = 1, **settings: Any) -> Any:
    """``Drive-v0`` many times, in one batch of one learned world; ``settings`` as of ``drive_world``."""
    from worldmodel.simulation.vector_env import VectorDriveEnv

    world, scenario_of, referee = drive_world(**settings)
    return VectorDriveEnv(world, num_envs, scenario_of_seed=scenario_of, referee=referee)


def drive_world(
    *,
    model: str = "nano",
    length_s: float = 60.0,
    context_s: float = 3.2,
    tags: str = "",
    steps_per_frame: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Precision = "auto",
    compile: bool = False,
    judge: str = "judge",
) -> tuple[Any, Callable[[int], Any], Any]:
    """A learned world, what it starts for a seed, and who says when a drive has failed.

    Args:
        model: bundled name, folder or Hub repository.
        length_s, context_s, tags: of the scenarios it makes itself, as those of ``rollout.py``.
        steps_per_frame, device, precision, compile: as those of ``rollout.py``.
        judge: perception that ends an episode at a collision or off the road, a bundled name or a folder; empty for
            none: then episodes end at their length alone.
    """
    from worldmodel.perception.streaming import StreamingReader
    from worldmodel.simulation.referee import Referee
    from worldmodel.simulation.starting import StartConfig, open_start
    from worldmodel.simulation.worlds import WorldConfig, open_world
    from worldmodel.types import Scenario

    settings = WorldConfig(
        model=model, steps_per_frame=steps_per_frame, device=device, precision=precision, compile=compile
    )
    world, about = open_world(settings)
    config = StartConfig(context_s=context_s, tags=tags)

    def scenario_of(seed: int) -> Scenario:
        start = open_start(config, world.camera, dt_s=world.dt_s, seed=seed)
        return Scenario(start.contexts[0], seed=seed, length_s=length_s)

    referee = Referee(StreamingReader.from_pretrained(judge, device=str(about["device"]))) if judge else None
    return world, scenario_of, referee


def make_reference_env(*, render_mode: str | None = None, **settings: Any) -> Any:
    """``Reference-v0``: the reference world.

    Args:
        render_mode: ``rgb_array`` or ``None``.
        settings: as of ``reference_world``.
    """
    from worldmodel.simulation.env import DriveEnv

    world, scenario_of = reference_world(**settings)
    return DriveEnv(world, scenario_of_seed=scenario_of, render_mode=render_mode)


def make_reference_envs(*, num_envs: int = 1, **settings: Any) -> Any:
    """``Reference-v0`` many times, one simulation a row; ``settings`` as of ``reference_world``."""
    from worldmodel.simulation.vector_env import VectorDriveEnv

    world, scenario_of = reference_world(**settings)
    return VectorDriveEnv(world, num_envs, scenario_of_seed=scenario_of)


def reference_world(
    *,
    length_s: float = 60.0,
    tags: str = "",
    height_px: int = 128,
    width_px: int = 256,
    camera_height_m: float = 1.4,
) -> tuple[Any, Callable[[int], Any]]:
    """A reference world, and what it starts for a seed.

    Args:
        length_s, tags: of the scenarios it makes itself; what tags leave open is drawn from the seed.
        height_px, width_px, camera_height_m: of its canonical camera.
    """
    from worldmodel.geometry.camera import canonical_camera
    from worldmodel.reference.world import World
    from worldmodel.simulation.starting import parse_tags
    from worldmodel.types import Scenario

    wanted = parse_tags(tags)
    world = World(camera=canonical_camera(height_px, width_px, height_m=camera_height_m))
    return world, lambda seed: Scenario(wanted, seed=seed, length_s=length_s)
