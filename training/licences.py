"""What a version may be used for: no more than the strictest of what it learnt from."""

import re
from collections.abc import Iterable

# From free to strict; a text is known by the first pattern that is found in it.
ORDER = (
    "CC0-1.0",
    "MIT",
    "BSD-3-Clause",
    "Apache-2.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "LicenseRef-consented",  # users' recordings: what they consented to, on this platform
    "LicenseRef-unclear",  # terms that no pattern knows: ask before using it outside
)
CONSENTED, UNCLEAR = ORDER[-2:]
_PATTERNS = (
    (r"\bby[- ]nc[- ]sa\b", "CC-BY-NC-SA-4.0"),
    (r"\bby[- ]nc\b|non-?commercial", "CC-BY-NC-4.0"),
    (r"\bby[- ]sa\b|share-?alike", "CC-BY-SA-4.0"),
    (r"\bcc[- ]by\b", "CC-BY-4.0"),
    (r"licenseref-consented", CONSENTED),
    (r"\bapache\b", "Apache-2.0"),
    (r"\bbsd\b", "BSD-3-Clause"),
    (r"\bmit\b", "MIT"),
    (r"public domain|\bcc0\b", "CC0-1.0"),
)


def known(text: str) -> str:
    """The licence that a corpus's own words name; unclear where none is known.

    NoDerivatives is unclear too: whether weights are a derivative is not for us to say.
    """
    words = text.lower()
    if "unclear" in words or "explicit licence" in words or re.search(r"[- ]nd\b", words):
        return UNCLEAR
    return next((name for pattern, name in _PATTERNS if re.search(pattern, words)), UNCLEAR)


def strictest(texts: Iterable[str]) -> str:
    """Of all; Apache-2.0 where everything was made by our own code."""
    found = {known(text) for text in texts} | {"Apache-2.0"}
    return max(found, key=ORDER.index)
