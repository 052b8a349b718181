"""Access tokens from a user name and a password."""

from __future__ import annotations

import asyncio
import time

from .errors import VerbatimError
from .generated.rest import Rest
from .generated.types import Tokens
from .token import TokenCallback, Why
from .wait import pause

# Seconds in which a refresh token whose answer was lost counts again, with a reserve for the way. The server's are 10;
# a later use would end the login as if the token had been stolen.
GRACE = 8.0


class PasswordLogin:
    """Logs in when the client starts, and renews the login while the client runs. With `register`, creates the account
    if nobody has this name yet. If the login is revoked, the client stops."""

    def __init__(self, username: str, password: str, *, register: bool = False) -> None:
        self._username = username
        self._password = password
        self._register = register

    def callback(self, rest: Rest) -> TokenCallback:
        """The token callback for a client. Each client has its own login."""
        tokens: Tokens | None = None

        async def token(_: Why) -> str:
            nonlocal tokens
            if tokens:
                tokens = await _refreshed(rest, tokens["refresh_token"])
            if not tokens:
                tokens = await self._logged_in(rest)
            return tokens["access_token"]

        return token

    async def _logged_in(self, rest: Rest) -> Tokens:
        try:
            return await rest.log_in(body={"username": self._username, "password": self._password})
        except VerbatimError as refused:
            if not self._register or refused.code != "bad_credentials":
                raise
            # An attempt to register costs as much as an account, also where the name is taken, so it comes second.
            try:
                await rest.register(body={"username": self._username, "password": self._password})
            except VerbatimError as error:
                raise refused if error.code == "username_taken" else error
        self._register = False
        return await rest.log_in(body={"username": self._username, "password": self._password})


async def _refreshed(rest: Rest, refresh_token: str) -> Tokens | None:
    """The next tokens; none if the login is over, or nobody knows any more whether the token still counts."""
    end = time.monotonic() + GRACE
    attempt = 0
    is_answer_lost = False
    while True:
        try:
            return await rest.refresh_login(body={"refresh_token": refresh_token})
        except VerbatimError as error:
            if error.code == "invalid_grant":
                return None
            if not error.retryable:
                raise
            # A refusal of the server says that it has not used the token.
            is_answer_lost |= error.code in ("network", "not_verbatim")
            wait = pause(attempt, error.retry_after or 0.0)
            if time.monotonic() + wait > end:
                if is_answer_lost:
                    return None
                raise
            await asyncio.sleep(wait)
            attempt += 1
