"""``rollout.py mode=restyle``: a recorded or generated drive in another weather, time of day or season, on disk.

Puts together where the drive lies, what the prompt says, the world that draws it anew and the recorder. Knows nothing
of how any of them works.

Shapes: N frames of the drive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from worldmodel.datasets.video import StreamingVideoWriter
from worldmodel.perception.reader import Reader
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.footage import Footage, open_episode, open_recording, resized
from worldmodel.simulation.outputs import landing
from worldmodel.simulation.prompting import Prompt
from worldmodel.simulation.recorder import VIDEO, DriveRecorder
from worldmodel.simulation.restyling import Restyling, restyled
from worldmodel.simulation.session import Session
from worldmodel.simulation.sheet import grid, labelled, write_png
from worldmodel.simulation.worlds import WorldConfig, open_world, surroundings
from worldmodel.types import Camera, Clip, EgoMotion, FrameArray, Tags

BESIDE = "beside.mp4"
#: Frames that are read at a time.
_STRETCH = 64
#: Moments of the drive on the sheet.
_ON_SHEET = 5


@dataclasses.dataclass(frozen=True)
class RestyleConfig(WorldConfig):
    """A drive to be drawn anew; the fields of ``WorldConfig`` say by which world.

    Attributes:
        input: folder of a drive, or an mp4 with its table beside it.
        data: a prepared data set, instead of ``input``.
        episode: number or name of the episode in it.
        cameras: profiles of a recording's camera, as in mode=drive.
        t_s: seconds into it where to begin.
        length_s: seconds; ``None`` for all that is left.
        prompt: what the drive is to show; where it says nothing of weather or time of day, they stay.
        text_encoder: what reads it, as in mode=drive.
        level: signal level the given frames are noised to, from 0 (only the motion is kept) to just below 1.
        settle: how often the first frame is drawn again before the drive begins.
        colours: first give frames the colours of frames the world draws of the prompt alone.
        seed: of the noise.
        out: folder; empty for ``outputs/restyle``, numbered where that is taken.
        overwrite: replace a complete run at ``out``.
    """

    input: str = ""
    data: str = ""
    episode: int | str = 0
    cameras: str = ""
    t_s: float = 0.0
    length_s: float | None = None
    prompt: str = ""
    text_encoder: str = ""
    level: float = 0.4
    settle: int = 4
    colours: bool = False
    seed: int = 0
    out: str = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.level < 1:
            raise ValueError(f"level: expected a number from 0 and below 1, got {self.level}")
        if self.settle < 0:
            raise ValueError(f"settle: expected a number from 0, got {self.settle}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a number from 0, got {self.seed}")
        if self.t_s < 0:
            raise ValueError(f"t_s: expected a number of seconds from 0, got {self.t_s}")
        if self.length_s is not None and not self.length_s > 0:
            raise ValueError(f"length_s: expected a number of seconds above 0, got {self.length_s}")


def run(config: RestyleConfig) -> Path:
    """Draw the drive anew and return the folder.

    Raises:
        ValueError: no such drive, model or encoder, no prompt or one that says nothing, or a time outside the drive.
    """
    if not config.prompt:
        raise ValueError('restyle: say how it is to look, as in prompt="snow at night"')
    prompt = Prompt.read(config.prompt, text_encoder=config.text_encoder)
    session, about_world = open_world(config)
    assert isinstance(session, Session)
    world = Restyling(
        session.model,
        level=config.level,
        sampler=session.sampler,
        device=str(session.device),
        precision=config.precision,
        compiled=config.compile,
    )
    footage = open_footage(config, world.camera)
    first = footage.nearest(config.t_s + float(footage.t_s[0]))
    last = len(footage) - 1 if config.length_s is None else footage.nearest(footage.t_s[first] + config.length_s)
    if last == first:
        raise ValueError(f"t_s={config.t_s:g}: {footage.name} has no step after that")
    dt_s = float(np.diff(footage.t_s[first : last + 1]).mean())
    wanted = prompt.along(Tags.unknown(), last - first, dt_s)
    prompt.announce()
    provenance = {
        **about_world,
        **surroundings(),
        "restyled": {"name": footage.name, "first_s": float(footage.t_s[first]), **footage.about},
        "prompt": prompt.about(),
        "dt_s": dt_s,
        "options": dataclasses.asdict(config),
    }
    with landing(config.out, default="outputs/restyle", overwrite=config.overwrite) as (partial, final):
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            recorder = stack.enter_context(
                DriveRecorder(partial, camera=world.camera, dt_s=dt_s, provenance=provenance)
            )
            size = 2 * world.camera.height_px, world.camera.width_px
            film = StreamingVideoWriter(partial / BESIDE, *size, fps=1 / dt_s)
            stack.enter_context(film)
            given = _moments(footage, first, last, wanted, world)
            height_m = footage.read(first, 1).camera.height_m
            sheet = _draw_all(config, world, given, last - first + 1, recorder, film, height_m)
            wall_s = time.perf_counter() - began
            rate = (last - first + 1) / wall_s
            recorder.finish({"wall_s": round(wall_s, 2), "frames_per_s": round(rate, 2)})
        write_png(partial / "sheet.png", grid(sheet, columns=2))
    print(f"{final / BESIDE}: {(last - first) * dt_s:.0f} s of driving, made at {rate:.1f} frames/s")
    return final


def _draw_all(
    config: RestyleConfig,
    world: Restyling,
    given: Iterator[tuple[FrameArray, EgoMotion, EgoMotion, Tags, float]],
    count: int,
    recorder: DriveRecorder,
    film: StreamingVideoWriter,
    height_m: float,
) -> list[FrameArray]:
    """Draw, record and film every frame; returns tiles of some moments, given and drawn."""
    kept: list[tuple[FrameArray, EgoMotion, Tags, float]] = []

    def told() -> Iterator[tuple[FrameArray, EgoMotion, Tags]]:
        for frame, incoming, outgoing, tags, t_s in given:
            kept.append((frame, outgoing, tags, t_s))
            yield frame, incoming, tags

    on_sheet = set(np.linspace(0, count - 1, _ON_SHEET).round().astype(int).tolist())
    tiles = []
    drawing = restyled(world, told(), seed=config.seed, settle=config.settle, colours=config.colours, height_m=height_m)
    for number, drawn in enumerate(tqdm(drawing, "restyling", total=count, unit="frame")):
        frame, outgoing, tags, t_s = kept.pop()
        recorder.write(drawn, t_s=t_s, motion=outgoing, controls=None, tags=tags, info={})
        film.write(np.concatenate([frame, drawn]))
        if number in on_sheet:
            tiles += [labelled(frame, f"{t_s:.1f} s   given", scale=2), labelled(drawn, "drawn", scale=2)]
    return tiles


def _moments(
    footage: Footage, first: int, last: int, wanted: Tags, world: Restyling
) -> Iterator[tuple[FrameArray, EgoMotion, EgoMotion, Tags, float]]:
    """Frame, motion that led to it (over the world's own step), motion that leads on, tags, seconds since the first.

    Motion that nobody recorded is read from the pixels by the bundled ``driver``.
    """
    reader: Reader | None = None
    incoming = EgoMotion.unknown()
    for start in range(first, last + 1, _STRETCH):
        # One frame more than is drawn here, so that the step between two stretches is read too.
        count = min(_STRETCH, last + 1 - start)
        clip = footage.read(start, min(count + 1, last + 1 - start))
        motion = clip.motion
        if not motion[: len(clip) - 1].is_known.all() and len(clip) > 1:
            reader = reader or Reader.from_pretrained("driver")
            motion = _completed(motion, clip, reader)
        spans = np.diff(footage.t_s[start : start + count + 1], append=np.nan)
        for i in range(count):
            at = start - first + i
            said = wanted.codes[at]
            tags = Tags(np.where(said > 0, said, clip.tags.codes[i]), wanted.caption)
            is_last = start + i == last
            outgoing = EgoMotion.unknown() if is_last else motion[i]
            yield clip.frames[i], incoming, outgoing, tags, float(footage.t_s[start + i] - footage.t_s[first])
            # A step of another length is the same displacement over the world's own.
            stretch = spans[i] / world.dt_s
            incoming = EgoMotion(outgoing.speed_mps * stretch, outgoing.yaw_rate_radps * stretch)


def _completed(motion: EgoMotion, clip: Clip, reader: Reader) -> EgoMotion:
    """Motion ``(T,)`` with what pixels say where it is not known."""
    read = reader.read(clip.frames, clip.t_s, clip.camera).motion
    pairs = ((motion.speed_mps, read.speed_mps), (motion.yaw_rate_radps, read.yaw_rate_radps))
    return EgoMotion(*(np.where(np.isfinite(own), own, seen) for own, seen in pairs))


def open_footage(config: RestyleConfig, camera: Camera) -> Footage:
    """The drive, episode or recording to be drawn anew, at the size of the camera.

    Raises:
        ValueError: neither or both are named, or nothing is there.
    """
    if bool(config.input) == bool(config.data):
        raise ValueError("restyle: name a drive's folder or an mp4 with input=, or a prepared set with data=")
    if config.data:
        return open_episode(config.data, config.episode, camera)
    if (Path(config.input) / VIDEO).is_file():
        return _open_drive(config.input, camera)
    return open_recording(config.input, camera, time_s=config.t_s, cameras=config.cameras)


def _open_drive(folder: str, camera: Camera) -> Footage:
    drive = load_drive(folder)

    def read(first: int, count: int) -> Clip:
        rows = slice(first, first + count)
        frames = np.stack([np.asarray(drive.frames[i]) for i in range(first, first + count)])
        valid = np.ones(frames.shape[1:3], dtype=bool)
        clip = Clip(frames, drive.t_s[rows], drive.motion[rows], drive.tags[rows], drive.camera, valid)
        return resized(clip, camera)

    return Footage(Path(folder).name, drive.t_s, drive.motion, read, {"source": str(folder)})
