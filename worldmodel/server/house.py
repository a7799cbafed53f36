"""The house: everybody's drives, moved together by one thread at the world's own pace.

Who wants to move is a row of the next batch; a batch that takes longer than its time makes the world slower for all of
them alike, and never a queue. Beside the stepping thread there is one that shows moved pictures in between, and
helpers for what is slow: beginnings, saving, looking for lanes. Knows no sockets.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from worldmodel.perception.lanes import fit_lanes
from worldmodel.server.between import Mover
from worldmodel.server.commands import obey, state_of
from worldmodel.server.guest import Guest
from worldmodel.server.messages import Message
from worldmodel.server.openings import Opening, Openings
from worldmodel.server.place import Decision, Place, PlaceLimits
from worldmodel.server.rows import Rows
from worldmodel.server.saving import Keeper, Recording
from worldmodel.types import EgoMotion, FrameArray, Tags

_IDLE_S = 0.02
#: Share of a step after which the world's next picture is waited for rather than the last one moved on.
_LAST_SHARE = 0.9
#: How quickly the pace that is told follows the last step's.
_PACE_GAIN = 0.2


#: Wishes of one guest that are granted before the world goes on.
_WISHES_A_BEAT = 2


class FullHouseError(Exception):
    """Every place is taken."""


class House:
    """Places in one world.

    Args:
        rows: the world.
        openings: where drives begin.
        keeper: where they are saved.
        seats: places.
        limits: of each.
        mover: makes pictures in between.
        pictures_per_s: that somebody is shown at most; those the world has not drawn are moved.
        image: ``jpeg`` or ``webp``.
        quality: of it, 1 to 100.
    """

    def __init__(
        self,
        rows: Rows,
        openings: Openings,
        keeper: Keeper,
        *,
        seats: int = 4,
        limits: PlaceLimits | None = None,
        mover: Mover | None = None,
        pictures_per_s: float = 20.0,
        image: str = "jpeg",
        quality: int = 85,
    ) -> None:
        self.rows, self.openings, self.seats = rows, openings, seats
        self.limits = limits or PlaceLimits()
        self.encode = encoder(image, quality)
        self.image_type = f"image/{image}"
        #: How fast the world goes against the clock on the wall: 1 is real time.
        self.pace = 1.0
        self._keeper = keeper
        self._mover, self._interval_s = mover, 1 / max(pictures_per_s, 1e-6)
        self._guests: list[Guest] = []
        self._keys = itertools.count(1)
        self._lock = threading.Lock()
        self._stop, self._work, self._beat = threading.Event(), threading.Event(), threading.Condition()
        self._shown: tuple[float, list[Guest]] | None = None
        self._opener, self._saver, self._looker = (
            ThreadPoolExecutor(1, name, initializer=_step_back) for name in ("opening", "saving", "looking")
        )
        self._threads = [threading.Thread(target=self._step_for_ever, name="stepping", daemon=True)]
        if self._mover is not None:
            self._threads.append(threading.Thread(target=self._show_between, name="between", daemon=True))

    def start(self) -> None:
        """Begin to move, once the first opening is made, so that whoever comes finds it ready."""
        self.openings.open("")
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop all threads; what is being saved is saved."""
        self._stop.set()
        self._work.set()
        with self._beat:
            self._beat.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._opener.shutdown(cancel_futures=True)
        self._looker.shutdown(cancel_futures=True)
        self._saver.shutdown()

    @property
    def guests(self) -> int:
        """People who are in."""
        return len(self._guests)

    def enter(self, wake: Callable[[], None]) -> Guest:
        """Take a place.

        Raises:
            FullHouseError: there is none.
        """
        with self._lock:
            if len(self._guests) >= self.seats:
                raise FullHouseError(f"all {self.seats} places are taken")
            guest = Guest(next(self._keys), wake)
            self._guests.append(guest)
        self.begin(guest, "")
        return guest

    def leave(self, guest: Guest) -> None:
        """Give a place back; its row is forgotten with the next beat."""
        with self._lock:
            guest.has_left = True
        self._work.set()

    def post(self, guest: Guest, message: Message) -> None:
        """Hand on what somebody asks for; too many wishes at once are not kept."""
        guest.commands.append(message)
        self._work.set()

    def begin(self, guest: Guest, scenario: str) -> None:
        """Put somebody at the beginning of a scenario, as soon as it is made."""
        if guest.is_opening:
            guest.tell("note", text="a beginning is being made already")
            return
        guest.is_opening = True
        guest.tell("opening", scenario=scenario)
        self._opener.submit(self._open, guest, scenario)

    def save(self, guest: Guest, recording: Recording) -> None:
        """Write a drive, beside everything else."""
        guest.is_saving = True
        guest.tell("note", text=f"saving {len(recording.rows)} frames ...")
        self._saver.submit(self._save, guest, recording)

    def show(self, guest: Guest, frame: FrameArray, image: bytes, *, drawn: bool) -> None:
        """Send somebody a picture of their place, with what the instruments say."""
        place = guest.place
        if place is None:
            return
        vehicle = place.vehicle
        about: dict[str, Any] = {
            "t": round(place.t_s, 3),
            "v": round(float(vehicle.speed_mps), 3),
            "k": round(float(vehicle.curvature_1pm), 5),
            "steer": round(place.wheel, 3),
            "in": place.hold.number,
            "by": place.driver,
            "drawn": drawn,
            "pace": round(self.pace, 3),
        }
        if guest.wants_lanes:
            about["lanes"] = guest.lanes
            if drawn and not guest.is_looking:
                guest.is_looking = True
                self._looker.submit(self._look, guest, frame)
        guest.show(about, image)

    # The stepping thread.

    def _step_for_ever(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                movers = self._movers()
                if not movers:
                    self._work.wait(_IDLE_S)
                    self._work.clear()
                    due = time.monotonic()
                    continue
                if (early_s := due - time.monotonic()) > 0:
                    # Slept in short pieces: a wish is obeyed at once, and what is held is read after the sleep.
                    self._stop.wait(min(early_s, _IDLE_S))
                    continue
                self._step(movers)
                now = time.monotonic()
                took_s = self.rows.dt_s + max(0.0, now - due - self.rows.dt_s)
                self.pace += _PACE_GAIN * (self.rows.dt_s / took_s - self.pace)
                due = max(due + self.rows.dt_s, now)
            except Exception:
                # Nothing a person sends should come to this; if something does, nobody else loses their place.
                traceback.print_exc()
                for guest in self._guests:
                    if guest.place is not None:
                        guest.place.is_paused = True
                        guest.tell("note", text="something broke in the world; it is paused")
                        guest.tell("state", **state_of(guest))

    def _movers(self) -> list[Guest]:
        """Everybody whose wishes were obeyed and who is to move now."""
        with self._lock:
            gone = [guest for guest in self._guests if guest.has_left]
            self._guests = [guest for guest in self._guests if not guest.has_left]
            here = list(self._guests)
        for guest in gone:
            self.rows.drop(guest.key)
        for guest in here:
            # Some of the wishes at a time: who wishes faster than they are granted keeps nobody else waiting.
            for _ in range(min(len(guest.commands), _WISHES_A_BEAT)):
                obey(self, guest, guest.commands.popleft())
        return [g for g in here if g.place is not None and not g.is_opening and g.is_listening and self._moves(g)]

    def _moves(self, guest: Guest) -> bool:
        place = guest.place
        assert place is not None
        before = place.is_waiting, place.is_paused
        moves = place.wants_to_move
        if place.is_at_its_end and not place.is_paused:
            place.is_paused = True
            guest.tell("note", text="this drive is as long as one can be: save it, go back, or begin anew")
        if before != (place.is_waiting, place.is_paused):
            guest.tell("state", **state_of(guest))
        return moves

    def _step(self, movers: Sequence[Guest]) -> None:
        decided: list[tuple[Guest, Place, Decision]] = []
        for guest in movers:
            place = guest.place
            assert place is not None
            hold = place.hold
            if place.policy is not None and hold.is_felt and hold.number > guest.handed_over_at:
                place.hand_over("")
                guest.tell("state", **state_of(guest))
            decided.append((guest, place, self._decide(guest, place)))
        motion = EgoMotion(
            np.array([float(d.motion.speed_mps) for _, _, d in decided]),
            np.array([float(d.motion.yaw_rate_radps) for _, _, d in decided]),
        )
        tags = Tags(np.stack([d.tags.codes for _, _, d in decided]))
        frames = self.rows.step([place.key for _, place, _ in decided], motion, tags)
        with self._beat:
            self._shown = None  # a picture in between that is still being made comes too late
        for (guest, place, decision), frame in zip(decided, frames):
            image = self.encode(frame)
            place.arrive(decision, frame, image)
            self.show(guest, frame, image, drawn=True)
        if self._mover is not None:
            with self._beat:
                self._shown = time.monotonic(), list(movers)
                self._beat.notify_all()

    def _decide(self, guest: Guest, place: Place) -> Decision:
        """How a place is to move; a policy that fails gives the wheel back."""
        try:
            return place.decide()
        except Exception as error:
            if place.policy is None:
                raise
            guest.tell("note", text=f"{place.driver} gave up: {error}")
            place.hand_over("")
            guest.tell("state", **state_of(guest))
            return place.decide()

    # The thread of the pictures in between.

    def _show_between(self) -> None:
        assert self._mover is not None
        beat = None
        while not self._stop.is_set():
            with self._beat:
                while (self._shown is None or self._shown is beat) and not self._stop.is_set():
                    self._beat.wait(0.5)
                beat = self._shown
            if beat is None:
                continue
            shown_at, guests = beat
            due, answered = shown_at, {guest.key: _grip(guest) for guest in guests}
            while True:
                due = max(due + self._interval_s, time.monotonic())
                self._stop.wait(due - time.monotonic())
                if self._shown is not beat or self._stop.is_set():
                    break
                share = (due - shown_at) * self.pace / self.rows.dt_s
                moving = [(g, g.place) for g in guests if g.place is not None and g.place.is_moving]
                if share > _LAST_SHARE:
                    # The world's own picture is due. Where it is late, a hand is still answered, but time stands.
                    share = _LAST_SHARE
                    moving = [(guest, place) for guest, place in moving if _grip(guest) != answered[guest.key]]
                if moving:
                    answered |= {guest.key: _grip(guest) for guest, _ in moving}
                    self._move(moving, share, beat)

    def _move(self, moving: Sequence[tuple[Guest, Place]], share: float, beat: object) -> None:
        assert self._mover is not None
        motions = [place.between(share) for _, place in moving]
        motion = EgoMotion(
            np.array([float(m.speed_mps) for m in motions]), np.array([float(m.yaw_rate_radps) for m in motions])
        )
        frames = self._mover.move(np.stack([place.frame for _, place in moving]), motion, share * self.rows.dt_s)
        for (guest, _), frame in zip(moving, frames):
            image = self.encode(frame)
            with self._beat:
                if self._shown is not beat:  # the world has moved on, and its own picture is better
                    return
                self.show(guest, frame, image, drawn=False)

    # What is slow.

    def _open(self, guest: Guest, scenario: str) -> None:
        if guest.has_left:  # nobody waits for it any more
            return
        try:
            opening = self.openings.open(scenario)
            self.post(guest, Message("opened", {"opening": opening, "image": self.encode(opening.frame)}))
        except Exception as error:
            guest.tell("note", text=f"cannot begin there: {error}")
            guest.is_opening = False

    def _save(self, guest: Guest, recording: Recording) -> None:
        try:
            name, folder = self._keeper.save(recording)
            guest.tell("saved", name=name, folder=str(folder), frames=len(recording.rows))
        except Exception as error:
            guest.tell("note", text=f"not saved: {error}")
        finally:
            guest.is_saving = False

    def _look(self, guest: Guest, frame: FrameArray) -> None:
        try:
            fit = fit_lanes(frame, self.rows.camera)
            values = {
                "left_m": fit.left_m[0],
                "right_m": fit.right_m[0],
                "heading_rad": fit.heading_error_rad[0],
                "curvature_1pm": fit.curvature_1pm[0],
            }
            known = {name: round(float(value), 4) for name, value in values.items() if math.isfinite(value)}
            guest.lanes = known if fit.fitted[0] else None
        finally:
            guest.is_looking = False

    def put(self, guest: Guest, opening: Opening, image: bytes) -> None:
        """Put somebody at a beginning that has been made."""
        guest.is_opening = False
        guest.handed_over_at = 0
        if guest.place is None:
            guest.place = Place(guest.key, self.rows, opening, image, self.limits)
        else:
            guest.place.restart(opening, image)
        self.show(guest, opening.frame, image, drawn=True)


def _grip(guest: Guest) -> tuple[float, float]:
    """What somebody holds now."""
    return (0.0, 0.0) if guest.place is None else (guest.place.hold.steer, guest.place.hold.pedal)


def _step_back() -> None:
    """Let the calling thread have what time the others leave, where the system has priorities for threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def encoder(image: str, quality: int) -> Callable[[FrameArray], bytes]:
    """From a frame ``(H, W, 3)`` RGB to a jpeg or webp file."""
    flag = cv2.IMWRITE_JPEG_QUALITY if image == "jpeg" else cv2.IMWRITE_WEBP_QUALITY
    suffix = ".jpg" if image == "jpeg" else ".webp"

    def encode(frame: FrameArray) -> bytes:
        done, encoded = cv2.imencode(suffix, frame[..., ::-1], [flag, quality])
        assert done
        return encoded.tobytes()

    return encode
