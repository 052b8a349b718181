"""The order of events: every event of a conversation once, none missing.

What the socket gives is checked link by link, and what is missing is fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

from .errors import VerbatimError, gone
from .generated.types import Event, EventPage


class Ports(Protocol):
    """What the feed needs of its client."""

    def page(self, after: str) -> Awaitable[EventPage]: ...

    def event(self, event: Event) -> None:
        """An event, next in its conversation."""

    def mark(self, cursor: str) -> None:
        """The cursor covers all events that have been given so far."""

    def reset(self) -> None:
        """Events may have been skipped here, and the positions before mean nothing from here on."""

    def resync(self) -> None:
        """What was loaded by REST may lack something: load it again."""

    def caught_up(self, is_live: bool) -> None: ...

    def error(self, error: VerbatimError) -> None: ...


class Feed:
    """Takes the frames of one connection after another."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.me = ""
        # The newest cursor that came: a new connection continues here.
        self.cursor: str | None = None
        # The last position of each conversation that has been given on.
        self.heads: dict[str, int] = {}
        # Set when the first session has begun. What is loaded before could miss what comes until then.
        self.begun = asyncio.Event()
        # The heads that `ready` named.
        self._here: dict[str, int] = {}
        self._ready_cursor = ""
        self._is_resumed = False

    async def take(self, frame: dict[str, Any]) -> None:
        """Takes a frame. The next one has to wait until it is done, also when something has to be fetched."""
        match frame["op"]:
            case "ready":
                self.me = frame["user_id"]
                self._here = {}
                self._ready_cursor = frame["cursor"]
                self._is_resumed = self.cursor is not None
                self._hear(frame)
            case "conversations":
                self._hear(frame)
            case "reset":
                # The cursor means nothing here, nor do the positions before it.
                self._ports.error(gone(frame["reason"]))
                self._ports.reset()
                self._begin()
                self._ports.resync()
            case "event":
                await self._event(frame)  # type: ignore[arg-type]
            case "heartbeat":
                # A conversation that is not known here came to the user by an event that is missing.
                await self._compare(frame["heads"].items())
                self._mark(frame["cursor"])
            case "caught_up":
                # After a restart no head is known before the first event; then `ready` names the beginning of the chain.
                self.heads = self._here | self.heads
                await self._compare(self._here.items())
                self._mark(frame["cursor"])
                self._ports.caught_up(True)

    def _hear(self, frame: dict[str, Any]) -> None:
        self._here |= {one["id"]: one["head"] for one in frame["conversations"]}
        if frame["more"]:
            return
        # After a resume the heads from before still hold, and so does the old cursor until `caught_up`.
        if self._is_resumed:
            self._ports.caught_up(False)
        else:
            self._begin()
        self.begun.set()

    def _begin(self) -> None:
        self.heads = dict(self._here)
        self._mark(self._ready_cursor)
        self._ports.caught_up(True)

    async def _event(self, event: Event) -> None:
        conversation, position, previous = event["conversation_id"], event["position"], event["previous"]
        head = self.heads.get(conversation)
        if head is not None and position > head and previous != head:
            await self._fetch()
            # The fetch has given the event itself, too, unless something is still missing.
            if self.heads.get(conversation, 0) < previous:
                self._hole(conversation, position - 1)
        self._give(event)

    async def _compare(self, heads: Iterable[tuple[str, int]]) -> None:
        def behind() -> list[tuple[str, int]]:
            return [(id, head) for id, head in heads if self.heads.get(id, 0) < head]

        if not behind():
            return
        await self._fetch()
        # The fetch may also have told that the user has left a conversation, which then has no head here.
        for id, head in behind():
            if id in self.heads:
                self._hole(id, head)

    async def _fetch(self) -> None:
        """Gets by REST what the socket did not give."""
        after = self.cursor
        while after is not None:
            page = await self._ports.page(after)
            for event in page["items"]:
                self._give(event)
            after = page["next_cursor"]
            self._mark(after)
            if not page["items"]:
                return

    def _hole(self, id: str, to: int) -> None:
        self._ports.error(VerbatimError("gap", f"{id}: something up to position {to} is missing"))
        self.heads[id] = to
        self._ports.resync()

    def _give(self, event: Event) -> None:
        conversation, position = event["conversation_id"], event["position"]
        if position <= self.heads.get(conversation, 0):
            return
        self.heads[conversation] = position
        # The socket calls it a frame, REST does not.
        event.pop("op", None)  # type: ignore[typeddict-item]
        self._ports.event(event)
        # Whoever comes in again begins with the event that brings them in.
        if event["type"] == "member.removed" and event["data"]["user_id"] == self.me:
            del self.heads[conversation]

    def _mark(self, cursor: str) -> None:
        self.cursor = cursor
        self._ports.mark(cursor)
