"""Access tokens from a user name and a password."""

from __future__ import annotations

from .errors import VerbatimError
from .generated.rest import Rest
from .generated.types import Tokens
from .token import TokenCallback, Why


class PasswordLogin:
    """Logs in when the client starts, and renews the login while the client runs. With `register`, creates the account
    first if it does not exist."""

    def __init__(self, username: str, password: str, *, register: bool = False) -> None:
        self._username = username
        self._password = password
        self._register = register

    def callback(self, rest: Rest) -> TokenCallback:
        """The token callback for a client. Each client has its own login."""
        tokens: Tokens | None = None

        async def token(why: Why) -> str:
            nonlocal tokens
            # A refresh token can be used once. If the answer is lost, it is unknown whether the token was used, so the
            # next attempt logs in with the password.
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
