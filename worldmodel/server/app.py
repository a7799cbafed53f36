"""The sockets: one page, one WebSocket per person, saved drives.

    browser                                    server
    {"kind": "hello"}                      →
                                           ←   {"kind": "welcome", ...}   or   {"kind": "full", ...} and the end
    {"kind": "hold", "n": 7, "steer": ..}  →   the newest counts
                                           ←   a picture (``messages.pack``); at most three on the way
    {"kind": "seen", "n": 12}              →
    other wishes (``messages.KINDS``)      →
                                           ←   {"kind": "state" | "note" | "kept" | "understood" | "saved", ...}

A connection that breaks a rule is closed with the reason; no other notices. Knows messages, not what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from worldmodel.server.gate import Bucket, Gate
from worldmodel.server.guest import Guest
from worldmodel.server.hands import Hold
from worldmodel.server.house import FullHouseError, House
from worldmodel.server.messages import parse
from worldmodel.server.place import offered
from worldmodel.server.saving import Keeper
from worldmodel.simulation.recorder import VIDEO
from worldmodel.types import OUTCOMES, VOCABULARY

#: A greeting has to come soon; after it, something at least so often (the page holds on once a second).
_HELLO_WITHIN_S, _SILENT_S = 5.0, 60.0
_MESSAGES_PER_S, _BURST_MESSAGES = 80.0, 200
#: Connections that have no place yet, and messages one may get wrong.
_MOST_AT_THE_DOOR, _MOST_MISTAKES = 128, 8
#: Where a message to a client that does not read may wait.
_SEND_WITHIN_S = 10.0
_POLICY_CLOSED, _TRY_LATER = 1008, 1013
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self' ws: wss:; img-src blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class App:
    """What is served.

    Args:
        house: where people drive.
        gate: who may come in.
        keeper: of saved drives.
        world: what the page calls the world.
    """

    def __init__(self, house: House, gate: Gate, keeper: Keeper, *, world: str) -> None:
        self._house, self._gate, self._keeper, self._world = house, gate, keeper, world
        self._page = resources.files("worldmodel.server").joinpath("page.html").read_text(encoding="utf-8")
        self._at_the_door = 0
        self.asgi = Starlette(
            routes=[
                Route("/", self._serve_page),
                Route("/saved/{name}", self._serve_drive),
                WebSocketRoute("/drive", self._drive),
            ]
        )

    async def _serve_page(self, request: Request) -> Response:
        if refusal := self._gate.refusal(request):
            return PlainTextResponse(f"{refusal}\n", 403)
        return HTMLResponse(self._page, headers=_HEADERS)

    async def _serve_drive(self, request: Request) -> Response:
        if refusal := self._gate.refusal(request):
            return PlainTextResponse(f"{refusal}\n", 403)
        folder = self._keeper.folder(request.path_params["name"])
        if folder is None:
            return PlainTextResponse("no such drive was saved here\n", 404)
        return FileResponse(folder / VIDEO, filename=f"{folder.name}.mp4")

    async def _drive(self, socket: WebSocket) -> None:
        if self._gate.refusal(socket) or self._at_the_door >= _MOST_AT_THE_DOOR:
            await socket.close(_POLICY_CLOSED)
            return
        self._at_the_door += 1
        greeted = None
        try:
            await socket.accept()
            greeted = await self._greet(socket)
        except (WebSocketDisconnect, TimeoutError, ValueError):
            await _close(socket, _POLICY_CLOSED, "say hello first")
        finally:
            self._at_the_door -= 1
        if greeted is not None:
            await self._host(socket, *greeted)

    async def _greet(self, socket: WebSocket) -> tuple[Guest, asyncio.Event] | None:
        """Wait for a greeting and find a place, with the event that tells of news; says so where there is none."""
        async with asyncio.timeout(_HELLO_WITHIN_S):
            if parse(await _text(socket)).kind != "hello":
                raise ValueError("expected hello")
        ready, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: the server goes down
                loop.call_soon_threadsafe(ready.set)

        try:
            return self._house.enter(wake), ready
        except FullHouseError as error:
            await _send(socket, {"kind": "full", "text": f"full house: {error}; try again in a little while"})
            await _close(socket, _TRY_LATER, "full house")
            return None

    async def _host(self, socket: WebSocket, guest: Guest, ready: asyncio.Event) -> None:
        """Listen and speak until either ends."""
        tasks: list[asyncio.Task[str]] = []
        try:
            await _send(socket, self._welcome())
            talks = self._listen(socket, guest), self._speak(socket, guest, ready)
            tasks = [asyncio.create_task(talk) for talk in talks]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            reason = "gone"
            for task in done:
                if task.exception() is None:
                    reason = task.result()
            await _close(socket, _POLICY_CLOSED, reason)
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            self._house.leave(guest)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, socket: WebSocket, guest: Guest) -> str:
        """Take in what somebody says, until they break a rule; returns which."""
        rate, mistakes = Bucket(_MESSAGES_PER_S, _BURST_MESSAGES), 0
        while True:
            try:
                async with asyncio.timeout(_SILENT_S):
                    text = await _text(socket)
            except TimeoutError:
                return f"nothing was heard for {_SILENT_S:.0f} s"
            if not rate.take():
                return "too many messages"
            try:
                message = parse(text)
            except ValueError as error:
                mistakes += 1
                if mistakes >= _MOST_MISTAKES:
                    return "too many messages that say nothing"
                guest.tell("note", text=f"not understood: {error}")
                continue
            if message.kind == "hold":
                if guest.place is not None:
                    guest.place.hold = Hold(message["n"], message["steer"], message["pedal"])
            elif message.kind == "seen":
                guest.saw(message["n"])
            elif message.kind != "hello":
                self._house.post(guest, message)

    async def _speak(self, socket: WebSocket, guest: Guest, ready: asyncio.Event) -> str:
        """Send notes, and pictures as they are seen."""
        while True:
            await ready.wait()
            ready.clear()
            while (note := guest.next_note()) is not None:
                await _send(socket, note)
            if (picture := guest.next_picture()) is not None:
                async with asyncio.timeout(_SEND_WITHIN_S):
                    await socket.send_bytes(picture)

    def _welcome(self) -> dict[str, Any]:
        house, rows = self._house, self._house.rows
        camera = rows.camera
        switches = {
            c: [name for name in names[1:] if name not in OUTCOMES]
            for c, names in VOCABULARY.items()
            if c not in rows.fixed_tags
        }
        return {
            "kind": "welcome",
            "world": self._world,
            "camera": {
                "width": camera.width_px,
                "height": camera.height_px,
                "f": camera.fx_px,
                "cx": camera.cx_px,
                "cy": camera.cy_px,
                "height_m": camera.height_m,
            },
            "dt_s": rows.dt_s,
            "image": house.image_type,
            "rewind_s": house.limits.rewind_s,
            "switches": switches,
            "scenarios": house.openings.names,
            "policies": offered(tells_truth=rows.tells_truth),
            "people": house.guests,
            "seats": house.seats,
        }


async def _text(socket: WebSocket) -> str | None:
    """The next message's text; ``None`` for bytes."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    return message.get("text")


async def _send(socket: WebSocket, note: dict[str, Any]) -> None:
    async with asyncio.timeout(_SEND_WITHIN_S):
        await socket.send_text(json.dumps(note, allow_nan=False))


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(_SEND_WITHIN_S):
            await socket.close(code, reason)
