"""A message is exactly what it may be, or refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.server.gate import Bucket, Gate, is_loopback
from worldmodel.server.hands import Hold, controls_of, follow
from worldmodel.server.messages import KINDS, MOST_BYTES, pack, parse, unpack

GOOD = [
    {"kind": "hello"},
    {"kind": "hold", "n": 3, "steer": -1, "pedal": 0.5},
    {"kind": "tags", "set": {"weather": "unknown"}},
    {"kind": "rewind", "back_s": 12},
    {"kind": "restart", "scenario": ""},
]


@pytest.mark.parametrize("message", GOOD)
def test_a_good_message_is_read(message):
    read = parse(json.dumps(message))
    assert read.kind == message["kind"]
    assert {"kind": read.kind, **read.values} == message


@pytest.mark.parametrize(
    "text",
    [
        None, b"{}", "", "[]", "null", "{", "[" * 1000, '{"kind": 3}', '{"kind": "fly"}', '{"kind": ["hold"]}',
        '{"kind": "hold", "n": 1, "steer": NaN, "pedal": 0}', '{"kind": "hold", "n": 1, "steer": 1.01, "pedal": 0}',
        '{"kind": "hold", "n": true, "steer": 0, "pedal": 0}', '{"kind": "hold", "n": 1, "steer": "0", "pedal": 0}',
        '{"kind": "hold", "n": 1, "steer": 0}', '{"kind": "hello", "more": 1}',
        '{"kind": "hold", "n": -1, "steer": 0, "pedal": 0}',
        '{"kind": "rewind", "back_s": Infinity}', '{"kind": "rewind", "back_s": 1e999}',
        '{"kind": "rewind", "back_s": -1}',
        '{"kind": "rewind", "back_s": 1' + "0" * 400 + "}", '{"kind": "tags", "set": {"weather": "hail"}}',
        '{"kind": "tags", "set": {"colour": "red"}}', '{"kind": "tags", "set": {"weather": 1}}',
        '{"kind": "tags", "set": {}}', '{"kind": "tags", "set": {"event": "collision"}}',
        '{"kind": "prompt", "text": "a\\nb"}', json.dumps({"kind": "prompt", "text": "x" * 201}),
        json.dumps({"kind": "prompt", "text": "\ud800"}), " " * (MOST_BYTES + 1),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_short_reason(text):
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse(text)
    assert len(str(refused.value)) < 250


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_whatever_the_fields_hold_a_message_is_read_or_refused(kind, data):
    message = {"kind": kind, **{field: data.draw(_JSON) for field in KINDS[kind]}}
    try:
        read = parse(json.dumps(message))
    except ValueError:
        return
    assert read.values.keys() == KINDS[kind].keys()


def test_a_picture_comes_back_as_it_was_packed():
    assert unpack(pack({"n": 1, "t": 0.5}, b"image")) == ({"n": 1, "t": 0.5}, b"image")


@given(st.floats(0, 45), st.floats(-1, 1), st.floats(-1, 1))
def test_controls_go_the_way_the_hands_do(speed, wheel, pedal):
    controls = controls_of(wheel, pedal, speed)
    assert wheel * float(controls.curvature_1pm) >= 0
    assert abs(float(controls.curvature_1pm)) >= 0.001 * abs(wheel)
    assert pedal * float(controls.accel_mps2) >= 0
    assert abs(float(controls.curvature_1pm)) * speed**2 <= 4.0 + 1e-9


def test_the_wheel_follows_the_hands_and_arrives():
    wheel = 0.0
    before = []
    for _ in range(20):
        before.append(wheel)
        wheel = follow(wheel, Hold(1, 1.0, 0.0), 0.1)
    assert before == sorted(before)
    assert before[1] > 0.3
    assert 0.999 < wheel <= 1.0


def test_a_bucket_gives_what_it_has_and_fills_with_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    bucket = Bucket(rate=10, burst=5)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    now[0] = 0.2
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    assert bucket.wait_s(1.0) == pytest.approx(0.1)
    assert bucket.wait_s(1.0) == pytest.approx(0.2)
    assert bucket.wait_s(0.25) is None
    now[0] = 100.0
    assert bucket.take(5)
    assert not bucket.take()


class Request:
    def __init__(self, host, origin=None, token=None):
        self.headers = {"host": host} | ({} if origin is None else {"origin": origin})
        self.query_params = {} if token is None else {"token": token}


@pytest.mark.parametrize(
    ("token", "request_", "comes_in"),
    [
        ("", Request("127.0.0.1:8000"), True),
        ("", Request("localhost:8000", "http://localhost:8000"), True),
        ("", Request("[::1]:8000", "http://[::1]:8000"), True),
        ("", Request("127.0.0.1:8000", "http://evil.example"), False),
        ("", Request("127.0.0.1:8000", "http://127.0.0.1:9000"), False),
        ("", Request("127.0.0.1:8000", "null"), False),
        ("", Request("evil.example:8000", "http://evil.example:8000"), False),
        ("secret", Request("car.example:8000", token="secret"), True),
        ("secret", Request("car.example:8000", "http://car.example:8000", "secret"), True),
        ("secret", Request("car.example:8000", token="secreT"), False),
        ("secret", Request("car.example:8000"), False),
        ("secret", Request("car.example:8000", "http://evil.example", "secret"), False),
        ("secret", Request("car.example:8000", token="sécret"), False),
    ],
)
def test_who_comes_in(token, request_, comes_in):
    assert (Gate(token).refusal(request_) == "") == comes_in


def test_loopback_is_known():
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"))
    elsewhere = ("0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.evil.example")
    assert not any(is_loopback(host) for host in elsewhere)
