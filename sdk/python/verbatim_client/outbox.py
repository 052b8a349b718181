"""The outbox: acts of the user that the server has not acknowledged yet.

Each act gets its idempotency key before the first attempt, and stays in the store until it is acknowledged. The acts
of a conversation are sent in order. A refused act is set aside and never blocks the next one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

from .errors import VerbatimError
from .generated.types import Event
from .link import Link
from .store import Store
from .wait import pause

# The most acts under way at once. When the server refuses one because there are too many, it also refuses those under
# way, as if they ignored the wait, and it closes the socket after 20 of them.
AT_ONCE = 10
# How many seconds acts go one at a time after such a refusal. The server counts over this time.
CAREFUL = 60.0


@dataclass(frozen=True)
class Done:
    """The result of an act on the server."""

    # The id of the message that was sent or changed.
    id: str
    position: int
    conversation_id: str
    client_id: str


class Outgoing:
    """An act on its way. Await it for the result, which may take days; a refusal is raised."""

    def __init__(self, outbox: Outbox, saved: dict[str, Any]) -> None:
        self._outbox = outbox
        self._saved = saved
        self._settled = asyncio.Event()
        self._done: Done | None = None
        self._end: VerbatimError | None = None
        if saved.get("error"):
            self._settled.set()

    @property
    def act(self) -> dict[str, Any]:
        return self._saved["act"]

    @property
    def client_id(self) -> str:
        return self.act["client_id"]

    @property
    def text(self) -> str:
        """The text of a message or an edit."""
        return self.act.get("text", "")

    @property
    def state(self) -> Literal["sending", "sent", "failed"]:
        if self._done:
            return "sent"
        return "failed" if self._saved.get("error") else "sending"

    @property
    def error(self) -> VerbatimError | None:
        """Why the server refused it, or why it was discarded or the client has stopped."""
        error = self._saved.get("error")
        return VerbatimError(error["code"], error["detail"], retryable=False) if error else self._end

    def retry(self) -> None:
        """Sends a failed act again, also one that was discarded."""
        if self.state == "failed":
            del self._saved["error"]
            self._end = None
            self._settled.clear()
            self._outbox.retry(self)

    def discard(self) -> None:
        """Gives the act up. If it is in flight, it may still arrive."""
        if self.state != "sent":
            self._outbox.forget(self)
            self.refuse(VerbatimError("discarded", "the program has discarded it"))

    def settle(self, end: Done | VerbatimError) -> None:
        """For the outbox only."""
        if isinstance(end, Done):
            self._done = end
        else:
            self._end = end
        self._settled.set()

    def refuse(self, error: VerbatimError) -> None:
        """For the outbox only."""
        self._saved["error"] = {"code": error.code, "detail": error.detail}
        self.settle(error)

    def __await__(self) -> Generator[Any, None, Done]:
        while True:
            yield from self._settled.wait().__await__()
            if self._done:
                return self._done
            # There is none if another task has heard of the error first, and has sent the act again.
            if error := self.error:
                # One error ends many acts. It would collect the frames of all that have awaited them.
                raise error.with_traceback(None)


class Outbox:
    """The acts of all conversations."""

    def __init__(self, link: Link, store: Store, failed: Callable[[VerbatimError], None]) -> None:
        self._link = link
        self._store = store
        self._failed = failed
        self._all: dict[str, Outgoing] = {}
        self._pumps: dict[str, asyncio.Task[None]] = {}
        # A new act follows those that are still to be restored, even if the clock was ahead when they were made.
        self._n: int = max((saved["n"] for _, saved in store.all("out/")), default=0)
        # The end of a pause that the server has requested. It applies to the whole socket.
        self._not_before = 0.0
        self._careful_until = 0.0
        self._under_way = 0
        self._turn_ended = asyncio.Event()
        # Why nothing is sent any more.
        self._end: VerbatimError | None = None

    def restore(self) -> None:
        """Restores the acts that an earlier run of the program has left."""
        for _, saved in self._store.all("out/"):
            self._all.setdefault(saved["act"]["client_id"], Outgoing(self, saved))
        for outgoing in self._all.values():
            self._go(outgoing)

    def of(self, conversation: str) -> list[Outgoing]:
        """The unfinished acts of a conversation, in order."""
        own = [one for one in self._all.values() if one.act["conversation_id"] == conversation]
        return sorted(own, key=lambda one: one._saved["n"])

    def add(self, act: dict[str, Any]) -> Outgoing:
        known = self._all.get(act["client_id"])
        if known:
            return known
        # A copy: what the program changes later was not said.
        act = json.loads(_encoded(act))
        n = max(time.time_ns() // 1_000_000, self._n + 1)
        outgoing = Outgoing(self, {"n": n, "act": act})
        # The key is in the store before the first attempt: an attempt that a crash forgets could happen twice.
        self._store.set(_key(outgoing), outgoing._saved)
        self._n = n
        self._all[outgoing.client_id] = outgoing
        self._go(outgoing)
        return outgoing

    def retry(self, outgoing: Outgoing) -> None:
        self._all[outgoing.client_id] = outgoing
        self._set(outgoing, outgoing._saved)
        self._go(outgoing)

    def forget(self, outgoing: Outgoing) -> None:
        self._all.pop(outgoing.client_id, None)
        self._set(outgoing, None)

    def _set(self, outgoing: Outgoing, value: dict[str, Any] | None) -> None:
        """A store that fails here makes another attempt after a restart, and the key makes that harmless."""
        try:
            self._store.set(_key(outgoing), value)
        except Exception as error:
            self._failed(VerbatimError("store_failed", str(error), retryable=True))

    def seen(self, event: Event, me: str) -> None:
        """Marks an act as done if the event is its result, even if the answer was lost."""
        data: Any = event["data"]
        outgoing = self._all.get(data.get("client_id") or "") if event["actor"] == me else None
        if outgoing:
            self._done(outgoing, event["position"], data.get("message_id", ""))

    def stop(self, why: VerbatimError | None) -> None:
        """Stops sending. Waiting acts, and those to come, stay in the store, and awaiting one raises the reason."""
        self._end = why or VerbatimError("stopped", "the client was stopped; the store has what waits")
        for pump in self._pumps.values():
            pump.cancel()
        for outgoing in self._all.values():
            self._go(outgoing)

    def _go(self, outgoing: Outgoing) -> None:
        """Has an act sent in its turn, or tells why it is not sent any more."""
        if outgoing.state != "sending":
            return
        if self._end:
            outgoing.settle(self._end)
            return
        conversation = outgoing.act["conversation_id"]
        running = self._pumps.get(conversation)
        if running is None or running.done():
            self._pumps[conversation] = asyncio.create_task(self._run(conversation))

    async def _turn(self) -> None:
        """Waits until another act may go."""
        while True:
            now = time.monotonic()
            if self._not_before > now:
                await asyncio.sleep(self._not_before - now)
            elif self._under_way < (1 if now < self._careful_until else AT_ONCE):
                break
            else:
                self._turn_ended.clear()
                await self._turn_ended.wait()
        self._under_way += 1

    def _turn_ends(self) -> None:
        self._under_way -= 1
        self._turn_ended.set()

    async def _run(self, conversation: str) -> None:
        attempt = 0
        while self._first(conversation):
            socket = await self._link.socket()
            await self._turn()
            # What was discarded meanwhile is not sent.
            outgoing = self._first(conversation)
            rest = 0.0
            try:
                if outgoing is None:
                    break
                limit = (socket.limits or {}).get("frame_bytes", 65_536)
                # The server would close the socket because of this frame, each time anew.
                if len(_encoded(outgoing.act)) > limit - 100:
                    raise VerbatimError("too_large", f"send at most {limit} bytes")
                ack = await socket.ask(outgoing.act)
                self._done(outgoing, ack.get("position", 0), ack.get("message_id", ""))
                attempt = 0
            except VerbatimError as error:
                assert outgoing
                if error.retryable:
                    if error.code == "rate_limited":
                        self._careful_until = time.monotonic() + CAREFUL
                    self._not_before = max(self._not_before, time.monotonic() + (error.retry_after or 0.0))
                    rest = pause(attempt)
                    attempt += 1
                elif self._all.get(outgoing.client_id) is outgoing and outgoing.state == "sending":
                    outgoing.refuse(error)
                    self._set(outgoing, outgoing._saved)
                    attempt = 0
            except Exception as error:
                # Nobody waits for this task, so it has to tell, and to go on.
                self._failed(VerbatimError("network", f"sending failed: {error!r}", retryable=True))
                rest = pause(attempt)
                attempt += 1
            finally:
                self._turn_ends()
            await asyncio.sleep(rest)
        del self._pumps[conversation]

    def _first(self, conversation: str) -> Outgoing | None:
        return next((one for one in self.of(conversation) if one.state == "sending"), None)

    def _done(self, outgoing: Outgoing, position: int, message_id: str) -> None:
        if self._all.get(outgoing.client_id) is outgoing:
            self.forget(outgoing)
            outgoing.settle(Done(message_id, position, outgoing.act["conversation_id"], outgoing.client_id))


def _encoded(act: dict[str, Any]) -> str:
    """An act as it goes out. The server cannot read what is not JSON in Unicode, and could not say which act it was."""
    try:
        json.dumps(act, ensure_ascii=False).encode()
        return json.dumps(act, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise VerbatimError("invalid_frame", f"use text and metadata that are JSON in Unicode: {error}") from error


def _key(outgoing: Outgoing) -> str:
    """The key of an act in the store. Keys sort in the order of the acts."""
    return f"out/{outgoing._saved['n']:012}/{outgoing.client_id}"
