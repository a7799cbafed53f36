"""Names for Gymnasium: ``gymnasium.make("worldmodel:Drive-v0")`` and ``("worldmodel:Reference-v0")``.

Importing ``worldmodel`` calls ``register_envs`` where Gymnasium is installed, so this file imports nothing else until
an environment is made.
"""

from __future__ import annotations

from typing import Any, Literal

from gymnasium.envs.registration import register, registry

#: Environment to the function that makes it.
ENVIRONMENTS = {
    "Drive-v0": "worldmodel.simulation.registration:make_drive_env",
    "Reference-v0": "worldmodel.simulation.registration:make_reference_env",
}


def register_envs(*_: Any) -> None:
    """Make the environments known; a second call changes nothing."""
    for name, entry_point in ENVIRONMENTS.items():
        if name not in registry:
            register(name, entry_point=entry_point)


def make_drive_env(
    *,
    model: str = "nano",
    length_s: float = 60.0,
    context_s: float = 3.2,
    tags: str = "",
    steps_per_frame: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["fp32", "bf16"] = "fp32",
    render_mode: str | None = None,
) -> Any:
    """``Drive-v0``: the learned world, started from frames of the reference world where no scenario is given.

    Args:
        model: bundled name, folder or Hub repository.
        length_s, context_s, tags: of the scenarios it makes itself, as those of ``rollout.py``.
        steps_per_frame, device, precision: as those of ``rollout.py``.
        render_mode: ``rgb_array`` or ``None``.
    """
    from worldmodel.simulation.env import DriveEnv
    from worldmodel.simulation.starting import StartConfig, open_start
    from worldmodel.simulation.worlds import WorldConfig, open_world
    from worldmodel.types import Scenario

    world, _ = open_world(WorldConfig(model=model, steps_per_frame=steps_per_frame, device=device, precision=precision))
    config = StartConfig(context_s=context_s, tags=tags)

    def scenario_of(seed: int) -> Scenario:
        start = open_start(config, world.camera, dt_s=world.dt_s, seed=seed)
        return Scenario(start.contexts[0], seed=seed, length_s=length_s)

    return DriveEnv(world, scenario_of_seed=scenario_of, render_mode=render_mode)


def make_reference_env(
    *,
    length_s: float = 60.0,
    tags: str = "",
    height_px: int = 128,
    width_px: int = 256,
    camera_height_m: float = 1.4,
    render_mode: str | None = None,
) -> Any:
    """``Reference-v0``: the reference world.

    Args:
        length_s, tags: of the scenarios it makes itself; what tags leave open is drawn from the seed.
        height_px, width_px, camera_height_m: of its canonical camera.
        render_mode: ``rgb_array`` or ``None``.
    """
    from worldmodel.geometry.camera import canonical_camera
    from worldmodel.reference.world import World
    from worldmodel.simulation.env import DriveEnv
    from worldmodel.simulation.starting import parse_tags
    from worldmodel.types import Scenario

    wanted = parse_tags(tags)
    return DriveEnv(
        World(camera=canonical_camera(height_px, width_px, height_m=camera_height_m)),
        scenario_of_seed=lambda seed: Scenario(wanted, seed=seed, length_s=length_s),
        render_mode=render_mode,
    )
