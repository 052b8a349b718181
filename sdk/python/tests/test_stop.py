"""What the end of a client means for the tasks of the program."""

import asyncio
import unittest
from typing import Any
from unittest import mock

from verbatim_client import VerbatimError
from verbatim_client.stream import Stream
from verbatim_client.token import Token

from .server import until


class Stop(unittest.IsolatedAsyncioTestCase):
    async def test_a_task_that_waits_for_a_token_is_not_cancelled(self) -> None:
        asked: list[asyncio.Future[str]] = []

        def callback(_: str) -> asyncio.Future[str]:
            asked.append(asyncio.get_running_loop().create_future())
            return asked[-1]

        async def renewed(_: str) -> None: ...

        token = Token(renewed, lambda error: self.fail(str(error)))
        token.comes_from(callback)
        waiting = [asyncio.create_task(token.get()) for _ in range(3)]
        await asyncio.sleep(0.05)
        # The request is for the others, too.
        waiting[0].cancel()
        await asyncio.sleep(0)
        token.stop()
        later = asyncio.create_task(token.get())
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        self.assertIsInstance(ended[0], asyncio.CancelledError)
        self.assertEqual([isinstance(one, VerbatimError) and one.code for one in ended[1:]], ["stopped"] * 2)
        # The end of the old request does not hide the new one.
        await asyncio.sleep(0.05)
        latest = asyncio.create_task(token.get())
        await asyncio.sleep(0.05)
        self.assertEqual(len(asked), 2)
        asked[1].set_result("a")
        self.assertEqual(await asyncio.gather(later, latest), ["a", "a"])

    async def test_a_stopped_client_asks_for_a_token_only_when_it_needs_one(self) -> None:
        asked: list[str] = []

        async def renewed(_: str) -> None: ...

        def callback(why: str) -> str:
            asked.append(why)
            return "a"

        token = Token(renewed, lambda error: self.fail(str(error)))
        token.comes_from(callback)
        with mock.patch("verbatim_client.token.renewal", lambda _: 0.01):
            await token.get()
            await until("it is renewed", lambda: "expiring" in asked)
            token.stop()
            asked.clear()
            await token.get()
            await asyncio.sleep(0.1)
            self.assertEqual(asked, ["start"])
            await token.refused("a")
            self.assertEqual(asked, ["start", "refused"])

    async def test_a_reader_that_fetches_a_page_ends_as_the_others_do(self) -> None:
        async def page(_: str) -> Any:
            raise VerbatimError("network", "nobody there", retryable=True)

        for why in (None, VerbatimError("login_revoked", "log in again")):
            stream = Stream(None, "c1", "c2", is_given=True)
            failures: list[VerbatimError] = []

            async def read() -> list[Any]:
                return [one async for one in stream.read(page, failures.append, lambda _: None)]

            reading = asyncio.create_task(read())
            while not failures:
                await asyncio.sleep(0)
            stream.stop(why)
            if why is None:
                self.assertEqual(await asyncio.wait_for(reading, 5), [])
            else:
                with self.assertRaises(VerbatimError) as failed:
                    await asyncio.wait_for(reading, 5)
                self.assertIs(failed.exception, why)

    async def test_a_reader_that_ends_between_two_pages_skips_nothing(self) -> None:
        async def page(_: str) -> Any:
            return {"items": [{"conversation_id": "a", "position": 1}], "next_cursor": "c2"}

        stream = Stream(None, "c1", "c1", is_given=False)
        handled: list[str] = []
        reading = stream.read(page, lambda error: self.fail(str(error)), handled.append)
        told = [(await anext(reading))["position"]]
        # Between this event and the one before it are those of the next page.
        stream.give({"conversation_id": "a", "position": 9})  # type: ignore[typeddict-item, misc]
        stream.mark("c9")
        stream.stop(None)
        told += [one["position"] async for one in reading]
        # The next reader begins with what this one has not seen.
        self.assertEqual((told, handled), ([1], ["c2"]))
