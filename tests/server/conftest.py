"""A house with a tiny model in it, served on a free port of this machine, and a client that speaks to it."""

import contextlib
import json
import threading
import time

import pytest

from tests.tiny import tiny_model
from worldmodel.server.between import Mover
from worldmodel.server.house import House
from worldmodel.server.messages import unpack
from worldmodel.server.openings import Openings
from worldmodel.server.place import PlaceLimits
from worldmodel.server.rows import LearnedRows
from worldmodel.server.saving import Keeper
from worldmodel.simulation.session import Session
from worldmodel.simulation.starting import StartConfig

TAGS = "weather=clear,time_of_day=day,road_kind=country,traffic=none"
SCENARIO = """\
name: rain on the way
context: {tags: {weather: fog, road_kind: town}}
tags: {weather: rain}
length_s: 4
events: [{kind: cut_in, t_s: 1}]
seed: 5
"""


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return tiny_model().save(tmp_path_factory.mktemp("model"))


@pytest.fixture
def scenarios(tmp_path):
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "rain_on_the_way.yaml").write_text(SCENARIO)
    return str(folder)


@pytest.fixture
def rows():
    return LearnedRows(Session(tiny_model()))


@pytest.fixture
def openings(rows, scenarios):
    return Openings(rows, StartConfig(context=TAGS), scenarios=scenarios)


@pytest.fixture
def serve(openings, tmp_path):
    """A context manager: serve with options of ``House``; gives where it listens, and the house."""
    pytest.importorskip("uvicorn")
    from worldmodel.server.serve import listen, server_of

    @contextlib.contextmanager
    def serving(*, token="", limits=None, rate=20.0, **options):
        opened = openings
        opened._rows.dt_s = opened._rows._session.dt_s = 1 / rate
        keeper = Keeper(tmp_path / "saved", {"world": "learned"})
        mover = Mover(opened._rows.camera, None)
        house = House(opened._rows, opened, keeper, limits=limits or PlaceLimits(), mover=mover, **options)
        house.start()
        with listen("127.0.0.1", 0) as listener:
            server = server_of(house, keeper, "a tiny world", token)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield f"127.0.0.1:{listener.getsockname()[1]}", house
            finally:
                server.should_exit = True
                thread.join()
                house.close()

    return serving


class Client:
    """An honest client: says hello, sees its pictures, remembers its notes."""

    def __init__(self, address, *, path="/drive", hello=True, **options):
        from websockets.sync.client import connect

        self._connection = connect(f"ws://{address}{path}", compression=None, **options)
        self.socket = self._connection.__enter__()
        self.notes, self.pictures, self.held = [], [], 0
        if hello:
            self.say("hello")
            self.until(lambda: self.note("state"))

    def say(self, kind, **fields):
        self.socket.send(json.dumps({"kind": kind, **fields}))

    def hold(self, steer=0.0, pedal=0.0):
        self.held += 1
        self.say("hold", n=self.held, steer=steer, pedal=pedal)

    def listen(self, timeout=30.0):
        message = self.socket.recv(timeout=timeout)
        if isinstance(message, str):
            self.notes.append(json.loads(message))
            return self.notes[-1]
        about, image = unpack(message)
        self.pictures.append((about, image))
        self.say("seen", n=about["n"])
        return about

    def until(self, condition, timeout=60.0):
        """Listen until a condition holds; returns what it found."""
        ends = time.monotonic() + timeout
        while not (found := condition()):
            self.listen(max(0.01, ends - time.monotonic()))
        return found

    def note(self, kind):
        return next((note for note in reversed(self.notes) if note["kind"] == kind), None)

    def ask(self, kind, answer="state", **fields):
        """Say something and wait for the next answer of a kind."""
        before = len(self.notes)
        self.say(kind, **fields)

        def answers(note):
            return note["kind"] == answer and (answer != "state" or note.get("answers") == kind)

        return self.until(lambda: next(filter(answers, self.notes[before:]), None))

    def drive(self, seconds, steer=0.0, pedal=0.5):
        """Hold on for so long in the world's time."""
        self.hold(steer, pedal)
        begins = self.pictures[-1][0]["t"] if self.pictures else 0.0
        return self.until(lambda: self.pictures and self.pictures[-1][0]["t"] >= begins + seconds)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._connection.__exit__(*error)


@pytest.fixture
def client():
    return Client
