"""What a program sends to a real server, with and without failures."""

import asyncio
import contextlib
import time
import traceback
import unittest
from datetime import datetime
from typing import Any
from unittest import mock

from verbatim_client import Done, File, Memory, Verbatim, VerbatimError
from verbatim_client.socket import Socket

from .case import Case, take_until, texts
from .server import Proxy, Server, until


class Outbox(Case):
    async def test_a_refused_message_steps_aside(self) -> None:
        async with self.client(self.ana) as chat:
            talk = chat.conversation(self.id)
            first = talk.send("one")
            stranger = talk.send("an answer to nothing", reply_to="01930f3d-1f20-7b61-8a4f-5e6f708192a3")
            huge = talk.send("x" * 80_000)
            last = await talk.send("two")
            self.assertEqual((await first).conversation_id, self.id)
            self.assertGreater(last.position, (await first).position)
            for refused, code in ((stranger, "bad_reference"), (huge, "too_large")):
                with self.assertRaises(VerbatimError) as failed:
                    await refused
                self.assertEqual((failed.exception.code, failed.exception.retryable), (code, False))
            self.assertEqual([one.state for one in talk.outgoing], ["failed", "failed"])
            stranger.retry()
            self.assertEqual(stranger.state, "sending")
            with self.assertRaises(VerbatimError):
                await stranger
            stranger.discard()
            huge.discard()
            self.assertEqual(talk.outgoing, [])
        self.assertEqual(self.server.texts(self.ana, self.id, last.position), ["one", "two"])

    async def test_an_act_that_is_sent_again_has_no_error_any_more(self) -> None:
        refusals = [VerbatimError("forbidden", "not yet")]
        real = Socket.ask

        async def ask(socket: Socket, frame: dict[str, Any]) -> dict[str, Any]:
            if refusals:
                raise refusals.pop()
            return await real(socket, frame)

        async def once() -> Done:
            with self.assertRaises(VerbatimError):
                await sent
            sent.retry()
            self.assertEqual((sent.state, sent.error), ("sending", None))
            return await sent

        async def other() -> Done:
            return await sent

        async with self.client(self.ana) as chat:
            talk = chat.conversation(self.id)
            with mock.patch("verbatim_client.socket.Socket.ask", ask):
                sent = talk.send("one")
                # One that awaits it, too, hears of the end.
                done, same = await asyncio.wait_for(asyncio.gather(once(), other()), 20)
            self.assertEqual((done, sent.state, sent.error), (same, "sent", None))
            with mock.patch("verbatim_client.socket.Socket.ask", side_effect=VerbatimError("forbidden", "never")):
                regretted = talk.send("two")
                await until("it is refused", lambda: regretted.state == "failed")
                regretted.discard()
            self.assertEqual((regretted.error and regretted.error.code, talk.outgoing), ("discarded", []))
            regretted.retry()
            last = await asyncio.wait_for(regretted, 20)
        self.assertEqual(self.server.texts(self.ana, self.id, last.position), ["one", "two"])

    async def test_what_waits_survives_a_crash_of_the_program(self) -> None:
        store = File(self.folder / "kept")
        async with Proxy(self.server.port) as way, self.client(self.ana, way.url, store=store) as chat:
            await way.__aexit__()
            for n in range(20):
                chat.conversation(self.id).send(str(n))
            waiting = chat.conversation(self.id).outgoing[-1]
        with self.assertRaises(VerbatimError) as stopped:
            await waiting
        self.assertEqual(stopped.exception.code, "stopped")
        store.close()
        async with self.client(self.ana, store=File(self.folder / "kept")) as chat:
            self.assertEqual(len(chat.conversation(self.id).outgoing), 20)
            last = await chat.conversation(self.id).outgoing[-1]
        self.assertEqual(self.server.texts(self.ana, self.id, last.position), [str(n) for n in range(20)])

    async def test_what_waits_and_what_comes_after_the_end_tells_why(self) -> None:
        async def silent(*_: object) -> None:
            await asyncio.Event().wait()

        store = Memory()
        with mock.patch("verbatim_client.socket.Socket.ask", silent):
            async with self.client(self.ana, store=store) as chat:
                talk = chat.conversation(self.id)
                before = talk.send("before")
                login = self.server.ask("GET", "/logins", token=self.ana.token)["items"][0]["id"]
                self.server.ask("DELETE", f"/logins/{login}", token=self.ana.token)
                await until("the client has stopped", lambda: chat.state == "stopped")
                for one in (before, talk.send("after")):
                    with self.assertRaises(VerbatimError) as failed:
                        await asyncio.wait_for(one, 2)
                    self.assertIs(failed.exception, chat.why)
                self.assertEqual(failed.exception.code, "login_revoked")
            async with self.client(self.ben) as chat:
                pass
            places = set[int]()
            for _ in range(3):
                try:
                    await asyncio.wait_for(chat.conversation(self.id).send("too late"), 2)
                except VerbatimError as error:
                    self.assertEqual(error.code, "stopped")
                    places.add(len(traceback.extract_tb(error.__traceback__)))
            # A program that goes on for days raises one error again and again.
            self.assertEqual(len(places), 1)
            with self.assertRaisesRegex(RuntimeError, "runs once"):
                async with chat:
                    self.fail("it would send nothing")
        # A client with this store sends them.
        self.assertEqual([saved["act"]["text"] for _, saved in store.all("out/")], ["before", "after"])

    async def test_what_is_discarded_without_a_network_is_not_sent(self) -> None:
        chat = self.client(self.ana)
        regretted = chat.conversation(self.id).send("regretted")
        # The task that sends it waits for the connection.
        await asyncio.sleep(0.05)
        regretted.discard()
        async with chat:
            kept = await chat.conversation(self.id).send("kept")
        self.assertEqual(self.server.texts(self.ana, self.id, kept.position), ["kept"])

    async def test_what_is_said_before_the_start_follows_what_an_earlier_run_left(self) -> None:
        store = Memory()
        # The clock was an hour ahead then.
        ahead = int(1000 * time.time()) + 3_600_000
        for n, text in enumerate(("one", "two"), ahead):
            act = {"op": "send", "text": text, "conversation_id": self.id, "client_id": f"the-key-of-{text}"}
            store.set(f"out/{n:012}/{act['client_id']}", {"n": n, "act": act})
        chat = self.client(self.ana, store=store)
        three = chat.conversation(self.id).send("three")
        await asyncio.sleep(0)
        async with chat:
            last = await three
        self.assertEqual(self.server.texts(self.ana, self.id, last.position), ["one", "two", "three"])
        self.assertEqual(store.all("out/"), [])

    async def test_the_same_key_is_the_same_message(self) -> None:
        async with self.client(self.ana) as chat:
            key = "01930f3d-1f20-7b61-8a4f-5e6f708192a3"
            talk = chat.conversation(self.id)
            once, again = await talk.send("once", client_id=key), await talk.send("once", client_id=key)
            self.assertEqual(once, again)
        self.assertEqual(self.server.texts(self.ana, self.id, once.position), ["once"])

    async def test_what_no_server_can_read_is_refused_at_once(self) -> None:
        store = Memory()
        async with self.client(self.ana, store=store) as chat:
            talk = chat.conversation(self.id)
            metadata = {"n": 1}
            first = talk.send("one", metadata=metadata)
            metadata["n"] = 2
            for bad in ({"n": float("nan")}, {"at": datetime.now()}, {"name": "\udcff"}):
                with self.assertRaises(VerbatimError) as refused:
                    talk.send("never", metadata=bad)
                self.assertEqual((refused.exception.code, refused.exception.retryable), ("invalid_frame", False))
            self.assertEqual(talk.outgoing, [first])
            done = await talk.send("two")
            page = await chat.rest.list_messages(self.id, min_position=done.position)
            self.assertEqual([one.get("metadata") for one in page["items"]], [None, {"n": 1}])
        # An earlier version has stored one.
        act = {"op": "send", "text": "never", "metadata": {"n": float("inf")}, "conversation_id": self.id, "client_id": "a-bad-one"}
        store.set("out/000000000001/a-bad-one", {"n": 1, "act": act})
        async with self.client(self.ana, store=store) as chat:
            talk = chat.conversation(self.id)
            last = await talk.send("three")
            self.assertEqual([(one.state, one.error and one.error.code) for one in talk.outgoing], [("failed", "invalid_frame")])
        self.assertEqual(self.server.texts(self.ana, self.id, last.position), ["one", "two", "three"])
        self.assertEqual(self.failures, [])

    async def test_sending_goes_on_after_a_failure_of_the_program_or_its_store(self) -> None:
        class Full(Memory):
            def set(self, key: str, value: object) -> None:
                if value is None:
                    raise OSError("no space is left")
                super().set(key, value)

        broken = mock.patch("verbatim_client.socket.Socket.ask", side_effect=RuntimeError("broken"))

        def failed(error: VerbatimError) -> None:
            self.failures.append(error)
            broken.stop()
            raise RuntimeError("broken, too")

        async with Verbatim(self.server.url, self.ana.token, store=Full(), on_error=failed) as chat:
            broken.start()
            with self.assertLogs("verbatim_client", "ERROR") as logs:
                await asyncio.wait_for(chat.conversation(self.id).send("one"), 20)
                last = await asyncio.wait_for(chat.conversation(self.id).send("two"), 20)
        self.assertEqual([error.code for error in self.failures], ["network", "store_failed", "store_failed"])
        self.assertIn("RuntimeError: broken, too", logs.output[0])
        self.assertEqual(self.server.texts(self.ana, self.id, last.position), ["one", "two"])

    async def test_other_acts_go_the_same_way(self) -> None:
        async with self.client(self.ana) as chat:
            talk = chat.conversation(self.id)
            sent = await talk.send("typo", metadata={"n": 1})
            await talk.edit(sent.id, "no typo")
            await talk.react(sent.id, "👍")
            pinned = await talk.pin(sent.id)
            page = await chat.rest.list_messages(self.id, min_position=pinned.position)
            message = page["items"][0]
            self.assertEqual((message["text"], message["metadata"], message["pinned"]), ("no typo", {"n": 1}, True))
            self.assertEqual(message["reactions"], [{"emoji": "👍", "count": 1, "mine": True}])
            await talk.unreact(sent.id, "👍")
            await talk.unpin(sent.id)
            gone = await talk.delete(sent.id)
            page = await chat.rest.list_messages(self.id, min_position=gone.position)
            self.assertIn("deleted_at", page["items"][0])


