"""The house with real clients: everybody has a drive of their own, and who misbehaves costs nobody else."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

from worldmodel.server.place import PlaceLimits
from worldmodel.simulation.drive_io import load_drive

pytest.importorskip("uvicorn")
websockets = pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402


def fetch(address, path="/"):
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


def closed_with(client, timeout=20.0):
    """Listen until the server hangs up; code and reason."""
    with pytest.raises(ConnectionClosed) as closed:
        client.until(lambda: False, timeout)
    return (closed.value.rcvd.code, closed.value.rcvd.reason) if closed.value.rcvd else (None, "")


def is_left(house, timeout=10.0):
    """Whether everybody's place is given back: a client may know that it is out before the house does."""
    ends = time.monotonic() + timeout
    while house.guests and time.monotonic() < ends:
        time.sleep(0.02)
    return house.guests == 0


def test_a_person_drives(serve, client):
    # Three pictures in the time of a step; of one, that in between is shown only where the world is late.
    with serve(pictures_per_s=60.0) as (address, _), client(address) as me:
        assert me.note("welcome")["camera"]["width"] == 64
        assert me.note("state")["waiting"]
        me.until(lambda: me.pictures)
        first = cv2.imdecode(np.frombuffer(me.pictures[0][1], np.uint8), cv2.IMREAD_COLOR)
        assert first.shape == (32, 64, 3)
        me.drive(0.5, steer=1.0, pedal=1.0)
        about = me.pictures[-1][0]
        assert about["k"] > 0.005
        assert about["v"] > me.pictures[0][0]["v"]
        assert about["in"] == 1
        me.drive(0.5, steer=-1.0, pedal=-1.0)
        assert me.pictures[-1][0]["k"] < -0.005
        drawn = [about["t"] for about, _ in me.pictures if about["drawn"]]
        assert drawn == sorted(drawn)
        # Pictures in between are shown too, as soon as the machine has time for them.
        for _ in range(60):
            if not all(about["drawn"] for about, _ in me.pictures):
                break
            me.drive(0.5, steer=0.2)  # a world that nobody drives stands, and shows nothing
        assert {True, False} == {about["drawn"] for about, _ in me.pictures}


def test_a_drive_is_paused_kept_branched_rewound_and_saved(serve, client, tmp_path):
    with serve() as (address, house), client(address) as me:
        me.drive(1.2, steer=1.0)
        assert me.ask("pause", on=True)["paused"]
        stands = house._guests[0].place.step
        time.sleep(0.3)
        assert house._guests[0].place.step == stands
        assert me.ask("snapshot", answer="kept")["number"] == 1
        me.ask("pause", on=False)
        me.drive(0.5, steer=-1.0)
        state = me.ask("branch", to=1)
        assert [kept["number"] for kept in state["snapshots"]] == [1, 2]
        assert state["t"] == pytest.approx(stands / 20)
        me.hold()  # no longer holding on: it waits where it is
        state = me.ask("rewind", back_s=1.0)
        assert state["waiting"]
        assert state["t"] < stands / 20
        me.drive(0.5)
        saved = me.ask("save", answer="saved")
        drive = load_drive(saved["folder"])
        assert len(drive) == saved["frames"] > 10
        assert set(drive.info["driver"]) == {"person", ""}
        status, body, _ = fetch(address, f"/saved/{saved['name']}")
        assert (status, body) == (200, (tmp_path / "saved/drive/drive.mp4").read_bytes())
        assert fetch(address, "/saved/..%2f..%2fetc%2fpasswd")[0] == 404


