"""Two users with a conversation at a real server, and what the tests of the client do with them."""

import tempfile
import unittest
from pathlib import Path

from verbatim_client import Event, Verbatim, VerbatimError

from .server import Server, User


class Case(unittest.IsolatedAsyncioTestCase):
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


def texts(events: list[Event]) -> list[str]:
    return [event["data"]["text"] for event in events if event["type"] == "message.sent"]


async def take(events: object, count: int) -> list[Event]:
    return [await anext(events) for _ in range(count)]


async def take_until(events: object, text: str) -> list[Event]:
    told: list[Event] = []
    while text not in texts(told[-1:]):
        told.append(await anext(events))
    return told
