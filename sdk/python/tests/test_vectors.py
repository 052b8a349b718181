"""The vectors that the clients for all languages must pass."""

import base64
import copy
import json
import time
import unittest
from pathlib import Path
from typing import Any

from verbatim_client import Folded, VerbatimError, fold
from verbatim_client.feed import Feed
from verbatim_client.link import after, fatal
from verbatim_client.socket import ended
from verbatim_client.stream import Stream
from verbatim_client.token import renewal
from verbatim_client.wait import pause, retry_after

VECTORS = Path(__file__).parent / "../../vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


class Fold(unittest.TestCase):
    def test_each_vector(self) -> None:
        for vector in vectors("fold"):
            with self.subTest(vector["name"]):
                self.check(vector)

    def check(self, vector: dict[str, Any]) -> None:
        state, then = Folded.begin(**copy.deepcopy(vector["before"])), vector["after"]
        asks: set[str] = set()
        for event in vector["events"]:
            asks |= fold(state, event, vector["me"])
            asks |= fold(state, event, vector["me"])
        # This fold must ask for no more than the vector says. Where it asks for less, the state below must be right
        # without asking.
        self.assertLessEqual(asks, set(vector["asks"]))
        # Erased content must not be shown, even before the answer arrives.
        self.assertIn(state.conversation.get("title"), (None, then["conversation"].get("title")))
        if "conversation" in asks:
            state.conversation = then["conversation"]
        if "receipts" in asks:
            state.receipts = {one["user_id"]: one for one in then["receipts"]}
        self.assertEqual(state.conversation, then["conversation"])
        self.assertEqual(list(state.messages.values()), then["messages"])
        self.assertEqual([state.members[id] for id in sorted(state.members)], then["members"])
        nothing = {"delivered": 0, "read": 0}
        receipts = [state.receipts.get(id, {"user_id": id} | nothing) for id in sorted(state.members)]
        self.assertEqual(receipts, then["receipts"])


class Gap(unittest.IsolatedAsyncioTestCase):
    async def test_each_vector(self) -> None:
        for vector in vectors("gap"):
            with self.subTest(vector["name"]):
                await self.check(vector)

    async def check(self, vector: dict[str, Any]) -> None:
        seen = Seen(vector.get("pages", {}))
        feed = Feed(seen)
        feed.cursor = vector.get("start")
        for frame in vector["frames"]:
            await feed.take(frame)
        self.assertEqual(seen.told, vector["told"])
        self.assertEqual(seen.fetched, vector.get("fetched", []))
        self.assertEqual(seen.errors, vector.get("errors", []))
        self.assertEqual(seen.resyncs, vector.get("resyncs", 0))
        self.assertEqual((feed.cursor, seen.marked), (vector["cursor"], vector["cursor"]))


class Seen:
    """Records what a feed reports."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self._pages = pages
        self.told: list[str] = []
        self.fetched: list[str] = []
        self.errors: list[str] = []
        self.resyncs = 0
        self.marked: str | None = None

    async def page(self, after: str) -> Any:
        self.fetched.append(after)
        return self._pages[after]

    def event(self, event: Any) -> None:
        self.told.append(f"{event['conversation_id']} {event['position']}")

    def mark(self, cursor: str) -> None:
        self.marked = cursor

    def reset(self) -> None:
        pass

    def resync(self) -> None:
        self.resyncs += 1

    def caught_up(self, is_live: bool) -> None:
        pass

    def error(self, error: VerbatimError) -> None:
        self.errors.append(error.code)


class Reset(unittest.IsolatedAsyncioTestCase):
    async def test_a_stream_gives_what_waits_and_then_events_at_lower_positions(self) -> None:
        stream = Stream(None, None, "c1", is_given=False)
        handled: list[str] = []

        async def page(after: str) -> Any:
            raise AssertionError(f"nothing is to be fetched after {after}")

        def tell(*positions: int) -> None:
            for position in positions:
                stream.give({"conversation_id": "a", "position": position})  # type: ignore[typeddict-item, misc]

        reading = stream.read(page, lambda error: self.fail(str(error)), handled.append)

        async def told(count: int) -> list[int]:
            return [(await anext(reading))["position"] for _ in range(count)]

        tell(8, 9)
        stream.reset()
        stream.mark("c2")
        tell(5, 5, 6)
        self.assertEqual((await told(4), handled), ([8, 9, 5, 6], ["c2"]))
        # What the buffer has no room for is gone with the log, and is not asked for.
        tell(*range(10, 310))
        stream.reset()
        self.assertEqual((await told(256))[-1], 265)
        tell(2)
        self.assertEqual(await told(1), [2])


class Retry(unittest.TestCase):
    known = vectors("retry")

    def test_pauses(self) -> None:
        for one in self.known["pauses"]:
            pauses = [1000 * pause(one["attempt"], one["at_least_ms"] / 1000) for _ in range(200)]
            self.assertGreaterEqual(min(pauses), one["shortest_ms"])
            self.assertLessEqual(max(pauses), one["longest_ms"])
            # The pauses need jitter, so that clients do not retry in step.
            self.assertGreater(len(set(pauses)), 100)

    def test_retry_after(self) -> None:
        for one in self.known["retry_after"]:
            seconds = retry_after(one["value"])
            self.assertEqual(None if seconds is None else 1000 * seconds, one["ms"], one)

    def test_closes(self) -> None:
        for one in self.known["closes"]:
            end = ended(one["code"], one["reason"], began=False)
            self.assertEqual((after(end, one["refused"]), 1000 * end.retry_after), (one["then"], one["wait_ms"]), one)
            if "error" in one:
                self.assertEqual(fatal(end).code, one["error"])

    def test_tokens(self) -> None:
        for one in self.known["tokens"]:
            begins = time.time() - one["lived_s"]
            claims = json.dumps({"iat": begins, "exp": begins + one["life_s"]}).encode()
            token = f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"
            wait = renewal(token)
            assert wait is not None
            self.assertAlmostEqual(wait, one["renewed_after_s"], delta=1)
        self.assertIsNone(renewal("an-api-key"))
