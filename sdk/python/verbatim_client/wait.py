"""Waiting: the pause before a retry, and what a response says about it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from .errors import VerbatimError

SHORTEST = 0.25
LONGEST = 30.0

Value = TypeVar("Value")


def pause(n: int, at_least: float = 0.0) -> float:
    """The seconds before attempt `n` (from 0): doubled each time, with jitter, so that clients do not retry in step."""
    most = min(LONGEST, SHORTEST * 2 ** min(n, 10))
    return at_least + most / 2 + random.random() * most / 2


def retry_after(value: str | None) -> float | None:
    """The seconds in `Retry-After`. The server sends seconds; a proxy may send a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


async def outlive(work: asyncio.Future[Value]) -> Value:
    """The result of a task that the end of the client cancels. Its cancellation is not that of the caller."""
    try:
        return await work
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if caller and caller.cancelling():
            raise
        raise VerbatimError("stopped", "the client was stopped") from None


async def insist(act: Callable[[], Awaitable[Value]], failed: Callable[[VerbatimError], None]) -> Value:
    """Retries until the call succeeds, or fails with an error that is not retryable."""
    attempt = 0
    while True:
        try:
            return await act()
        except VerbatimError as error:
            if not error.retryable:
                raise
            failed(error)
            await asyncio.sleep(pause(attempt, error.retry_after or 0.0))
            attempt += 1
