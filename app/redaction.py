"""Redaction: what must not stand in any log, secrets and control characters, wherever it is."""

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
# What begins a line, colours a terminal or turns the direction of writing.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


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
    return _CONTROLS.sub(_escaped, text)


def _escaped(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()
