"""What somebody asks for, done: one function per kind of message, called by the stepping thread alone.

A wish that cannot be granted is answered with a note that says why; it never raises. Knows places, no sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from worldmodel.server.guest import Guest
from worldmodel.server.messages import Message
from worldmodel.server.place import Place
from worldmodel.server.saving import Recording
from worldmodel.simulation.prompting import read_prompt

if TYPE_CHECKING:
    from worldmodel.server.house import House


def obey(house: House, guest: Guest, message: Message) -> None:
    """Do what a message asks for, and tell the state that comes of it."""
    if message.kind == "opened":
        house.put(guest, message["opening"], message["image"])
    elif message.kind == "lanes":
        guest.wants_lanes, guest.lanes = message["on"], None
    elif message.kind == "restart":
        house.begin(guest, message["scenario"])
    elif guest.place is None:
        guest.tell("note", text="not there yet: the beginning is being made")
        return
    else:
        try:
            _DO[message.kind](house, guest, guest.place, message)
        except ValueError as error:
            guest.tell("note", text=str(error))
    if guest.place is not None:
        guest.tell("state", answers=message.kind, **state_of(guest))


def state_of(guest: Guest) -> dict[str, Any]:
    """What the switches of somebody's page are to show."""
    place = guest.place
    assert place is not None
    dt_s = place.rows.dt_s
    return {
        "name": place.opening.name,
        "t": round(place.t_s, 3),
        "paused": place.is_paused,
        "waiting": place.is_waiting,
        "driver": place.driver,
        "tags": place.tags().names(),
        "switched": dict(place.switched),
        "snapshots": [{"number": n, "t": round(kept.step * dt_s, 3)} for n, kept in place.snapshots.items()],
        "back_s": round((place.step - place.history[0].step) * dt_s, 3),
        "lanes": guest.wants_lanes,
        "opening": guest.is_opening,
    }


def _pause(_: House, __: Guest, place: Place, message: Message) -> None:
    place.is_paused = message["on"]
    if not message["on"]:
        place.is_waiting = False


def _tags(_: House, __: Guest, place: Place, message: Message) -> None:
    place.switch(message["set"])


def _prompt(_: House, guest: Guest, place: Place, message: Message) -> None:
    try:
        tags, unheard = read_prompt(message["text"])
    except ValueError as error:  # more words than one sentence has
        guest.tell("note", text=str(error))
        return
    said = {channel: name for channel, name in tags.names().items() if name != "unknown"}
    possible = {channel: name for channel, name in said.items() if channel not in place.rows.fixed_tags}
    fixed = [said[channel] for channel in said if channel not in possible]
    if possible:
        place.switch(possible)
    guest.tell("understood", tags=possible, unknown=unheard, fixed=fixed)


def _snapshot(_: House, guest: Guest, place: Place, __: Message) -> None:
    guest.tell("kept", number=place.keep())


def _branch(house: House, guest: Guest, place: Place, message: Message) -> None:
    left = place.branch(message["to"])
    if left is not None:
        guest.tell("kept", number=left)
    _show_where_it_is(house, guest, place)


def _rewind(house: House, guest: Guest, place: Place, message: Message) -> None:
    back_s = place.rewind(message["back_s"])
    guest.tell("note", text=f"{back_s:.0f} s back; drive on when you like")
    _show_where_it_is(house, guest, place)


def _show_where_it_is(house: House, guest: Guest, place: Place) -> None:
    house.show(guest, place.frame, place.spool.read(place.image), drawn=True)


def _policy(_: House, guest: Guest, place: Place, message: Message) -> None:
    place.hand_over(message["name"])
    # Keys that are still down do not take the wheel back; the next ones do.
    guest.handed_over_at = place.hold.number


def _save(house: House, guest: Guest, place: Place, _: Message) -> None:
    if guest.is_saving:
        raise ValueError("the last save is still being written")
    house.save(guest, Recording.of(place))


_DO: Mapping[str, Callable[[Any, Guest, Place, Message], None]] = {
    "pause": _pause,
    "tags": _tags,
    "prompt": _prompt,
    "snapshot": _snapshot,
    "branch": _branch,
    "rewind": _rewind,
    "policy": _policy,
    "save": _save,
}
