"""The order of events: every event of a conversation once, and none missing.

Each event names the one before it, so a gap in the events of the socket is noticed, and the missing events are
fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

from .errors import VerbatimError, gone
from .generated.types import Event, EventPage


class Ports(Protocol):
    """What the feed needs from its client."""

    def page(self, after: str) -> Awaitable[EventPage]: ...

    def event(self, event: Event) -> None:
        """Takes the next event of a conversation."""

    def mark(self, cursor: str) -> None:
        """Takes a cursor that covers all events delivered so far."""

    def reset(self) -> None:
        """Events may have been skipped here, and the positions before mean nothing from here on."""

    def resync(self) -> None:
        """Reloads what was loaded by REST, because it may be incomplete."""

    def caught_up(self, is_live: bool) -> None: ...

    def error(self, error: VerbatimError) -> None: ...


class Feed:
    """Processes the frames of successive connections."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.me = ""
        # The latest cursor. A new connection continues from it.
        self.cursor: str | None = None
        # The position of the last delivered event of each conversation.
        self.heads: dict[str, int] = {}
        # Set when the first session has begun. State that is loaded earlier could miss events from before the session.
        self.begun = asyncio.Event()
        # The heads from `ready`.
        self._here: dict[str, int] = {}
        self._ready_cursor = ""
        self._is_resumed = False

    async def take(self, frame: dict[str, Any]) -> None:
        """Processes a frame. The next frame must wait until this is done, even if events have to be fetched."""
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
                # If a conversation is unknown here, the event that added the user to it is missing.
                await self._compare(frame["heads"].items())
                self._mark(frame["cursor"])
            case "caught_up":
                # After a restart no head is known before the first event. For such conversations `ready` gives the
                # start of the chain.
                self.heads = self._here | self.heads
                await self._compare(self._here.items())
                self._mark(frame["cursor"])
                self._ports.caught_up(True)

    def _hear(self, frame: dict[str, Any]) -> None:
        self._here |= {one["id"]: one["head"] for one in frame["conversations"]}
        if frame["more"]:
            return
        # After a resume the earlier heads are still valid, and so is the old cursor until `caught_up`.
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
            # The fetch has also delivered the event itself, unless something is still missing.
            if self.heads.get(conversation, 0) < previous:
                self._hole(conversation, position - 1)
        self._give(event)

    async def _compare(self, heads: Iterable[tuple[str, int]]) -> None:
        def behind() -> list[tuple[str, int]]:
            return [(id, head) for id, head in heads if self.heads.get(id, 0) < head]

        if not behind():
            return
        await self._fetch()
        # The fetch may also have delivered the event with which the user left a conversation, which then has no head
        # here.
        for id, head in behind():
            if id in self.heads:
                self._hole(id, head)

    async def _fetch(self) -> None:
        """Fetches by REST the events that the socket did not deliver."""
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
        # Events of the socket are frames with an `op`; events of REST have none.
        event.pop("op", None)  # type: ignore[typeddict-item]
        self._ports.event(event)
        # If the user is added again, the chain starts with the event that adds them.
        if event["type"] == "member.removed" and event["data"]["user_id"] == self.me:
            del self.heads[conversation]

    def _mark(self, cursor: str) -> None:
        self.cursor = cursor
        self._ports.mark(cursor)
