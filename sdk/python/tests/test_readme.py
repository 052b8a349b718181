"""The bot of the README answers each message once, even when it is killed."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from .server import PASSWORD, Server, until

HERE = Path(__file__).parent


class Bot(unittest.IsolatedAsyncioTestCase):
    async def test_the_bot_of_the_readme(self) -> None:
        server = await asyncio.to_thread(Server)
        self.addCleanup(server.stop)
        found = re.search(r"```python\n(.*?)```", (HERE / "../README.md").read_text(), re.DOTALL)
        assert found
        code = found[1]
        self.assertEqual(len(code.splitlines()), 19)
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="verbatim-python-"))
        (Path(folder) / "bot.py").write_text(code)

        def run() -> subprocess.Popen[bytes]:
            path = f"{HERE.parent.resolve()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
            env = os.environ | {"VERBATIM_URL": server.url, "PYTHONPATH": path}
            bot = subprocess.Popen([sys.executable, "bot.py"], cwd=folder, env=env)
            self.addCleanup(lambda: (bot.kill(), bot.wait()))
            return bot

        bot = run()
        ana = server.user("ana")

        def echo() -> str | None:
            items = server.ask("GET", "/users?username=echo", token=ana.token)["items"]
            return items[0]["id"] if items else None

        bot_id = await until("the account of the bot", echo)
        talk = server.ask("POST", "/conversations", {"kind": "direct", "user_id": bot_id}, ana.token)["id"]
        # A bot need not see messages from before its first session.
        presence = f"/users/{bot_id}/presence"
        await until("the bot", lambda: server.ask("GET", presence, token=ana.token)["status"] == "online")
        said = 0

        def say() -> None:
            nonlocal said
            server.ask("POST", f"/conversations/{talk}/messages", {"text": str(said)}, ana.token)
            said += 1

        for _ in range(5):
            say()
        await until("five answers", lambda: len(server.texts(ana, talk)) == 10)
        for _ in range(2):
            bot.kill()
            bot.wait()
            for _ in range(3):
                say()
            bot = run()
            for _ in range(3):
                say()
            # The bot has to be in the middle of its answers when it is killed.
            await until("an answer", lambda: len(server.texts(ana, talk)) > said + 5)
        await until("all answers", lambda: len(server.texts(ana, talk)) >= 2 * said)
        await asyncio.sleep(0.5)
        self.assertEqual(sorted(server.texts(ana, talk)), sorted(2 * [str(n) for n in range(said)]))
        self.assertEqual(server.ask("POST", "/logins", {"username": "echo", "password": PASSWORD})["user_id"], echo())
