"""A client for a Verbatim server, and handles for the conversations of its user."""

from __future__ import annotations

import asyncio
import logging
import re
import weakref
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from .errors import VerbatimError, lost
from .feed import Feed
from .generated.rest import Rest
from .generated.types import Event, EventPage, StartConversation
from .ids import uuid7
from .link import Link, State
from .outbox import Outbox, Outgoing
from .password import PasswordLogin
from .socket import Frame
from .store import Memory, Store
from .stream import Stream
from .token import Token, TokenCallback
from .transport import Transport

_log = logging.getLogger("verbatim_client")

Told = TypeVar("Told")


class Verbatim:
    """A client that stays connected inside the `with` block: `async with Verbatim(url, token) as chat:`."""

    def __init__(
        self,
        url: str,
        token: str | TokenCallback | PasswordLogin,
        *,
        store: Store | None = None,
        on_error: Callable[[VerbatimError], None] | None = None,
        on_state: Callable[[State], None] | None = None,
    ) -> None:
        """`token` is an API key, a `PasswordLogin`, or a function that returns an access token or an awaitable of one.
        `store` keeps what must survive a restart: waiting messages, and how far `events()` was read. `on_error` is told
        each failure on the way, which is else logged as a warning, and `on_state` each new state. Neither may block.
        """
        url = url.strip().rstrip("/")
        if not re.match("https?://", url):
            raise ValueError(f"begin the url with https:// or http://: {url!r}")
        self._store = store or Memory()
        self._on_error = _safe(on_error or (lambda error: _log.warning("%s", error)))
        self._on_state = _safe(on_state or (lambda _: None))
        self._token = Token(self._renewed, self._on_error)
        # Every operation of the REST interface, by its `operationId`.
        self.rest = Rest(Transport(url, self._token).send)
        self._token.comes_from(token.callback(self.rest) if isinstance(token, PasswordLogin) else token)
        self.state: State = "offline"
        # The reason why the client stopped by itself.
        self.why: VerbatimError | None = None
        self._ports = _Ports(self)
        self._feed = Feed(self._ports)
        self._link = Link(f"ws{url.removeprefix('http')}/v1/ws", self._token, self._ports)
        self._outbox = Outbox(self._link, self._store, self._on_error)
        # A reader is there from the moment it is asked for, and as long as the program has it.
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._running: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connects, and returns when the first session has begun."""
        if self._running or self.state == "stopped":
            raise RuntimeError("a client runs once: make a new one with the same store")
        self._outbox.restore()
        self._running = asyncio.create_task(self._link.run())
        try:
            await self._settled.wait()
            if self.why:
                raise self.why
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Disconnects. Waiting messages stay in the store."""
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._become("stopped", self.why)

    @property
    def me(self) -> str:
        """The id of the user. It is empty before the first session."""
        return self._feed.me

    @property
    def saved_cursor(self) -> str | None:
        """The cursor after the events that `events()` has handled. Another program can continue from it."""
        return self._store.get("cursor")

    def conversation(self, id: str) -> Conversation:
        """A handle for a conversation. Creating one sends no request."""
        return Conversation(self, id)

    async def direct(self, user: str) -> Conversation | None:
        """The direct conversation with a user, which is created if there is none. `None` if the user was invited, and
        has to accept first."""
        return await self._begin({"kind": "direct", "user_id": user})

    async def group(self, title: str, members: list[str] | None = None) -> Conversation:
        """Creates a group. `members` are the ids of other users."""
        made = await self._begin({"kind": "group", "title": title, "members": members or []})
        assert made, "a group begins at once"
        return made

    def events(self, *, from_: str | None = None) -> AsyncIterator[Event]:
        """The events of all conversations, each once and none missing, at the pace of the reader.

        Without `from_` they continue where the store says that an earlier reader was, and the store learns how far this
        one is: an event counts as handled when the next one is asked for. After a crash the last events come again.
        If the server cannot continue there, `on_error` is told `cursor_gone`, and the events of the session follow.
        Only one reader at a time can use the store so. With a cursor in `from_`, the reader raises `cursor_gone`.

        When the program stops the client, the events end. When the client stops by itself, the reader raises why.
        """
        is_kept = from_ is None
        if from_ is None:
            from_ = self._store.get("cursor") or self._feed.cursor
        return self._read(None, from_, is_kept=is_kept)

    async def _begin(self, body: StartConversation) -> Conversation | None:
        made = await self.rest.start_conversation(body=body)
        return self.conversation(made["id"]) if made else None

    def _read(self, conversation: str | None, from_: str | None, *, is_kept: bool) -> AsyncIterator[Event]:
        stream = Stream(conversation, from_, self._feed.cursor, is_given=from_ is not None and not is_kept)
        self._streams.add(stream)
        if self.state == "stopped":
            stream.stop(self.why)
        return stream.read(self._ports.page, self._on_error, self._keep if is_kept else _ignore)

    def _keep(self, cursor: str, /) -> None:
        self._store.set("cursor", cursor)

    async def _renewed(self, token: str) -> None:
        # The socket has to present the new token before the old one expires.
        if self.state in ("live", "catching_up"):
            await (await self._link.socket()).ask({"op": "authenticate", "token": token})

    def _become(self, state: State, why: VerbatimError | None = None) -> None:
        if state == self.state:
            return
        self.state, self.why = state, why
        if state == "stopped":
            self._token.stop()
            self._outbox.stop(why)
            self._settled.set()
            for stream in self._streams:
                stream.stop(why)
        self._on_state(state)
        if why:
            self._on_error(why)


