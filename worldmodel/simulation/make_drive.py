"""``rollout.py``: one drive, or a batch of them, in the learned world, on disk.

Puts together where a drive starts, who drives, the engine and the recorder. Knows nothing of how any of them works.

Shapes: B rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from worldmodel.simulation.documents import find_document
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.outputs import landing
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.policies.policy import Policy
from worldmodel.simulation.policies.simple import Recorded, Scripted
from worldmodel.simulation.profile import Profile
from worldmodel.simulation.prompting import Prompt
from worldmodel.simulation.recorder import PROVENANCE, DriveRecorder, write_json
from worldmodel.simulation.rollout import Moment, begin, rollout
from worldmodel.simulation.sheet import contact_sheet, write_png
from worldmodel.simulation.starting import Start, StartConfig, open_start, parse_tags
from worldmodel.simulation.watch import Watch, band_for
from worldmodel.simulation.worlds import WorldConfig, open_world, surroundings
from worldmodel.types import VOCABULARY, Clip, EgoMotion, Tags, World

DEFAULT_LENGTH_S = 60.0
DEFAULT_PROFILE = "winding"


@dataclasses.dataclass(frozen=True)
class DriveConfig(StartConfig, WorldConfig):
    """A drive in a learned world (the fields of ``WorldConfig``) from a start (those of ``StartConfig``).

    Attributes:
        out: folder; empty for ``outputs/drive``, numbered where that is taken.
        overwrite: replace a complete drive at ``out``.
        length_s: seconds; ``None`` for a minute, or what is left of a recorded motion that is shorter.
        seed: of the first row.
        batch: rows.
        context: as in ``StartConfig``; ``auto`` is the reference world, or with a prompt no frames at all.
        tags: wanted along the drive; empty keeps those of the context.
        prompt: a sentence that says what the drive shows, with times where it changes; what it says is read into tags.
        text_encoder: what reads it; empty for the bundled encoder, else a folder of one or of a T5 or CLIP checkpoint.
        motion: who moves: a recording, a profile or a policy; ``auto`` is the policy or profile that is named, else the
            recorded motion where there is one (of a reference context: what its driver went on to do), else a profile.
        profile: name in ``conf/profiles`` or a YAML file; empty for ``winding`` where one is needed.
        policy: name of a policy.
        motion_gain: factor on speed and yaw rate, or one for each.
        mirror: turn the other way.
        watch: say when the drive no longer looks like true video, where a band of its frame size is known.
    """

    out: str = ""
    overwrite: bool = False
    length_s: float | None = None
    seed: int = 0
    batch: int = 1
    context: str = "auto"
    prompt: str = ""
    text_encoder: str = ""
    motion: Literal["auto", "recorded", "scripted", "policy"] = "auto"
    profile: str = ""
    policy: str = ""
    motion_gain: float | tuple[float, float] = 1.0
    mirror: bool = False
    watch: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch < 1:
            raise ValueError(f"batch: expected a number from 1, got {self.batch}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a number from 0, got {self.seed}")
        if self.length_s is not None and not self.length_s > 0:
            raise ValueError(f"length_s: expected a number of seconds above 0, got {self.length_s}")
        if self.motion == "auto":
            return
        if (self.motion == "policy") != bool(self.policy):
            remedy = "name one with policy=" if self.motion == "policy" else f"leave out policy={self.policy}"
            raise ValueError(f"motion={self.motion}: {remedy}")

    @property
    def gains(self) -> tuple[float, float]:
        """Factors on speed and yaw rate, the mirror included."""
        speed, turn = self.motion_gain if isinstance(self.motion_gain, tuple) else (self.motion_gain, self.motion_gain)
        return speed, -turn if self.mirror else turn


@dataclasses.dataclass(frozen=True)
class Driver:
    """Who drives, from which speed, and for how long it can.

    Attributes:
        policy: the driver.
        speed_mps: at the start; ``None`` keeps that of the context.
        steps: how many it can say something about; ``None`` for ever.
        about: for the provenance.
    """

    policy: Policy
    speed_mps: float | None
    steps: int | None
    about: Mapping[str, Any]


def run(config: DriveConfig) -> Path:
    """Make the drive and return its folder.

    Raises:
        ValueError: a model, context, profile or policy that is not there or does not fit; nothing is written then.
    """
    return make_drive(config, *open_world(config))


def make_drive(config: DriveConfig, world: World, about_world: Mapping[str, Any]) -> Path:
    """``run`` in a world that is open; ``about_world`` joins the provenance."""
    prompt = Prompt.read(config.prompt, text_encoder=config.text_encoder) if config.prompt else None
    # A reference context is made for the drive: it ends at the speed at which a profile begins, or is driven on.
    speed_mps, ahead = None, 0
    if config.motion == "scripted" or (config.motion == "auto" and config.profile and not config.policy):
        speed_mps = profile_of(config).start_speed_mps
    elif not config.policy:
        ahead = max(1, round((config.length_s or DEFAULT_LENGTH_S) / world.dt_s))
    if prompt is not None and config.context == "auto" and not config.data:
        start = Start((prompt.at_start(),) * config.batch, None, {"context": "prompt", "context_frames": 0})
    else:
        start = open_start(
            dataclasses.replace(config, context="reference" if config.context == "auto" else config.context),
            world.camera,
            dt_s=world.dt_s,
            batch=config.batch,
            seed=config.seed,
            speed_mps=speed_mps,
            ahead=ahead,
        )
    driver = choose_driver(config, start, world.dt_s)
    steps = count_steps(config, driver, world.dt_s)
    rows_along = [tags_along(config.tags, prompt, context, steps, world.dt_s) for context in start.contexts]
    if prompt is not None:
        prompt.announce()
    provenance = {
        **about_world,
        **surroundings(),
        "start": dict(start.about),
        "driver": dict(driver.about),
        "seed": config.seed,
        "dt_s": world.dt_s,
        "first_frame": "the newest of the context, as the world sees it; those after it are the world's own",
        "options": dataclasses.asdict(config),
    } | ({} if prompt is None else {"prompt": prompt.about()})
    with landing(config.out, default="outputs/drive", overwrite=config.overwrite) as (partial, final):
        folders = [partial] if config.batch == 1 else [partial / f"{row:02d}" for row in range(config.batch)]
        carry = begin(
            world, start.contexts, driver.policy, batch=config.batch, seed=config.seed, speed_mps=driver.speed_mps
        )

        def told(number: int) -> Tags:
            return Tags(np.stack([along.codes[number] for along in rows_along]))

        wanted = told if config.tags or prompt is not None else None
        watch = open_watch(config, world, rows_along, steps)
        moments = rollout(world, driver.policy, carry, steps=steps, tags=wanted)
        # Closed before an interruption is reported: a bar that is left to the collector draws itself over the report.
        with contextlib.closing(_progress(moments, steps + 1, config.batch)) as counted:
            figures = record(counted, folders, world, rows_along, provenance, watch)
        if config.batch > 1:
            write_json(partial / PROVENANCE, provenance | figures)
        for folder in folders:
            write_png(folder / "sheet.png", contact_sheet(load_drive(folder)))
    drives = final / ("drive.mp4" if config.batch == 1 else "*/drive.mp4")
    print(f"{drives}: {steps * world.dt_s:.0f} s of driving, made at {figures['frames_per_s']:.1f} frames/s")
    if watch is not None:
        print(f"{watch.left.count(None)} of {config.batch} to the end inside what true drives are like")
    return final


def open_watch(config: DriveConfig, world: World, tags: Sequence[Tags], steps: int) -> Watch | None:
    """Who watches drives of ``tags (S + 1,)`` each.

    Nobody where it is not wanted, where nothing is known of true drives of this frame size, or where a drive is to
    change its look, as none of those do.
    """
    band = band_for(world.camera) if config.watch else None
    looks = [along.codes[:, : list(VOCABULARY).index("event")] for along in tags]
    if band is None or any((look != look[:1]).any() for look in looks):
        return None
    first = [along[0] for along in tags]
    return Watch(band, camera=world.camera, dt_s=world.dt_s, tags=first, steps=steps)


def choose_driver(config: DriveConfig, start: Start, dt_s: float) -> Driver:
    """Who drives, checked for the whole length of the drive.

    Raises:
        ValueError: a recorded motion is asked for where there is none, no such profile or policy, or a profile that
            is beyond the vehicle's limits.
    """
    speed_gain, turn_gain = config.gains
    motion = config.motion
    if motion == "auto":
        known = start.recorded is not None and bool(start.recorded.is_known.any())
        recorded = known and not config.profile
        motion = "policy" if config.policy else "recorded" if recorded else "scripted"
    if motion == "policy":
        if (speed_gain, turn_gain) != (1.0, 1.0):
            raise ValueError("motion_gain and mirror change a recorded or scripted motion, not what a policy does")
        return Driver(open_policy(config.policy), None, None, {"motion": "policy", "policy": config.policy})
    if motion == "recorded":
        if start.recorded is None:
            raise ValueError("motion=recorded: this context has no recorded motion; name data= or context=<file>.mp4")
        given = EgoMotion(start.recorded.speed_mps * speed_gain, start.recorded.yaw_rate_radps * turn_gain)
        return Driver(Recorded(given), None, given.shape[0], {"motion": "recorded", "gains": config.gains})
    profile = profile_of(config)
    profile.plan(dt_s, round((config.length_s or DEFAULT_LENGTH_S) / dt_s))
    # Frames of a context tell its speed; from tags alone the profile may begin at its own.
    speed_mps = None if isinstance(start.contexts[0], Clip) else profile.start_speed_mps
    about = {"motion": "scripted", "profile": profile.name, "gains": config.gains}
    return Driver(Scripted(profile), speed_mps, None, about)


def profile_of(config: DriveConfig) -> Profile:
    """The profile a configuration names, its gains and mirror applied.

    Raises:
        ValueError: no such profile, or one that is wrong.
    """
    speed_gain, turn_gain = config.gains
    return Profile.load(find_document("profiles", config.profile or DEFAULT_PROFILE)).scaled(
        speed=speed_gain, turn=turn_gain
    )


def count_steps(config: DriveConfig, driver: Driver, dt_s: float) -> int:
    """Steps of the drive.

    Raises:
        ValueError: it is to be longer than the motion recorded for it.
    """
    if config.length_s is None:
        steps = round(DEFAULT_LENGTH_S / dt_s)
        return steps if driver.steps is None else min(steps, driver.steps)
    steps = max(1, round(config.length_s / dt_s))
    if driver.steps is not None and steps > driver.steps:
        left_s = driver.steps * dt_s
        raise ValueError(f"length_s={config.length_s:g}: only {left_s:.1f} s of recorded motion are left from there")
    return steps


def record(
    moments: Iterator[Moment],
    folders: list[Path],
    world: World,
    tags: list[Tags],
    provenance: Mapping[str, Any],
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Stream a batch's moments into one folder per row, with its tags ``(S + 1,)``; returns wall time and frames/s.

    With a ``watch`` each row has a column ``info.band_deviation``: how far out of the band of true drives its newest
    second is, in half widths; above 1 is outside. When and by what it left is logged, and in its provenance.
    """
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        recorders = [
            stack.enter_context(
                DriveRecorder(folder, camera=world.camera, dt_s=world.dt_s, provenance={**provenance, "row": row})
            )
            for row, folder in enumerate(folders)
        ]
        for number, moment in enumerate(moments):
            info = dict(moment.info)
            if watch is not None:
                for row, left in watch.see(moment.frames, moment.motion, number):
                    tqdm.write(f"{folders[row].name if len(folders) > 1 else 'drive'}: {left}")
                info["band_deviation"] = watch.deviation
            for row, recorder in enumerate(recorders):
                recorder.write(
                    moment.frames[row],
                    t_s=moment.t_s,
                    motion=moment.motion[row],
                    controls=None if moment.controls is None else moment.controls[row],
                    tags=tags[row][number],
                    info={name: column[row] for name, column in info.items()},
                )
        wall_s = time.perf_counter() - began
        frames = sum(recorder.count for recorder in recorders)
        figures = {"wall_s": round(wall_s, 2), "frames_per_s": round(frames / wall_s, 2)}
        for row, recorder in enumerate(recorders):
            left = None if watch is None else watch.left[row]
            said = {} if watch is None else {"left_true_video": left and dataclasses.asdict(left)}
            recorder.finish(figures | said)
    return figures


def tags_along(text: str, prompt: Prompt | None, context: Clip | Tags, steps: int, dt_s: float) -> Tags:
    """The tags ``(S + 1,)`` of a drive's frames: those a text names, else what a prompt says, else the context's last.

    Raises:
        ValueError: as ``parse_tags`` and ``Prompt.along``.
    """
    named = parse_tags(text)
    tags = context.tags if isinstance(context, Clip) else context
    last = Tags(tags.codes if tags.codes.ndim == 1 else tags.codes[-1], tags.caption)
    if prompt is None:
        along = Tags(np.repeat(last.codes[None], steps + 1, axis=0), named.caption)
    else:
        along = prompt.along(last, steps, dt_s)
    return Tags(np.where(named.codes > 0, named.codes, along.codes), along.caption)


def _progress(moments: Iterator[Moment], total: int, rows: int) -> Generator[Moment, None, None]:
    """A bar that counts frames of all rows."""
    yield from tqdm(moments, "driving", total=total, unit="frame", unit_scale=rows if rows > 1 else False)
