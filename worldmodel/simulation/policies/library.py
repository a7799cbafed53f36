"""Policies by name. Knows which there are, not what they do.

idm-normal                  a name of ``names()``
idm-normal+gain=0.5+delay=0.3+noise=1    the same, made worse (``handicaps``)
scripted:winding            a profile of conf/profiles, or its YAML file
my_policy.onnx  my_policy.pt    a network with its declaration beside it (``network_file``)
http://localhost:8000       a policy in another process or language (``remote``)
imitation-small             a network that ``simulation.imitating`` has trained, or its folder
mpc                         plans in the world model of the run (``imagining``)
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable
from pathlib import Path

from worldmodel.model import WorldModel
from worldmodel.perception.network import Perceiver
from worldmodel.perception.reader import load_perceiver
from worldmodel.perception.streaming import StreamingReader
from worldmodel.simulation.documents import find_document
from worldmodel.simulation.policies import imitation
from worldmodel.simulation.policies.handicaps import HANDICAPS
from worldmodel.simulation.policies.imagining import ImaginingPlanner, planner_session
from worldmodel.simulation.policies.keeper import LaneKeeper
from worldmodel.simulation.policies.network_file import SUFFIXES, NetworkFile
from worldmodel.simulation.policies.oracle import OracleKeeper, oracle
from worldmodel.simulation.policies.policy import Policy
from worldmodel.simulation.policies.remote import RemotePolicy
from worldmodel.simulation.policies.seeing import seeing_drivers
from worldmodel.simulation.policies.simple import Constant, Random, RecordedOfTrial, Scripted
from worldmodel.simulation.policies.style import STYLES
from worldmodel.simulation.profile import Profile
from worldmodel.simulation.session import Session


@dataclasses.dataclass(frozen=True)
class Tools:
    """What policies are made with.

    Attributes:
        device: where their networks compute.
        model: the world model that planners plan in.
        driver: perception they see by, a bundled name or a folder.
        imitation: folder of ``imitation-*`` networks; empty for ``imitation.FOLDER``.
    """

    device: str = "cpu"
    model: str = "nano"
    driver: str = "driver"
    imitation: str = ""

    def planner(self) -> ImaginingPlanner:
        """A planner of one's own, on a model that is shared; its futures take two steps a frame."""
        memory = Session(_model(self.model, self.device), device=self.device, precision="auto")
        return ImaginingPlanner(memory, planner_session(memory, steps=2), self.reader())

    def reader(self) -> StreamingReader:
        """A reader of one's own, on weights that are shared."""
        return StreamingReader(_network(self.driver), device=self.device)


@functools.lru_cache(maxsize=4)
def _network(name: str) -> Perceiver:
    return load_perceiver(name)


@functools.lru_cache(maxsize=2)
def _model(name: str, device: str) -> WorldModel:
    return WorldModel.from_pretrained(name, device=device)


def _makers(tools: Tools) -> dict[str, Callable[[], Policy]]:
    """Name to the function that makes it."""
    made: dict[str, Callable[[], Policy]] = {
        "constant": Constant,
        "random": Random,
        "recorded": RecordedOfTrial,
        "lane-keeper": LaneKeeper,
        **seeing_drivers(tools.reader),
        "mpc": tools.planner,
        "oracle-keeper": OracleKeeper,
    }
    return made | {f"oracle-{style}": functools.partial(oracle, style) for style in STYLES}


def names() -> list[str]:
    """Of the policies that need nothing but their name."""
    return list(_makers(Tools()))


def open_policy(name: str, tools: Tools | None = None) -> Policy:
    """A new policy of that name, with handicaps where it says so.

    Raises:
        ValueError: there is none; with the nearest name.
    """
    own, *words = name.split("+")
    policy = _open(own, tools or Tools())
    for word in words:
        key, _, value = word.partition("=")
        if key not in HANDICAPS:
            raise ValueError(f"policy: {name!r}: {key!r} is no handicap; there are {', '.join(HANDICAPS)}")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"policy: {name!r}: expected a number as in {key}=0.5, got {value!r}") from None
        policy = HANDICAPS[key](policy, number)
    return policy


def _open(name: str, tools: Tools) -> Policy:
    makers = _makers(tools)
    if name in makers:
        return makers[name]()
    if name.startswith(("http://", "https://")):
        return RemotePolicy(name)
    if name.endswith(SUFFIXES):
        return NetworkFile(name, device=tools.device)
    if name.removeprefix("imitation-") in imitation.BUDGETS:
        folder = Path(tools.imitation or imitation.FOLDER) / name.removeprefix("imitation-")
        return imitation.Imitator.load(folder, name=name, device=tools.device)
    if (Path(name) / imitation.FILE).is_file():
        return imitation.Imitator.load(name, name=name, device=tools.device)
    if name.startswith("scripted:"):
        return Scripted(Profile.load(find_document("profiles", name.removeprefix("scripted:"))))
    close = difflib.get_close_matches(name, makers, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(makers)}"
    raise ValueError(f"policy: no policy is called {name!r}; {remedy}")


def slug(name: str) -> str:
    """A policy's name as a file name."""
    kept = "".join(c if c.isalnum() or c in "-=.+" else "_" for c in name.removesuffix("/"))
    return kept if len(kept) < 80 else kept[-80:]
