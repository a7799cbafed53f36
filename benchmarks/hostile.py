"""Clients that mean no good to a server of ``mode=serve``: malformed, oversized, half-open, reconnecting, and worse.

    python benchmarks/hostile.py 127.0.0.1:8000 [--clients 100] [--seconds 60]

Each client is one of the kinds below and begins again as soon as it is shown out. They run at the lowest priority: they
stand for other people's machines. Prints how often each kind came and how often it was let in.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import contextlib
import json
import os
import random
import struct
import sys
from collections.abc import Awaitable, Callable

HELLO = json.dumps({"kind": "hello"}).encode()
HOLD = json.dumps({"kind": "hold", "n": 1, "steer": 1, "pedal": 1}).encode()


class Socket:
    """As little of a WebSocket client as rudeness needs."""

    def __init__(self, address: str) -> None:
        self._host, self._port = address.rsplit(":", 1)

    async def __aenter__(self) -> Socket:
        self.reader, self.writer = await asyncio.open_connection(self._host, int(self._port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def upgrade(self) -> None:
        """The handshake.

        Raises:
            ConnectionError: it was refused.
        """
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(
            f"GET /drive HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = await self.reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise ConnectionError("refused")

    def send(self, data: bytes, *, opcode: int = 1, last: bool = True) -> None:
        """One masked frame; the mask is zero."""
        head = bytes([(0x80 if last else 0) | opcode])
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 65536:
            head += b"\xfe" + struct.pack(">H", len(data))
        else:
            head += b"\xff" + struct.pack(">Q", len(data))
        self.writer.write(head + bytes(4) + data)

    async def until_shown_out(self, seconds: float = 30.0) -> None:
        """Read until the server hangs up."""
        async with asyncio.timeout(seconds):
            while await self.reader.read(65536):
                pass


async def malformed(socket: Socket) -> None:
    """Says hello and then rubbish: no JSON, wrong fields, wild numbers, bytes, bad UTF-8, reserved bits."""
    await socket.upgrade()
    socket.send(HELLO)
    for _ in range(20):
        socket.send(
            random.choice(
                [
                    b"{", b"null", b'{"kind":"hold","n":1e400,"steer":NaN,"pedal":-9}', b"[" * 900, os.urandom(60),
                    b'{"kind":"rewind","back_s":-1}', b'{"kind":"restart","scenario":"../../etc/passwd"}', b"\xff\xfe",
                ]
            ),
            opcode=random.choice([1, 1, 1, 2, 3]),
        )  # fmt: skip
        await socket.writer.drain()
        await asyncio.sleep(0.05)
    await socket.until_shown_out()


async def oversized(socket: Socket) -> None:
    """Sends a message of a megabyte, or announces one of an exabyte, or one that never ends."""
    await socket.upgrade()
    socket.send(HELLO)
    kind = random.randrange(3)
    if kind == 0:
        socket.send(b"x" * 2**20)
    elif kind == 1:
        socket.writer.write(b"\x81\xff" + struct.pack(">Q", 2**60) + bytes(4))
    else:
        socket.send(b"x" * 100, last=False)
        for _ in range(1000):
            socket.send(b"x" * 100, opcode=0, last=False)
            await socket.writer.drain()
            await asyncio.sleep(0.01)
    await socket.writer.drain()
    await socket.until_shown_out()


async def half_open(socket: Socket) -> None:
    """Begins a request and never ends it, or a WebSocket and never says hello, or nothing at all."""
    kind = random.randrange(3)
    if kind == 0:
        for letter in b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000:
            socket.writer.write(bytes([letter]))
            await socket.writer.drain()
            await asyncio.sleep(0.5)
    elif kind == 1:
        await socket.upgrade()
    await socket.until_shown_out()


async def reconnecting(socket: Socket) -> None:
    """Comes, says hello and is gone."""
    await socket.upgrade()
    socket.send(HELLO)
    await socket.writer.drain()


async def stalling(socket: Socket) -> None:
    """Takes a place, holds the wheel, and never looks at a picture nor reads what it is sent."""
    await socket.upgrade()
    socket.send(HELLO)
    for _ in range(30):
        socket.send(HOLD)
        await socket.writer.drain()
        await asyncio.sleep(1.0)


async def flooding(socket: Socket) -> None:
    """Pings, and holds the wheel, as fast as it can."""
    await socket.upgrade()
    socket.send(HELLO)
    for _ in range(200):
        for _ in range(100):
            socket.send(b"", opcode=9)
            socket.send(HOLD)
        await socket.writer.drain()
    await socket.until_shown_out()


KINDS: tuple[Callable[[Socket], Awaitable[None]], ...] = (
    malformed, oversized, half_open, reconnecting, stalling, flooding,
)  # fmt: skip


async def attack(address: str, clients: int, seconds: float) -> dict[str, int]:
    """Let them loose; how often each kind came."""
    came: collections.Counter[str] = collections.Counter()

    async def one(kind: Callable[[Socket], Awaitable[None]]) -> None:
        while True:
            came[kind.__name__] += 1
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(35), Socket(address) as socket:
                    await kind(socket)
            await asyncio.sleep(random.uniform(0, 0.1))

    tasks = [asyncio.create_task(one(KINDS[index % len(KINDS)])) for index in range(clients)]
    done, _ = await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    return dict(came)


def main() -> None:
    """Attack an address."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="host:port")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    os.nice(19)
    print(json.dumps(asyncio.run(attack(arguments.address, arguments.clients, arguments.seconds))))


if __name__ == "__main__":
    sys.exit(main())