def test_tags_prompts_policies_and_scenarios(serve, client):
    with serve() as (address, _), client(address) as me:
        switches = me.note("welcome")["switches"]
        assert "cut_in" in switches["event"], "what can be asked for"
        assert "collision" not in switches["event"], "and not what comes of driving"
        assert me.ask("tags", set={"weather": "snow"})["tags"]["weather"] == "snow"
        said = me.ask("prompt", answer="understood", text="a rainy motorway with dragons")
        assert said["tags"] == {"weather": "rain", "road_kind": "motorway"}
        assert said["unknown"] == ["dragons"]
        assert me.ask("policy", name="random")["driver"] == "random"
        me.until(lambda: me.pictures[-1][0]["by"] == "random")
        me.hold(1.0, 0.0)  # taking the wheel takes it back
        me.until(lambda: me.note("state")["driver"] == "person")
        assert "no policy is called" in me.ask("policy", answer="note", name="nobody")["text"]
        me.say("restart", scenario="rain_on_the_way")
        me.until(lambda: me.note("state")["name"] == "rain on the way")
        assert me.note("state")["tags"]["road_kind"] == "town"
        assert "no scenario" in me.ask("restart", answer="note", scenario="../x")["text"]
        me.say("lanes", on=True)
        me.until(lambda: "lanes" in me.pictures[-1][0])


