"""Requests over HTTP, with the token, the idempotency key, and retries where they make sense."""

from __future__ import annotations

import asyncio
import functools
import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlencode

from .errors import VerbatimError
from .token import Token
from .wait import pause, retry_after

ATTEMPTS = 6
# The longest wait before a retry that the server can ask for, in seconds.
LONGEST = 30.0
# The time limit in seconds for a response, in addition to the time that the request itself waits for events.
PATIENCE = 30.0


class Transport:
    """Sends requests to one server."""

    def __init__(self, url: str, token: Token) -> None:
        self._url = url
        self._token = token

    async def send(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        body: Any,
        needs_token: bool,
        key: str | None,
        *,
        is_repeatable: bool = True,
        on_behalf_of: str | None = None,
    ) -> Any:
        """Sends a request, with retries until it succeeds, is refused, or has failed too often."""
        asked = {name: _plain(value) for name, value in query.items() if value is not None}
        target = f"{self._url}{path}?{urlencode(asked)}" if asked else f"{self._url}{path}"
        headers = {"Idempotency-Key": key} if key else {}
        if on_behalf_of is not None:
            headers["Verbatim-On-Behalf-Of"] = on_behalf_of
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        was_refused = False
        attempt = 0
        while True:
            token = await self._token.get() if needs_token else None
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
            request = urllib.request.Request(target, data, headers, method=method)
            try:
                return await asyncio.to_thread(_ask, request, PATIENCE + (query.get("wait") or 0))
            except VerbatimError as error:
                if error.code == "token_expired" and token is not None and not was_refused:
                    was_refused = True
                    await self._token.refused(token)
                    continue
                # Some limits last for hours. The caller decides whether to wait so long.
                is_soon = (error.retry_after or 0.0) <= LONGEST
                again = error.retryable and is_soon and (is_repeatable or error.status == 429)
                attempt += 1
                if not again or attempt >= ATTEMPTS:
                    raise
                await asyncio.sleep(pause(attempt - 1, error.retry_after or 0.0))


class Headers(Protocol):
    def get(self, name: str, /) -> str | None: ...


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: `urllib` would make a GET without a body of a POST, and pass the token on to any host."""

    def redirect_request(self, *_: Any) -> None:
        return None


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    """Made with the first request, because it takes the proxies and certificates of the environment."""
    return urllib.request.build_opener(_NoRedirect)


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _ask(request: urllib.request.Request, patience: float) -> Any:
    try:
        with _opener().open(request, timeout=patience) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as answer:
        with answer:
            raise problem(answer.code, answer.headers, answer.read()) from None
    except (OSError, HTTPException) as error:
        raise VerbatimError("network", f"the server cannot be reached: {error}", retryable=True) from error
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise problem(status, {}, text) from None


def problem(status: int, headers: Headers, text: bytes) -> VerbatimError:
    """The error that a response tells."""
    wait = retry_after(headers.get("Retry-After"))
    to = headers.get("Location")
    if 300 <= status < 400 and to:
        # Also a network that wants people to log in does so, and that passes.
        detail = f"the server redirects to {to}: begin the url of the client as that address begins"
        return VerbatimError("not_verbatim", detail, status=status, retryable=True)
    try:
        said = json.loads(text)
        return VerbatimError(
            said["code"],
            said["detail"],
            status=status,
            request_id=said.get("request_id"),
            retry_after=wait,
            errors=said.get("errors", ()),
        )
    except (ValueError, KeyError, TypeError):
        # The response is not a problem document of Verbatim: a proxy has answered.
        passes = status == 429 or status > 500
        return VerbatimError("not_verbatim", f"the server answered {status}", status=status, retry_after=wait, retryable=passes)
