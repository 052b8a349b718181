"""What a program receives from a real server, with and without failures."""

import asyncio
from unittest import mock

from verbatim_client import Memory, VerbatimError

from .case import Case, take, take_until, texts
from .server import Proxy, until

# A cursor that no server has made.
GONE = "AZIIfR8MmkvjYlih0POyxJV-aA"


class Readers(Case):
    async def test_a_lost_event_is_fetched_before_the_next_is_told(self) -> None:
        async with Proxy(self.server.port) as way, self.client(self.ben, way.url) as reader, self.client(self.ana) as chat:
            events = reader.conversation(self.id).events()
            told = asyncio.create_task(take(events, 3))
            await asyncio.sleep(0.1)
            talk = chat.conversation(self.id)
            await talk.send("first")
            way.lose("swallowed")
            await talk.send("swallowed")
            await talk.send("third")
            self.assertEqual(texts(await asyncio.wait_for(told, 20)), ["first", "swallowed", "third"])
            self.assertEqual((way.swallowed, self.failures), (1, []))

    async def test_a_reader_is_there_before_its_first_event_is_asked_for(self) -> None:
        async with self.client(self.ben) as reader, self.client(self.ana) as chat:
            talk = reader.conversation(self.id)
            early, other = talk.events(), talk.events()
            waiting = asyncio.create_task(take(other, 1))
            await chat.conversation(self.id).send("an answer at once")
            self.assertEqual(await waiting, await asyncio.wait_for(take(early, 1), 5))
            del early
            await asyncio.sleep(0.1)
            # A reader that the program has dropped holds no events.
            self.assertEqual(len(reader._streams), 1)

    async def test_a_reader_continues_where_the_last_one_stopped(self) -> None:
        store = Memory()
        async with self.client(self.ben, store=store) as reader, self.client(self.ana) as chat:
            talk = chat.conversation(self.id)
            events = reader.events()
            one = asyncio.create_task(take(events, 1))
            await talk.send("first")
            self.assertEqual(texts(await one), ["first"])
            # An event counts as handled when the reader asks for the next one.
            ended = asyncio.create_task(take(events, 1))
            await talk.send("second")
            await ended
        async with self.client(self.ana) as chat:
            for n in range(300):
                chat.conversation(self.id).send(str(n))
            await chat.conversation(self.id).outgoing[-1]
        async with self.client(self.ben, store=store) as reader:
            told = texts(await asyncio.wait_for(take_until(reader.events(), "299"), 20))
            self.assertEqual(told[-301:], ["second", *map(str, range(300))])

    async def test_a_reader_whose_place_is_gone_is_told_once_and_goes_on(self) -> None:
        store = Memory()
        store.set("cursor", GONE)
        for text in ("first", "second"):
            async with self.client(self.ben, store=store) as reader, self.client(self.ana) as chat:
                told = asyncio.create_task(take_until(reader.events(), text))
                await until("the cursor of the session is stored", lambda: store.get("cursor") != GONE)
                await chat.conversation(self.id).send(text)
                self.assertEqual(texts(await asyncio.wait_for(told, 20))[-1:], [text])
                # Of the reader's own cursor the reader is told.
                with self.assertRaises(VerbatimError) as failed:
                    await anext(reader.conversation(self.id).events(from_=GONE))
                self.assertEqual(failed.exception.code, "cursor_gone")
        self.assertEqual([(one.code, one.errors[0]["code"]) for one in self.failures], [("cursor_gone", "cursor_unreadable")])

    async def test_a_slow_reader_misses_nothing(self) -> None:
        async with self.client(self.ben) as reader, self.client(self.ana) as chat:
            events = reader.events()
            talk = chat.conversation(self.id)
            first = asyncio.create_task(take(events, 1))
            await talk.send("0")
            await first
            # More events than fit into the buffer.
            for n in range(1, 600):
                talk.send(str(n))
            await talk.outgoing[-1]
            told = texts(await asyncio.wait_for(take_until(events, "599"), 20))
            self.assertEqual(told, [str(n) for n in range(1, 600)])

    async def test_a_failure_of_the_client_ends_the_readers(self) -> None:
        async with self.client(self.ben) as reader, self.client(self.ana) as chat:
            told = asyncio.create_task(take(reader.events(), 1))
            await asyncio.sleep(0.1)
            with mock.patch.object(reader._feed, "take", side_effect=RuntimeError("broken")):
                await chat.conversation(self.id).send("one")
                with self.assertRaises(VerbatimError) as failed:
                    await asyncio.wait_for(told, 20)
            self.assertEqual((failed.exception.code, reader.state), ("client_failed", "stopped"))
            self.assertIsInstance(failed.exception.__cause__, RuntimeError)