def test_several_people_share_one_world_and_a_full_house_says_so(serve, client):
    with serve(seats=2) as (address, house):
        with client(address) as one, client(address) as two:
            with client(address, hello=False) as three:
                three.say("hello")
                assert "full house" in three.listen()["text"]
                assert closed_with(three) == (1013, "full house")
            one.hold(1.0, 0.0)
            two.hold(-1.0, 0.0)
            threads = [
                threading.Thread(target=person.drive, args=(1.5, side)) for person, side in ((one, 1), (two, -1))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert one.pictures[-1][0]["k"] > 0 > two.pictures[-1][0]["k"]
            steps = [guest.place.step for guest in house._guests]
            assert min(steps) > 0.6 * max(steps), "a fair share"
        assert is_left(house)
        with client(address) as late:
            assert late.note("welcome")["people"] == 1


def test_late_pictures_are_dropped_and_a_world_nobody_watches_waits(serve, client):
    with serve() as (address, house), client(address) as me:
        me.drive(0.3)
        place = house._guests[0].place
        me.until(lambda: True)
        time.sleep(2.5)  # nothing is read or seen
        stands = place.step
        time.sleep(0.5)
        assert place.step == stands
        assert len(house._guests[0]._unseen) <= 3
        # What was on the way arrives, then the newest at once: nothing queued up.
        me.drive(0.3)
        numbers = [about["n"] for about, _ in me.pictures]
        assert max(np.diff(numbers)) > 5


def test_inputs_never_queue_up(serve, client):
    with serve() as (address, house), client(address) as me:
        for _ in range(150):
            me.hold(-1.0, 0.5)
        me.hold(1.0, 0.5)
        me.until(lambda: me.pictures and me.pictures[-1][0]["in"] == 151)
        assert house._guests[0].place.hold.steer == 1.0


@pytest.mark.parametrize(
    ("rubbish", "reason"),
    [
        (["what?"] * 10, "say nothing"),
        ([b"\x00\x01"] * 10, "say nothing"),
        ([json.dumps({"kind": "seen", "n": 1})] * 400, "too many messages"),
    ],
)
def test_who_talks_rubbish_is_told_why_and_shown_out(serve, client, rubbish, reason):
    with serve() as (address, house), client(address) as honest, client(address) as other:
        try:
            for piece in rubbish:
                other.socket.send(piece)
        except ConnectionClosed:
            pass
        code, why = closed_with(other)
        assert code == 1008
        assert reason in why
        honest.drive(0.3)
        assert house.guests == 1


def test_too_long_a_message_ends_the_connection(serve, client):
    with serve() as (address, _), client(address) as me:
        me.socket.send("x" * 5000)
        # The line may be cut before its last word is read.
        assert closed_with(me)[0] in (1009, None)


def ping_for_ever(socket):
    while True:
        socket.ping()


def test_a_flood_of_bytes_is_not_even_read(serve, client):
    with serve() as (address, _), client(address) as honest, client(address) as other:
        with pytest.raises((ConnectionClosed, OSError)):
            ping_for_ever(other.socket)
        honest.drive(0.3)


def test_who_says_nothing_is_not_waited_for(serve, client, monkeypatch):
    from worldmodel.server import app, gate

    monkeypatch.setattr(app, "_HELLO_WITHIN_S", 0.3)
    monkeypatch.setattr(app, "_SILENT_S", 0.5)
    monkeypatch.setattr(gate, "_ASK_WITHIN_S", 0.3)
    with serve() as (address, house):
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as half_open:
            half_open.sendall(b"GET / HTTP/1.1\r\nHost: ")
            half_open.settimeout(5)
            assert half_open.recv(100) == b""
        with client(address, hello=False) as shy:
            assert closed_with(shy) == (1008, "say hello first")
        with client(address) as silent:
            assert "nothing was heard" in closed_with(silent)[1]
        assert is_left(house)


def test_other_sites_and_other_names_do_not_come_in(serve, client):
    with serve() as (address, _):
        with pytest.raises(InvalidStatus):
            client(address, origin="http://evil.example")
        with client(address, origin=f"http://{address}") as me:
            assert me.note("welcome")
        request = urllib.request.Request(f"http://{address}/", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)


def test_a_token_is_asked_for_everywhere(serve, client):
    with serve(token="secret") as (address, _):
        assert fetch(address)[0] == 403
        assert fetch(address, "/saved/drive")[0] == 403
        assert fetch(address, "/?token=secret")[0] == 200
        with pytest.raises(InvalidStatus):
            client(address)
        with client(address, path="/drive?token=secret") as me:
            assert me.note("welcome")


def test_the_page_is_one_file_that_loads_nothing_else(serve):
    with serve() as (address, _):
        status, body, headers = fetch(address)
        assert status == 200
        assert "default-src 'none'" in headers["content-security-policy"]
        for loads in (b"http://", b"https://", b"<link", b"import ", b'src="'):
            assert loads not in body, loads


def test_a_broken_policy_gives_the_wheel_back(serve, client, monkeypatch):
    from worldmodel.simulation.policies.simple import Random

    def fail(self, observation):
        raise RuntimeError("no idea")

    monkeypatch.setattr(Random, "act", fail)
    with serve() as (address, _), client(address) as me:
        me.say("policy", name="random")
        me.until(lambda: me.note("note"))
        assert "random gave up: no idea" in me.note("note")["text"]
        assert me.until(lambda: me.note("state")["driver"] == "person")
        me.drive(0.3)


def test_the_longest_drive_ends_with_a_word(serve, client):
    with serve(limits=PlaceLimits(longest_s=1.0)) as (address, _), client(address) as me:
        me.hold(0.0, 1.0)
        me.until(lambda: me.note("note"))
        assert "as long as one can be" in me.note("note")["text"]
        assert me.ask("rewind", back_s=1.0)["t"] == 0.0


def test_a_hand_is_answered_even_while_the_world_is_slow(serve, client, monkeypatch):
    """A step that takes a second: the picture turns with the wheel long before the world's next frame."""
    from worldmodel.server.rows import LearnedRows

    step = LearnedRows.step

    def slow(self, *arguments):
        time.sleep(1.0)
        return step(self, *arguments)

    with serve() as (address, _), client(address) as me:
        me.drive(0.2)
        monkeypatch.setattr(LearnedRows, "step", slow)
        me.until(lambda: me.pictures[-1][0]["pace"] < 0.5)
        me.until(lambda: me.pictures[-1][0]["drawn"])
        me.hold(1.0, 0.0)
        me.until(lambda: me.pictures[-1][0]["in"] == me.held)
        assert not me.pictures[-1][0]["drawn"]
        assert me.pictures[-1][1] != me.pictures[-2][1]
