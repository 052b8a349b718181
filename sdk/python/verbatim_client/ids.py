"""Idempotency keys are UUIDv7: unique without a server, and sorted by the time of creation."""

import secrets
import time

_last = 0


def uuid7() -> str:
    """A new key."""
    global _last
    # No millisecond is used twice, so the keys of one program sort in the order of creation.
    _last = max(time.time_ns() // 1_000_000, _last + 1)
    noise = secrets.token_hex(10)
    variant = "89ab"[int(noise[3], 16) & 3]
    moment = f"{_last:012x}"
    return f"{moment[:8]}-{moment[8:]}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}"
