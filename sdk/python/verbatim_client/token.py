"""The access token: requested when needed, and again before it expires, with only one request at a time."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from .errors import VerbatimError
from .wait import outlive

# Why the client requests a token: it starts, the token expires soon, or the server has refused the token.
Why = Literal["start", "expiring", "refused"]
TokenCallback = Callable[[Why], str | Awaitable[str]]

# A token is replaced this many seconds before it expires.
BEFORE_END = 60.0


class Token:
    """The current token of a client."""

    def __init__(
        self, renewed: Callable[[str], Awaitable[None]], failed: Callable[[VerbatimError], None]
    ) -> None:
        self._callback: TokenCallback
        self._renewed = renewed
        self._failed = failed
        self._token: str | None = None
        self._asking: asyncio.Task[str] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._is_stopped = False

    def comes_from(self, given: str | TokenCallback) -> None:
        """Sets the source of tokens. This is separate from the constructor, because a callback may use the client."""
        self._callback = given if callable(given) else lambda _: given

    async def get(self) -> str:
        """The current token."""
        return self._token if self._token is not None else await self._ask("start")

    async def refused(self, token: str) -> str:
        """The server has refused `token`: requests another one, unless another caller has already got one."""
        if self._token is None or self._token == token:
            return await self._ask("refused")
        return self._token

    def stop(self) -> None:
        """Ends the renewal. A later request of the program gets a token when it needs one."""
        self._is_stopped = True
        for task in (self._asking, self._renewal):
            if task:
                task.cancel()
        self._token = self._asking = self._renewal = None

    async def _ask(self, why: Why) -> str:
        # All callers share one request. If one of them is cancelled, the request continues for the others.
        if self._asking is None:
            self._asking = asyncio.create_task(self._call(why))
        return await outlive(asyncio.shield(self._asking))

    async def _call(self, why: Why) -> str:
        try:
            answer = self._callback(why)
            token = _checked(await answer if inspect.isawaitable(answer) else answer)
        except VerbatimError:
            raise
        except Exception as error:
            raise VerbatimError("token_failed", str(error), retryable=True) from error
        finally:
            # After a stop there may be another request.
            if self._asking is asyncio.current_task():
                self._asking = None
        self._token = token
        wait = renewal(token)
        if wait is not None and why != "expiring" and not self._is_stopped:
            if self._renewal:
                self._renewal.cancel()
            self._renewal = asyncio.create_task(self._renew(wait))
        return token

    async def _renew(self, wait: float) -> None:
        attempt = 0
        while True:
            await asyncio.sleep(wait)
            try:
                token = await self._ask("expiring")
                await self._renewed(token)
                attempt, wait = 0, renewal(token) or math.inf
                if wait == math.inf:
                    return
            except VerbatimError as error:
                self._failed(error)
                # The old token is still valid. If no attempt succeeds, the server closes the socket with 4401.
                wait = min(60.0, 2.0**attempt)
                attempt += 1


def _checked(token: object) -> str:
    """The token without white space around it: a key from a file often ends with a newline."""
    if not isinstance(token, str):
        raise VerbatimError("invalid_token", f"the token is no str, but a {type(token).__name__}", retryable=False)
    token = token.strip()
    if not re.fullmatch("[!-~]+", token):
        raise VerbatimError("invalid_token", "the token is empty, or has characters that no token has", retryable=False)
    return token


def renewal(token: str, now: float | None = None) -> float | None:
    """The seconds until a token has to be replaced; `None` for an API key, which does not contain its expiry."""
    left = _time_left(token, time.time() if now is None else now)
    if left is None:
        return None
    # A token with less than two minutes left is replaced after half of that time.
    return left - BEFORE_END if left > 2 * BEFORE_END else left / 2


def _time_left(token: str, now: float) -> float | None:
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        ends, begins = claims["exp"], claims.get("iat")
    except (IndexError, ValueError, KeyError, TypeError):
        return None
    left = ends - now
    # The clock of a machine may be wrong by hours. The lifetime of a token does not depend on it.
    life = ends - begins if begins is not None else math.inf
    return max(1.0, min(left, life) if left > 0 else (life / 2 if life < math.inf else 1.0))