class Storm(unittest.IsolatedAsyncioTestCase):
    async def test_each_message_once_through_cuts_restarts_and_a_crash(self) -> None:
        server = await asyncio.to_thread(Server)
        self.addCleanup(server.stop)
        ana, ben = server.user("ana"), server.user("ben")
        id = server.group(ana, ben)
        messages = 300
        store, kept = Memory(), Memory()
        holes: list[VerbatimError] = []

        def failed(error: VerbatimError) -> None:
            if error.code == "gap":
                holes.append(error)

        async with Proxy(server.port) as way, contextlib.AsyncExitStack() as stack:
            reader = await stack.enter_async_context(Verbatim(way.url, ben.token, store=kept, on_error=failed))
            told = asyncio.create_task(take_until(reader.events(), str(messages - 1)))

            async def storm() -> None:
                while True:
                    await asyncio.sleep(1)
                    way.cut()

            cuts = asyncio.create_task(storm())
            crash: asyncio.Future[None] | None = None
            begin = time.monotonic()
            for start in range(0, messages, 100):
                async with Verbatim(way.url, ana.token, store=store, on_error=failed) as chat:
                    for n in range(start, start + 100):
                        chat.conversation(id).send(str(n))
                        await asyncio.sleep(0.02)
                        if n == messages // 2:
                            crash = asyncio.ensure_future(asyncio.to_thread(server.crash))
            if crash:
                await crash
            async with Verbatim(way.url, ana.token, store=store, on_error=failed) as chat:
                await until("all are sent", lambda: not chat.conversation(id).outgoing, 60)
                heard = await asyncio.wait_for(told, 60)
            cuts.cancel()
        self.assertGreater(time.monotonic() - begin, 6)
        self.assertEqual(texts(heard), [str(n) for n in range(messages)])
        self.assertEqual(holes, [])
        self.assertEqual(server.texts(ben, id, heard[-1]["position"]), [str(n) for n in range(messages)][-200:])
        self.assertEqual(store.all("out/"), [])


class Limited(unittest.IsolatedAsyncioTestCase):
    async def test_many_conversations_that_send_at_once_keep_to_a_limit(self) -> None:
        server = await asyncio.to_thread(Server, **{"limit-send": "600/60:3", "limit-start": "off"})
        self.addCleanup(server.stop)
        states: list[str] = []
        failures: list[VerbatimError] = []
        token = server.user("ana").token
        async with Verbatim(server.url, token, on_state=states.append, on_error=failures.append) as chat:
            talks = await asyncio.gather(*[chat.group(str(n)) for n in range(40)])
            for sent in [talk.send("at once") for talk in talks]:
                await sent
            # The server closes a socket that ignores its waits.
            self.assertEqual((states, failures), (["connecting", "live"], []))
