"""Redaction: what must not stand in any log, wherever in a line it turns up."""

import re
from collections.abc import MutableMapping
from typing import Any

REDACTED = "[redacted]"
_NAMES = re.compile(r"passw|secret|token|authorization|cookie|api_?key|signature|credential", re.I)
_VALUES = (
    re.compile(r"(?<![\w-])eyJ[\w-]*\.[\w-]+\.[\w-]*"),  # a JWT
    re.compile(r"(?<![\w-])voc_[\w-]+"),  # an API key
    re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])"),  # app.sealing.opaque
    re.compile(r"(?i)(?<=\bbearer )\S+|(?<=\bbasic )\S+"),
    re.compile(
        r"(?i)(?<=[?&;])(?:[\w-]*(?:token|signature|sig|secret|password|code|state|credential)"
        r"[\w-]*)=[^&\s\"']*"
    ),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),  # user and password of an address
)


def redact(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: the last one before the line is written out."""
    for name, value in line.items():
        if _NAMES.search(name):
            line[name] = REDACTED
        elif isinstance(value, str):
            line[name] = clean(value)
        elif not isinstance(value, int | float | None):
            line[name] = clean(repr(value))
    return line


def clean(text: str) -> str:
    for secret in _VALUES:
        text = secret.sub(REDACTED, text)
    return text
