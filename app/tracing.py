"""Tracing: one id through all that happens for a request, as W3C Trace Context has it."""

import re
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers

TRACEPARENT = "traceparent"
TRACERESPONSE = "traceresponse"
_WRITTEN = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class Trace:
    trace_id: str
    span_id: str  # our part of it
    flags: str

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def of(headers: Headers) -> Trace:
    """The asker's trace goes on here; where there is none, or none that can be read, one begins."""
    written = _WRITTEN.fullmatch(headers.get(TRACEPARENT, ""))
    span_id = secrets.token_hex(8)
    if written is None or not int(written[1], 16) or not int(written[2], 16):
        return Trace(secrets.token_hex(16), span_id, "00")
    return Trace(written[1], span_id, written[3])
