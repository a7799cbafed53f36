"""Who may come in, and how much may come with them: addresses, tokens, origins, rates.

Everything is bounded before it is understood: bytes and connections by the two protocol classes uvicorn is given, and
messages by a bucket of each connection. Knows sockets and headers, nothing of drives.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import time
from collections import OrderedDict
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: A read takes no more than this off the line at once, so that nobody's flood is parsed before it is counted.
_READ_BYTES = 4096
_BYTES_PER_S, _BURST_BYTES = 32_768, 131_072
#: New connections of one address; those that come faster wait their turn, and those that would wait long are dropped.
_CONNECTIONS_PER_S, _BURST_CONNECTIONS, _LONGEST_WAIT_S = 10.0, 30, 4.0
MOST_CONNECTIONS = 256
#: A connection that has not asked for anything by then is closed.
_ASK_WITHIN_S = 5.0
_MOST_ADDRESSES = 1024


class Bucket:
    """So many a second, and a burst; the clock is monotonic seconds.

    Args:
        rate: per second.
        burst: at most at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, time.monotonic()

    def take(self, amount: float = 1.0) -> bool:
        """Whether so much is left; then it is gone."""
        self._fill()
        if self._left < amount:
            return False
        self._left -= amount
        return True

    def wait_s(self, longest_s: float) -> float | None:
        """Take one, on credit: how long to wait for it; ``None``, and nothing taken, beyond ``longest_s``."""
        self._fill()
        wait_s = max(0.0, (1 - self._left) / self._rate)
        if wait_s > longest_s:
            return None
        self._left -= 1
        return wait_s

    def _fill(self) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now


def is_loopback(host: str) -> bool:
    """Whether a name or address to bind to is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Who may come in.

    Args:
        token: that has to be shown; empty for none, which is for loopback alone.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def refusal(self, request: HTTPConnection) -> str:
        """Why somebody may not come in; empty when they may.

        A page of another site must not drive: a browser tells the page's origin, which has to be this server's own.
        Without a token the name the browser used has to be a loopback one, lest a foreign name be pointed here.
        """
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        try:
            asked_of, name = urlsplit(origin or "").netloc, urlsplit(f"//{host}").hostname or ""
        except ValueError:  # no address at all
            return "this page is not from here"
        if origin is not None and asked_of != host:
            return "this page is not from here"
        if self._token:
            shown = request.query_params.get("token", "")
            return "" if hmac.compare_digest(shown.encode(), self._token.encode()) else "the token is missing or wrong"
        return "" if is_loopback(name) else "open this page by the address the server printed"


class GuardedSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose bytes are counted before they are read: pings, fragments and rubbish too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to count."""
        self._bytes = Bucket(_BYTES_PER_S, _BURST_BYTES)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hang up on whoever sends too much."""
        if not self._bytes.take(len(data)):
            self.transport.abort()
            return
        super().data_received(data)


class GuardedHttp(H11Protocol):
    """Connections that wait their turn, and have to ask for something soon."""

    #: Of the addresses that came last; each server has its own (``guarded_http``).
    addresses: ClassVar[OrderedDict[str, Bucket]]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a connection in now, or when it is its turn, or not at all."""
        super().connection_made(transport)
        cast(Any, transport).max_size = _READ_BYTES
        address = self.client[0] if self.client else ""
        wait_s = self._bucket(address).wait_s(_LONGEST_WAIT_S)
        if wait_s is None or len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        if wait_s > 0:
            transport.pause_reading()
            self.loop.call_later(wait_s, self._resume)
        self.loop.call_later(wait_s + _ASK_WITHIN_S, self._lose_patience)

    def _resume(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _lose_patience(self) -> None:
        if self.cycle is None and not self.transport.is_closing() and self.transport.get_protocol() is self:
            self.transport.abort()

    @classmethod
    def _bucket(cls, address: str) -> Bucket:
        bucket = cls.addresses.get(address)
        if bucket is None:
            bucket = cls.addresses[address] = Bucket(_CONNECTIONS_PER_S, _BURST_CONNECTIONS)
            while len(cls.addresses) > _MOST_ADDRESSES:
                cls.addresses.popitem(last=False)
        cls.addresses.move_to_end(address)
        return bucket


def guarded_http() -> type[GuardedHttp]:
    """``GuardedHttp`` for one server, which counts its own connections."""

    class Http(GuardedHttp):
        """See ``GuardedHttp``."""

        addresses: ClassVar[OrderedDict[str, Bucket]] = OrderedDict()

    return Http
