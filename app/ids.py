"""Identifiers: a prefix that says what it names, and a UUIDv7 that sorts by time of birth."""

import re
import secrets
import time
from typing import Literal
from uuid import UUID

from app.security import LOCAL_USER

Prefix = Literal[
    "rec", "ana", "usr", "pre", "pln", "exp", "job", "req", "ses", "fac", "key", "inv", "del"
]

_HEX = re.compile(r"[0-9a-f]{32}")


def new(prefix: Prefix) -> str:
    """A fresh id, e.g. 'rec_01932c...': RFC 9562 version 7 with sub-millisecond order."""
    return f"{prefix}_{uuid7().hex}"


def valid(prefix: Prefix, text: str) -> bool:
    """Whether the text can be such an id; what cannot is never sent to the database."""
    head, _, tail = text.partition("_")
    return head == prefix and (_HEX.fullmatch(tail) is not None or text == LOCAL_USER)


def uuid7() -> UUID:
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000  # 12 bits
    tail = secrets.randbits(62)
    return UUID(
        int=(milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | fraction << 64 | 0b10 << 62 | tail
    )
