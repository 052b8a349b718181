"""How a client begins, stays connected, and ends."""

import asyncio
import contextlib
import io
import secrets
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from verbatim_client import PasswordLogin, Verbatim, VerbatimError, link
from verbatim_client.socket import End

from .case import Case, take, texts
from .server import PASSWORD, Proxy, until


class Client(Case):
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
        page = mock.patch("urllib.request.OpenerDirector.open", side_effect=lambda *_, **__: Page())
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


def spoilt(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'A' * len(signature)}"
