"""What the operations of REST send: idempotency keys, retries, and the user on whose behalf a program acts."""

import urllib.request
from pathlib import Path
from unittest import mock

from verbatim_client import Verbatim, VerbatimError, transport

from .case import Case
from .server import PASSWORD


class Rest(Case):
    def setUp(self) -> None:
        super().setUp()
        self.chat = Verbatim(self.server.url, self.ana.token)

    async def test_a_key_in_the_body_is_the_key(self) -> None:
        once = await self.chat.rest.send_message(self.id, body={"client_id": "a-key-of-my-own", "text": "Hi"})
        again = await self.chat.rest.send_message(self.id, body={"client_id": "a-key-of-my-own", "text": "Hi"})
        self.assertEqual((once["client_id"], again["id"]), ("a-key-of-my-own", once["id"]))
        other = await self.chat.rest.send_message(self.id, body={"text": "Hi"}, idempotency_key="another-key")
        third = await self.chat.rest.send_message(self.id, body={"text": "Hi"})
        self.assertEqual(len({once["id"], other["id"], third["id"]}), 3)
        self.assertEqual(other["client_id"], "another-key")

    async def test_only_what_is_repeatable_is_sent_again_after_a_lost_answer(self) -> None:
        asked: list[str] = []
        real = transport._ask

        def lost_once(request: urllib.request.Request, patience: float) -> object:
            asked.append(request.get_method())
            answer = real(request, patience)
            if len(asked) == 1:
                raise VerbatimError("network", "the answer was lost", retryable=True)
            return answer

        with mock.patch.object(transport, "_ask", lost_once):
            me = await self.chat.rest.update_me(body={"display_name": "Ana"})
            self.assertEqual(asked, ["PATCH", "PATCH"])
            asked.clear()
            # The server recognises a repeated change of the password.
            change = {"current_password": PASSWORD, "new_password": "another horse battery"}
            await self.chat.rest.change_password(body=change)
            self.assertEqual(asked, ["PUT", "PUT"])
        self.server.ask("POST", "/logins", {"username": me["username"], "password": "another horse battery"})

    async def test_a_program_acts_on_behalf_of_a_user(self) -> None:
        lines = (Path(self.server.folder) / "data/dev.env").read_text().splitlines()
        key = next(line.removeprefix("VERBATIM_KEY=") for line in lines if line.startswith("VERBATIM_KEY="))
        program = Verbatim(self.server.url, key)
        self.assertEqual((await program.rest.get_me(on_behalf_of=self.ben.id))["id"], self.ben.id)
        sent = await program.rest.send_message(self.id, body={"text": "Hi"}, on_behalf_of=self.ben.id)
        self.assertEqual(sent["sender"], self.ben.id)
        self.assertNotEqual((await program.rest.get_me())["id"], self.ben.id)