class _Ports:
    """The part of the client that the feed and the link use."""

    def __init__(self, chat: Verbatim) -> None:
        self._chat = chat

    async def page(self, after: str) -> EventPage:
        return await self._chat.rest.follow_events(after=after, limit=200)

    def event(self, event: Event) -> None:
        self._chat._outbox.seen(event, self._chat.me)
        for stream in self._chat._streams:
            stream.give(event)

    def mark(self, cursor: str) -> None:
        for stream in self._chat._streams:
            stream.mark(cursor)

    def reset(self) -> None:
        for stream in self._chat._streams:
            stream.reset()

    def resync(self) -> None:
        """Nothing here was loaded by REST. What the program has loaded it loads again when it hears of the error."""

    def caught_up(self, is_live: bool) -> None:
        self._chat._link.opened()
        self._chat._settled.set()
        self._chat._become("live" if is_live else "catching_up")

    def cursor(self) -> str | None:
        return self._chat._feed.cursor

    async def frame(self, frame: Frame) -> None:
        try:
            await self._chat._feed.take(frame)
        except VerbatimError as error:
            if error.retryable:
                raise
            # What is missing cannot be had here. The next session gives everything behind the cursor, or a reset.
            raise lost(f"an event is missing, and cannot be fetched: {error}") from error

    def become(self, state: State, why: VerbatimError | None = None) -> None:
        self._chat._become(state, why)

    def error(self, error: VerbatimError) -> None:
        self._chat._on_error(error)


class Conversation:
    """A handle for a conversation. Its acts are sent in order, and each of them survives failures as a message does."""

    def __init__(self, chat: Verbatim, id: str) -> None:
        self._chat = chat
        self.id = id

    def send(
        self,
        text: str,
        *,
        reply_to: str | None = None,
        metadata: dict[str, Any] | None = None,
        client_id: str | None = None,
    ) -> Outgoing:
        """Sends a message. It is in the store when this returns, and is delivered exactly once, even after failures.
        Await the result to learn whether the server has accepted it.

        `reply_to` is the id of another message. `metadata` is for programs, at most 4 KiB of JSON.

        Two messages with the same `client_id` are the same message. So a bot that uses the id of an event as the
        `client_id` of its answer answers once, even if it gets the event again after a crash.
        """
        return self._act("send", client_id, text=text, reply_to=reply_to, metadata=metadata)

    def edit(self, message: str, text: str) -> Outgoing:
        """Replaces the text of a message. Here and below, `message` is an id."""
        return self._act("edit", message_id=message, text=text)

    def delete(self, message: str) -> Outgoing:
        return self._act("delete", message_id=message)

    def react(self, message: str, emoji: str) -> Outgoing:
        return self._act("react", message_id=message, emoji=emoji)

    def unreact(self, message: str, emoji: str) -> Outgoing:
        return self._act("unreact", message_id=message, emoji=emoji)

    def pin(self, message: str) -> Outgoing:
        return self._act("pin", message_id=message)

    def unpin(self, message: str) -> Outgoing:
        return self._act("unpin", message_id=message)

    async def read(self, position: int) -> None:
        """Marks everything up to a position as read: that of a message, or of any other event."""
        await self._chat.rest.advance_receipt(self.id, body={"read": position})

    async def typing(self) -> None:
        """Tells the others that the user is typing. Does nothing without a connection."""
        await self._chat._link.tell({"op": "typing", "conversation_id": self.id})

    @property
    def outgoing(self) -> list[Outgoing]:
        """The acts of the user that are waiting or were refused, in order. A refused one stays, also over a restart,
        until it is sent again or discarded."""
        return self._chat._outbox.of(self.id)

    def events(self, *, from_: str | None = None) -> AsyncIterator[Event]:
        """The events of this conversation, each once and none missing, from a cursor or from this call on."""
        return self._chat._read(self.id, from_, is_kept=False)

    def _act(self, op: str, client_id: str | None = None, **fields: Any) -> Outgoing:
        kept = {name: value for name, value in fields.items() if value is not None}
        return self._chat._outbox.add(
            {"op": op, **kept, "conversation_id": self.id, "client_id": client_id or uuid7()}
        )


def _safe(callback: Callable[[Told], None]) -> Callable[[Told], None]:
    """The same callback of the program, whose failure ends nothing but itself."""

    def told(value: Told) -> None:
        try:
            callback(value)
        except Exception:
            _log.exception("a callback has failed")

    return told


def _ignore(_: str, /) -> None:
    """A reader with a cursor of its own keeps it itself."""
