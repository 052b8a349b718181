"""Access tokens for a user name and a password."""

from __future__ import annotations

from .errors import VerbatimError
from .generated.rest import Rest
from .generated.types import Tokens
from .token import TokenCallback, Why


class PasswordLogin:
    """Logs in when the client begins, and renews the login while it lives. With `register`, makes the account first if
    there is none of this name."""

    def __init__(self, username: str, password: str, *, register: bool = False) -> None:
        self._username = username
        self._password = password
        self._register = register

    def callback(self, rest: Rest) -> TokenCallback:
        """What a client asks for its tokens. Each client has a login of its own."""
        tokens: Tokens | None = None

        async def token(why: Why) -> str:
            nonlocal tokens
            # A refresh token counts once: without an answer nobody knows whether it still does, and the password helps.
            if tokens and why == "expiring":
                refresh, tokens = tokens["refresh_token"], None
                tokens = await rest.refresh_login(body={"refresh_token": refresh})
            else:
                if self._register:
                    await self._make_account(rest)
                    self._register = False
                tokens = await rest.log_in(body={"username": self._username, "password": self._password})
            return tokens["access_token"]

        return token

    async def _make_account(self, rest: Rest) -> None:
        try:
            await rest.register(body={"username": self._username, "password": self._password})
        except VerbatimError as error:
            if error.code != "username_taken":
                raise
