"""``rollout.py mode=serve``: puts a world, a house and its door together, and says where to find it.

Knows which parts there are, not how any of them works.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import secrets
import socket
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.server.between import Mover
from worldmodel.server.house import House
from worldmodel.server.openings import Openings
from worldmodel.server.place import PlaceLimits
from worldmodel.server.rows import LearnedRows, ReferenceRows, Rows
from worldmodel.server.saving import Keeper
from worldmodel.simulation.prompting import open_encoder
from worldmodel.simulation.scenario import LIBRARY
from worldmodel.simulation.session import Session
from worldmodel.simulation.starting import StartConfig
from worldmodel.simulation.worlds import WorldConfig, open_world, surroundings
from worldmodel.types import EgoMotion, Tags

if TYPE_CHECKING:
    import uvicorn

#: A step may take this share of its time; the rest is for pictures, sockets and other people's machines.
_SHARE = 0.85
_REFERENCE_DT_S = 0.1


@dataclasses.dataclass(frozen=True)
class ServeConfig(StartConfig, WorldConfig):
    """A world to be driven by people (``WorldConfig``), and where their drives begin (``StartConfig``).

    Attributes:
        world: ``learned``, or the true one, ``reference``.
        fit: take fewer steps a frame where this machine is too slow for real time; not where ``steps_per_frame`` says
            what is wanted.
        scenario: those a drive can begin from: a scenario, a folder of them, or ``library``.
        seed: of the configured start.
        host: address to listen on.
        port: ... and its port; 0 takes a free one.
        token: that a browser has to show; drawn where one is needed and none is given.
        seats: how many people can drive at once.
        pictures_per_s: shown at most; those the world has not drawn are its newest, moved by what the car does
            meanwhile. As many as the world draws, or fewer, shows its own alone.
        image: file type of the pictures.
        quality: of them, 1 to 100.
        rewind_s: how far back a drive can be rewound.
        longest_s: of a drive.
        out: folder of saved drives.
        compile: as of every world, but here somebody waits for each frame.
    """

    world: Literal["learned", "reference"] = "learned"
    fit: bool = True
    scenario: str = LIBRARY
    seed: int = 0
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    seats: int = 4
    pictures_per_s: float = 20.0
    image: Literal["jpeg", "webp"] = "jpeg"
    quality: int = 85
    rewind_s: float = 60.0
    longest_s: float = 3600.0
    out: str = "outputs/serve"
    compile: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (
            ("port", 0, 65535),
            ("seats", 1, 64),
            ("pictures_per_s", 1, 60),
            ("quality", 1, 100),
            ("rewind_s", 1, 600),
            ("longest_s", 1, 86400),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name}: expected a number from {least} to {most}, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a number from 0, got {self.seed}")


def run(config: ServeConfig) -> None:
    """Serve until interrupted.

    Raises:
        ValueError: a model, start or scenario that is not there, an address that is taken, or a missing package.
    """
    require_packages()
    from worldmodel.server.gate import is_loopback

    token = config.token or ("" if is_loopback(config.host) else secrets.token_urlsafe(16))
    with listen(config.host, config.port) as listener:
        house, keeper, title = open_house(config)
        server = server_of(house, keeper, title, token)
        print(f"{title}; the first drive is being made ready", flush=True)
        house.start()
        try:
            print(f"drive at {address_of(listener, token)} (Ctrl-C ends)", flush=True)
            server.run(sockets=[listener])
        finally:
            house.close()


def require_packages() -> None:
    """Raise ``ValueError`` where the ``server`` extra is not installed."""
    missing = [name for name in ("starlette", "uvicorn", "websockets") if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "pip install -c constraints.txt 'worldmodel[server]'"
        raise ValueError(f"mode=serve: {', '.join(missing)} missing; {remedy}")


def open_house(config: ServeConfig) -> tuple[House, Keeper, str]:
    """A house that has not been started, where it saves, and what its world is called.

    Raises:
        ValueError: as ``run``.
    """
    about: dict[str, Any] = {}
    open_encoder()  # now, so that the first prompt does not keep the world waiting
    if config.world == "reference":
        camera = canonical_camera(128, 256, height_m=NOMINAL_HEIGHT_M)
        rows: Rows = ReferenceRows(camera, _REFERENCE_DT_S)
        mover, title, about = Mover(camera, None), "the reference world", {"world": "reference"}
    else:
        session, about = open_world(config)
        assert isinstance(session, Session)
        title = f"the learned world of {config.model}"
        if config.compile:
            print("the networks are being compiled: up to a minute (compile=false begins at once)", flush=True)
        if config.fit and config.steps_per_frame is None:
            session.sampler = fitting_sampler(session)
            about["sampler"] = dataclasses.asdict(session.sampler)
            title += f", {session.sampler.steps} steps a frame"
        rows, mover = LearnedRows(session), Mover(session.camera, session.model.tokenizer.depth)
    about = {**about, **surroundings(), "threads": config.threads, "options": _without_secrets(config)}
    openings = Openings(rows, config, scenarios=config.scenario, seed=config.seed)
    limits = PlaceLimits(config.rewind_s, config.longest_s)
    keeper = Keeper(Path(config.out), about)
    house = House(
        rows,
        openings,
        keeper,
        seats=config.seats,
        limits=limits,
        mover=mover,
        pictures_per_s=config.pictures_per_s,
        image=config.image,
        quality=config.quality,
    )
    return house, keeper, title


def fitting_sampler(session: Session) -> SamplerConfig:
    """The model's own settings, with as many steps a frame as one row has time for on this machine, but at least two.

    Guidance stays: without it a model that was made for it hardly obeys, nor does it with a single step
    (``docs/serve.md``). A world that is slower than real time is the lesser evil.
    """
    own = session.sampler
    trial = session.another()
    trial.start(Tags.unknown())
    steps = own.steps
    while True:
        trial.sampler = dataclasses.replace(own, steps=steps)
        if steps <= 2 or _step_s(trial) <= _SHARE * session.dt_s:
            return trial.sampler
        steps //= 2


def _step_s(session: Session) -> float:
    """Median time of a step."""
    times = []
    for _ in range(6):
        began = time.perf_counter()
        session.step(EgoMotion(10.0, 0.0))  # pyright: ignore[reportArgumentType]
        if session.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address.

    Raises:
        ValueError: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)  # whoever comes before the server runs waits for it
    except OSError as error:
        raise ValueError(f"host={host} port={port}: {error.strerror or error}; choose another with port=") from error
    return listener


def address_of(listener: socket.socket, token: str) -> str:
    """Where a browser finds it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


def server_of(house: House, keeper: Keeper, title: str, token: str) -> uvicorn.Server:
    """A server that can be run on a bound socket. Nothing a client does is worth a line in the log."""
    import uvicorn

    from worldmodel.server.app import App
    from worldmodel.server.gate import Gate, GuardedSocket, guarded_http
    from worldmodel.server.messages import MOST_BYTES

    app = App(house, Gate(token), keeper, world=title)
    return uvicorn.Server(
        uvicorn.Config(
            app.asgi,
            loop="asyncio",
            http=guarded_http(),
            ws=GuardedSocket,
            ws_max_size=MOST_BYTES,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            ws_per_message_deflate=False,
            h11_max_incomplete_event_size=8192,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            backlog=64,
        )
    )


def _without_secrets(config: ServeConfig) -> Mapping[str, Any]:
    return {name: value for name, value in dataclasses.asdict(config).items() if name != "token"}
