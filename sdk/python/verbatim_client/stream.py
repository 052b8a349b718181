"""`async for event in …`: each event once, and none missing, at the pace of the reader.

A slow reader does not use more memory: events that do not fit into the buffer are fetched later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from .errors import VerbatimError
from .generated.types import Event, EventPage
from .wait import insist, outlive

BUFFER = 256


class Stream:
    """The buffer of one reader: events, and cursors that cover the events before them."""

    def __init__(self, conversation: str | None, behind: str | None, latest: str | None, *, is_given: bool) -> None:
        """`latest` is the cursor of this moment. Who has given the cursor `behind` is told if it does not count."""
        self._conversation = conversation
        # The cursor from which to fetch the events that are not in the buffer.
        self._behind = behind
        self._latest = latest
        self._is_given = is_given
        # Events, cursors, and `None` where a chain of events has ended and another one begins.
        self._buffer: deque[Event | str | None] = deque()
        # Counts the chains, so that a page that comes too late can be told apart.
        self._chain = 0
        self._seen: dict[str, int] = {}
        self._woken = asyncio.Event()
        self._fetching: asyncio.Future[EventPage] | None = None
        self._end: VerbatimError | None = None

    def give(self, event: Event) -> None:
        """The next event."""
        if self._conversation not in (None, event["conversation_id"]):
            return
        # After an event that did not fit, no later event may be added, or the order would be lost.
        if self._behind is None and len(self._buffer) < BUFFER:
            self._buffer.append(event)
        elif self._behind is None:
            self._behind = self._latest
        self._woken.set()

    def reset(self) -> None:
        """What lies before cannot be fetched, and positions begin anew."""
        self._chain += 1
        self._behind = None
        # A reader that does not read has no more than one mark of this behind an event.
        while self._buffer and not isinstance(self._buffer[-1], dict):
            self._buffer.pop()
        self._buffer.append(None)
        self._woken.set()

    def mark(self, cursor: str) -> None:
        self._latest = cursor
        if self._behind is not None:
            return
        if self._buffer and isinstance(self._buffer[-1], str):
            self._buffer.pop()
        self._buffer.append(cursor)
        self._woken.set()

    def stop(self, why: VerbatimError | None) -> None:
        self._end = why or VerbatimError("stopped", "the client was stopped")
        if self._fetching:
            self._fetching.cancel()
        self._woken.set()

    async def read(
        self,
        page: Callable[[str], Awaitable[EventPage]],
        failed: Callable[[VerbatimError], None],
        handled: Callable[[str], None],
    ) -> AsyncIterator[Event]:
        """Yields the events. Calls `handled` with a cursor when the reader has taken all events before it and asks for
        the next one."""
        while True:
            while self._buffer:
                next = self._buffer.popleft()
                if next is None:
                    self._seen.clear()
                elif isinstance(next, str):
                    handled(next)
                elif self._is_new(next):
                    yield next
            if self._end:
                if self._end.code == "stopped":
                    return
                # The same error ends each later reader. It would collect the frames of all of them.
                raise self._end.with_traceback(None)
            if self._behind is None:
                self._woken.clear()
                await self._woken.wait()
                continue
            # From here on the buffer accepts events again, so each later event is in the buffer, on one of the pages,
            # or both.
            cursor, self._behind = self._behind, None
            chain, latest = self._chain, self._latest
            while not self._end:
                after = cursor
                self._fetching = asyncio.ensure_future(insist(lambda: page(after), failed))
                try:
                    answer = await outlive(self._fetching)
                except VerbatimError as error:
                    if self._end:
                        break
                    if error.code != "cursor_gone" or self._is_given:
                        raise
                    # The buffer has what came since. If a new chain begins in there, the client has told of it.
                    if chain == self._chain:
                        failed(error)
                        if latest is not None:
                            handled(latest)
                    break
                if chain != self._chain:
                    break
                for event in answer["items"]:
                    if self._conversation in (None, event["conversation_id"]) and self._is_new(event):
                        yield event
                cursor = answer["next_cursor"]
                handled(cursor)
                if not answer["items"]:
                    break
            self._is_given = False
            if self._end:
                # What is in the buffer does not follow what was fetched, and would be handled before the rest.
                self._buffer.clear()

    def _is_new(self, event: Event) -> bool:
        conversation, position = event["conversation_id"], event["position"]
        if position <= self._seen.get(conversation, 0):
            return False
        self._seen[conversation] = position
        return True
