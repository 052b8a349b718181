"""A real server in dev mode for the tests, its users, and a proxy that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from verbatim_client.ids import uuid7

BINARY = os.environ["VERBATIM_BIN"]
PASSWORD = "correct horse battery"
# These limits are off because the tests send hundreds of messages in seconds. Other tests cover the limits.
OFF = ("register", "send", "conversation", "user", "frames", "connect", "connect-address", "address")


@dataclass
class User:
    id: str
    token: str


class Server:
    def __init__(self, **settings: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="verbatim-python-")
        self.port, self.admin = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {
            "data-dir": f"{self.folder}/data",
            "listen": f"127.0.0.1:{self.port}",
            "admin-listen": f"127.0.0.1:{self.admin}",
            # Cheap password hashes, because the tests create many users.
            "argon2-memory": "8",
            "argon2-passes": "1",
        } | {f"limit-{name}": "off" for name in OFF} | settings
        self._command = [BINARY, "dev", *[f"--{name}={value}" for name, value in given.items()]]
        self.run()

    def run(self) -> None:
        self._log = open(f"{self.folder}/log", "ab")
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=self._log)
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        with open(f"{self.folder}/log") as log:
            raise RuntimeError(f"the server does not become ready: {log.read()[-4000:]}")

    def crash(self) -> None:
        """Kills the node without a clean stop, and restarts it on the same data."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        self.run()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid7()}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/v1{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or "null")

    def user(self, name: str) -> User:
        """A new user with a token."""
        person = {"username": name + secrets.token_hex(4), "password": PASSWORD}
        account = self.ask("POST", "/accounts", person)
        return User(account["id"], self.ask("POST", "/logins", person)["access_token"])

    def group(self, owner: User, *members: User) -> str:
        body = {"kind": "group", "title": "Group", "members": [one.id for one in members]}
        return self.ask("POST", "/conversations", body, owner.token)["id"]

    def texts(self, user: User, conversation: str, at: int = 0) -> list[str]:
        """The texts of the latest messages, the oldest first, as soon as the server shows what lies at this position."""
        page = self.ask("GET", f"/conversations/{conversation}/messages?limit=200&min_position={at}", token=user.token)
        return [one["text"] for one in reversed(page["items"])]


def free_port() -> int:
    """A port outside the range from which the system assigns ports. So a restarted server can get its port back."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


class Proxy:
    """Forwards all data. `cut()` breaks all connections; `lose(text)` drops the next frame that contains the text."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        self._lost: bytes | None = None
        self.swallowed = 0

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*[task for task in self._serving if task])

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def lose(self, text: str) -> None:
        self._lost = text.encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            upstream, up = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return writer.transport.abort()
        self._open |= {writer, up}
        await asyncio.gather(self._pass(reader, up, False), self._pass(upstream, writer, True))
        self._open -= {writer, up}
        self._serving.discard(task)

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, is_answer: bool) -> None:
        try:
            while data := await source.read(65_536):
                to.write(self._without(data) if is_answer else data)
                await to.drain()
        except OSError:
            pass
        finally:
            to.close()

    def _without(self, data: bytes) -> bytes:
        """Removes the frame from the bytes. The server sends small frames unfragmented, with a header of two or four
        bytes."""
        at = data.find(self._lost) if self._lost else -1
        for head in range(at, -1, -1):
            if data[head] != 0x81:
                continue
            length, start = data[head + 1], head + 2
            if length == 126:
                length, start = int.from_bytes(data[head + 2 : head + 4]), head + 4
            if start <= at <= start + length:
                self._lost = None
                self.swallowed += 1
                return data[:head] + data[start + length :]
        return data


async def until(what: str, condition: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
