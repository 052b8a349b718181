"""The connection of the client: it connects, reconnects with the cursor, and stops when reconnecting is pointless."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal, Protocol

from .errors import VerbatimError, lost
from .socket import End, Frame, Socket, live
from .token import Token
from .wait import pause

State = Literal["offline", "connecting", "catching_up", "live", "stopped"]


class Ports(Protocol):
    """What the link needs from its client."""

    def become(self, state: State, why: VerbatimError | None = None) -> None: ...

    async def frame(self, frame: Frame) -> None: ...

    def cursor(self) -> str | None:
        """The cursor from which the next connection continues."""

    def error(self, error: VerbatimError) -> None: ...


class Link:
    """Reconnects until it is stopped, or until the server says that retrying is pointless."""

    def __init__(self, url: str, token: Token, ports: Ports) -> None:
        self._url = url
        self._token = token
        self._ports = ports
        self._socket: Socket | None = None
        self._opened = asyncio.Event()

    async def socket(self) -> Socket:
        """The socket, as soon as its session has begun."""
        while not (self._socket and self._socket.is_open):
            self._opened.clear()
            await self._opened.wait()
        return self._socket

    async def tell(self, frame: Frame) -> None:
        """Sends a frame that needs no answer, and that means nothing later: without a connection it is forgotten."""
        if self._socket and self._socket.is_open:
            with contextlib.suppress(VerbatimError):
                await self._socket.tell(frame)

    def opened(self) -> None:
        """Records that the session has begun: commands can be sent."""
        self._opened.set()

    async def run(self) -> None:
        try:
            await self._run()
        except Exception as error:
            # Nobody waits for this task: what it does not tell, nobody hears.
            why = VerbatimError("client_failed", f"the client has failed: {error!r}", retryable=False)
            why.__cause__ = error
            self._ports.become("stopped", why)

    async def _run(self) -> None:
        attempt = refused = 0
        while True:
            self._ports.become("connecting")
            at_least = 0.0
            try:
                token = await self._token.get()
                end = await live(self._url, token, self._ports.cursor(), self._use, self._ports.frame)
                if end.began:
                    attempt = refused = 0
                if after(end, refused) == "stop":
                    return self._ports.become("stopped", fatal(end))
                self._ports.become("offline")
                if after(end, refused) == "token":
                    # The clock of the machine was wrong, or the machine slept until the token had expired. Retries
                    # once, without a pause.
                    await self._token.refused(token)
                    refused += 1
                    continue
                at_least = end.retry_after
                if not end.began:
                    self._ports.error(lost(f"the server closed the socket at once: {end.word or end.code}"))
            except VerbatimError as error:
                self._ports.become("offline")
                if not error.retryable:
                    return self._ports.become("stopped", error)
                self._ports.error(error)
                at_least = error.retry_after or 0.0
            await asyncio.sleep(pause(attempt, at_least))
            attempt += 1

    def _use(self, socket: Socket) -> None:
        self._socket = socket


def after(end: End, refused: int) -> Literal["again", "token", "stop"]:
    """What to do after a close. `refused` is the number of tokens that were refused since the last session."""
    if 4500 <= end.code <= 4999 or (end.code == 4401 and refused > 0):
        return "stop"
    return "token" if end.code == 4401 else "again"


def fatal(end: End) -> VerbatimError:
    """The error for a close after which the client does not reconnect."""
    word = end.word or ("token_expired" if end.code == 4401 else "invalid_token")
    return VerbatimError(word, ENDS.get(end.code, "the token is not valid: log in again"), status=end.code, retryable=False)


# What a close means, where the token is not at fault.
ENDS = {
    4500: "the client has sent invalid frames: update it",
    4503: "this login was ended: log in again",
    4504: "the account is deactivated: ask the operator",
    4505: "the server does not support this client: update it",
}
