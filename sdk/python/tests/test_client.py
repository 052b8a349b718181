"""What a program sends and receives with a real server, with and without failures."""

import asyncio
import contextlib
import io
import secrets
import tempfile
import time
import traceback
import unittest
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from verbatim_client import Done, Event, File, Memory, PasswordLogin, Verbatim, VerbatimError, link
from verbatim_client.socket import End, Socket

from .server import PASSWORD, Proxy, Server, User, until

# A cursor that no server has made.
GONE = "AZIIfR8MmkvjYlih0POyxJV-aA"


class Client(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self) -> None:
        self.ana, self.ben = self.server.user("ana"), self.server.user("ben")
        self.id = self.server.group(self.ana, self.ben)
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="verbatim-python-")))
        self.failures: list[VerbatimError] = []

    def client(self, user: User, url: str | None = None, **more: object) -> Verbatim:
        return Verbatim(url or self.server.url, user.token, on_error=self.failures.append, **more)

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

    async def test_typing_neither_waits_nor_fails(self) -> None:
        async with self.client(self.ana) as chat:
            talk = chat.conversation(self.id)
            with mock.patch.object(ClientConnection, "send", autospec=True) as send:
                await talk.typing()
                self.assertIn('"op":"typing"', send.call_args.args[1])
                # The connection is lost, and the client has not noticed yet.
                send.side_effect = ConnectionClosedError(None, None)
                await talk.typing()
                (await chat._link.socket()).is_open = False
                await asyncio.wait_for(talk.typing(), 5)

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

    async def test_a_token_that_cannot_be_had_is_asked_for_again_and_a_bad_one_is_not(self) -> None:
        asked: list[str] = []

        async def token(why: str) -> str:
            asked.append(why)
            if len(asked) == 1:
                raise ConnectionError("nobody there")
            return self.ana.token

        async with Verbatim(self.server.url, token, on_error=self.failures.append) as chat:
            self.assertEqual((chat.me, asked), (self.ana.id, ["start", "start"]))
        self.assertEqual([error.code for error in self.failures], ["token_failed"])
        with self.assertRaises(VerbatimError) as failed:
            async with Verbatim(self.server.url, spoilt(self.ana.token)):
                pass
        self.assertEqual((failed.exception.code, failed.exception.retryable), ("invalid_token", False))

    async def test_a_token_that_is_refused_is_replaced_when_the_callback_succeeds_again(self) -> None:
        asked: list[str] = []
        real = link.live

        async def live(url: str, token: str, *more: Any) -> End:
            return End(4401, "token_expired") if token == "expired" else await real(url, token, *more)

        async def token(why: str) -> str:
            asked.append(why)
            if 1 < len(asked) < 4:
                raise ConnectionError("nobody there")
            return "expired" if len(asked) == 1 else self.ana.token

        with mock.patch.object(link, "live", live):
            async with Verbatim(self.server.url, token, on_error=self.failures.append) as chat:
                self.assertEqual((chat.me, asked), (self.ana.id, ["start", "refused", "refused", "refused"]))
        self.assertEqual([error.code for error in self.failures], ["token_failed", "token_failed"])

    async def test_a_first_mistake_is_told(self) -> None:
        with self.assertRaisesRegex(ValueError, "https://"):
            Verbatim("localhost:8080", self.ana.token)
        async with Verbatim(self.server.url + "/ ", f"{self.ana.token}\n") as chat:
            self.assertEqual(chat.me, self.ana.id)
        for token in ("two words", "", None):
            await self.refused(Verbatim(self.server.url, token), "invalid_token")  # type: ignore[arg-type]
        # There is a web server, but no Verbatim: it answers 404.
        await self.refused(Verbatim(self.server.url + "/chat", self.ana.token), "not_found")
        await self.refused(Verbatim("http://127.0.0.1:port", self.ana.token), "client_failed")

    async def refused(self, chat: Verbatim, code: str) -> None:
        with self.assertRaises(VerbatimError) as failed, self.assertLogs("verbatim_client"):
            async with asyncio.timeout(10), chat:
                self.fail("it has begun")
        self.assertEqual((failed.exception.code, failed.exception.retryable), (code, False))

    async def test_each_failed_attempt_is_told(self) -> None:
        async with Proxy(self.server.port) as way:
            pass
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(2), self.client(self.ana, way.url):
                self.fail("nobody is there")
        self.assertGreater(len(self.failures), 1)
        for error in self.failures:
            self.assertEqual((error.code, error.retryable), ("network", True))
            self.assertIn("the server cannot be reached", error.detail)

    async def test_a_redirect_is_told_and_not_followed(self) -> None:
        async with redirecting() as moved:
            for token in (self.ana.token, PasswordLogin("ana", PASSWORD)):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(1), Verbatim(moved, token, on_error=self.failures.append):
                        self.fail("nobody is there")
                self.assertGreater(len(self.failures), 1)
                for error in self.failures:
                    self.assertEqual((error.code, error.status), ("not_verbatim", 301))
                    self.assertIn("redirects to https://elsewhere.invalid/v1", error.detail)
                self.failures.clear()

    async def test_an_answer_of_a_proxy_ends_neither_the_link_nor_the_program(self) -> None:
        page = mock.patch("verbatim_client.transport._open", side_effect=lambda *_, **__: Page())
        async with Proxy(self.server.port) as way, self.client(self.ben, way.url) as reader, self.client(self.ana) as chat:
            told = asyncio.create_task(take(reader.conversation(self.id).events(), 3))
            talk = chat.conversation(self.id)
            await talk.send("first")
            with page:
                with self.assertRaises(VerbatimError) as failed:
                    await reader.rest.get_me()
                self.assertEqual((failed.exception.code, failed.exception.status), ("not_verbatim", 200))
                way.lose("swallowed")
                await talk.send("swallowed")
                await talk.send("third")
                await until("the gap could not be filled", lambda: self.failures)
            self.assertEqual(texts(await asyncio.wait_for(told, 20)), ["first", "swallowed", "third"])
        self.assertEqual({error.code for error in self.failures}, {"network"})

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

    async def test_a_login_by_password_is_renewed(self) -> None:
        name = "echo" + secrets.token_hex(4)

        def client(password: str) -> Verbatim:
            login = PasswordLogin(name, password, register=True)
            return Verbatim(self.server.url, login, on_error=self.failures.append)

        # The server's tokens live for ten minutes. That is too long for a test, so renewal is due earlier here.
        with mock.patch("verbatim_client.token.renewal", lambda _: 0.2):
            async with client(PASSWORD) as chat:
                me, seen = chat.me, set[str | None]()

                def renewals() -> int:
                    seen.add(chat._token._token)
                    return len(seen)

                await until("four tokens", lambda: renewals() >= 4)
                talk = await chat.group("Renewed")
                await talk.send("still here")
                self.assertEqual(len((await chat.rest.list_logins())["items"]), 1)
        async with client(PASSWORD) as chat:
            self.assertEqual(chat.me, me)
            self.assertEqual(len((await chat.rest.list_logins())["items"]), 2)
        self.assertEqual(self.failures, [])
        with self.assertRaises(VerbatimError) as failed:
            async with client("wrong horse battery"):
                pass
        self.assertEqual((failed.exception.code, failed.exception.retryable), ("bad_credentials", False))

    async def test_a_login_by_password_is_renewed_by_its_refresh_token_as_long_as_that_counts(self) -> None:
        name = "echo" + secrets.token_hex(4)
        self.server.ask("POST", "/accounts", {"username": name, "password": PASSWORD})
        async with self.client(self.ana) as chat:
            token = PasswordLogin(name, PASSWORD).callback(chat.rest)
            first = await token("start")
            real = chat.rest.refresh_login
            away = VerbatimError("unavailable", "in a moment", status=503)

            def logins() -> list[str]:
                return [one["id"] for one in self.server.ask("GET", "/logins", token=first)["items"]]

            async def lost(**more: Any) -> Any:
                await real(**more)
                raise VerbatimError("network", "the answer was lost", retryable=True)

            async def refresh(**more: Any) -> Any:
                return await (answered.pop(0) if answered else real)(**more)

            async def unavailable(**_: Any) -> Any:
                raise away

            with mock.patch.object(chat.rest, "refresh_login", refresh):
                answered: list[Any] = [unavailable, lost]
                self.assertNotIn(await token("expiring"), (first, None))
                with mock.patch("verbatim_client.password.GRACE", 0.0):
                    answered = [unavailable]
                    with self.assertRaises(VerbatimError) as failed:
                        await token("expiring")
                    self.assertIs(failed.exception, away)
                    await token("refused")
                    self.assertEqual(len(logins()), 1)
                    # Another use of a token that may have been used would end the login.
                    answered = [lost]
                    await token("expiring")
                    self.assertEqual(len(logins()), 2)
                for one in self.server.ask("GET", "/logins", token=first)["items"]:
                    if not one["current"]:
                        self.server.ask("DELETE", f"/logins/{one['id']}", token=first)
                await token("expiring")
                self.assertEqual(len(logins()), 2)

    async def test_errors_have_codes(self) -> None:
        async with self.client(self.ana) as chat:
            with self.assertRaises(VerbatimError) as failed:
                await chat.rest.get_conversation("01930f3d-1f20-7b61-8a4f-5e6f708192a3")
            error = failed.exception
            self.assertEqual((error.code, error.status, error.retryable), ("not_found", 404, False))
            self.assertTrue(error.request_id and error.detail)


class Page(io.BytesIO):
    """What a proxy answers that wants people to log in."""

    status = 200

    def __init__(self) -> None:
        super().__init__(b"<html>log in to the network</html>")


@contextlib.asynccontextmanager
async def redirecting() -> AsyncIterator[str]:
    """The address of a web server that sends everybody to another one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.invalid/v1\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


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


def texts(events: list[Event]) -> list[str]:
    return [event["data"]["text"] for event in events if event["type"] == "message.sent"]


async def take(events: object, count: int) -> list[Event]:
    return [await anext(events) for _ in range(count)]


async def take_until(events: object, text: str) -> list[Event]:
    told: list[Event] = []
    while text not in texts(told[-1:]):
        told.append(await anext(events))
    return told


def spoilt(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'A' * len(signature)}"
