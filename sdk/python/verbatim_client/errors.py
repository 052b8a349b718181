"""Errors: a refusal by the server, or a failure on the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from .generated.codes import PASSING, ServerCode

ClientCode = Literal[
    # The server could not be reached, or the connection broke.
    "network",
    # The response was not from Verbatim, for example a page of a proxy.
    "not_verbatim",
    # Events are missing, and the server did not deliver them again.
    "gap",
    # The token callback failed.
    "token_failed",
    # The client itself failed, and has stopped.
    "client_failed",
    # The store failed: what it keeps may be older than what has happened.
    "store_failed",
    # The server would not understand the message.
    "invalid_frame",
    # The message was discarded before the server had it.
    "discarded",
    # The client was stopped.
    "stopped",
]
Code = ServerCode | ClientCode


class VerbatimError(Exception):
    """An error: `code` is for programs; `detail` tells people what is wrong and what to do."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 0,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        errors: Sequence[Any] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.request_id = request_id
        # In seconds.
        self.retry_after = retry_after
        # Whether the same request can succeed later.
        self.retryable = code in PASSING if retryable is None else retryable
        # The invalid fields of the request.
        self.errors = errors


def gone(reason: str) -> VerbatimError:
    """What a `reset` says. A refused cursor of a request has the same code, and its reason in the same place."""
    detail = f"the server cannot continue from the cursor ({reason}): load your data by REST again"
    return VerbatimError("cursor_gone", detail, errors=[{"pointer": "/cursor", "code": reason, "detail": detail}])


def lost(detail: str = "the connection was lost") -> VerbatimError:
    """The error for all requests that wait for an answer when a connection ends."""
    return VerbatimError("network", detail, retryable=True)
