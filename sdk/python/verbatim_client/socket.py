"""One WebSocket from opening to close: it sends frames with an id, and matches the answers to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from .errors import VerbatimError, lost
from .transport import problem

# The time limit in seconds for opening and for an answer, and for the next frame in addition to two heartbeats.
PATIENCE = 20.0
# The time limit in seconds for `ready`. The server lets a session wait up to a minute for its turn, and then reads its
# views.
READY = 100.0

Frame = dict[str, Any]


@dataclass(frozen=True)
class End:
    """How a socket ended: the close code, the word in the close reason, and whether the session had begun."""

    code: int
    word: str = ""
    retry_after: float = 0.0
    began: bool = False


class Socket:
    """An open socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._answers: dict[str, asyncio.Future[Frame]] = {}
        self._n = 0
        self.limits: Frame | None = None
        self.is_open = False

    async def ask(self, frame: Frame) -> Frame:
        """Sends a command and waits for its `ack`."""
        if not self.is_open:
            raise lost()
        self._n += 1
        id = str(self._n)
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        try:
            await self.tell({**frame, "id": id})
            # A missing answer counts as lost. The same key makes a retry harmless.
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            raise lost("the server has not answered") from None
        finally:
            self._answers.pop(id, None)

    async def tell(self, frame: Frame) -> None:
        """Sends a frame that needs no answer."""
        try:
            await self._connection.send(json.dumps(frame, separators=(",", ":")))
        except ConnectionClosed:
            raise lost() from None

    async def read(self, cursor: str | None, take: Callable[[Frame], Awaitable[None]]) -> None:
        """Begins the session, and passes every frame on until the connection is closed."""
        patience = READY
        try:
            # If the server has closed the socket already, `recv` says why.
            with contextlib.suppress(VerbatimError):
                await self.tell({"op": "hello", "cursor": cursor})
            while True:
                # Not `wait_for`, which in Python 3.11 can lose the cancellation of the client.
                async with asyncio.timeout(patience):
                    text = await self._connection.recv()
                frame = json.loads(text)
                if frame["op"] == "ready":
                    self.limits = frame["limits"]
                    self.is_open = True
                    patience = 2 * frame["heartbeat_ms"] / 1000 + PATIENCE
                self._answer(frame)
                await take(frame)
        finally:
            self.is_open = False
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(lost())

    def _answer(self, frame: Frame) -> None:
        answer = self._answers.get(frame.get("id") or "")
        if answer is None or answer.done():
            return
        if frame["op"] == "ack":
            answer.set_result(frame)
        elif frame["op"] == "error":
            wait = frame.get("retry_after_ms")
            after = wait / 1000 if wait is not None else None
            answer.set_exception(VerbatimError(frame["code"], frame["detail"], retry_after=after))


class _Connect(connect):
    """Follows no redirect, and so passes the token on to no other host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def live(
    url: str,
    token: str,
    cursor: str | None,
    opened: Callable[[Socket], None],
    take: Callable[[Frame], Awaitable[None]],
) -> End:
    """Runs one connection, and returns how it ended."""
    protocols: Any = ["verbatim.v1", f"bearer.{token}"]
    socket: Socket | None = None
    try:
        # The server sends heartbeats, so no pings are needed. On a dead network the close handshake would hang, so its
        # time limit is short.
        async with _Connect(
            url,
            subprotocols=protocols,
            open_timeout=PATIENCE,
            close_timeout=1,
            ping_interval=None,
            max_size=2**24,
            compression=None,
        ) as connection:
            socket = Socket(connection)
            opened(socket)
            await socket.read(cursor, take)
    except ConnectionClosed as closed:
        began = socket is not None and socket.limits is not None
        return ended(closed.rcvd.code, closed.rcvd.reason, began) if closed.rcvd else End(1006, began=began)
    except InvalidStatus as refused:
        status, body = refused.response.status_code, refused.response.body
        if status == 401:
            return End(4401)
        why = problem(status, refused.response.headers, bytes(body or b""))
        # A server or a proxy that fails now may be well again later.
        why.retryable |= status >= 500
        raise why from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        if socket is None:
            raise lost(f"the server cannot be reached: {str(error) or type(error).__name__}") from error
    return End(1006, began=socket is not None and socket.limits is not None)


def ended(code: int, reason: str, began: bool) -> End:
    """Parses a close. The reason is a word, which a requested wait may follow."""
    word, _, rest = reason.partition(";")
    wait = re.search(r"retry_after_ms=(\d+)", rest)
    return End(code, word, int(wait[1]) / 1000 if wait else 0.0, began)
