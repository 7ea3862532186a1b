"""Passwords that are guessed first: common words in their usual disguises, and keyboard walks."""

import re
from functools import cache
from pathlib import Path

WORDS = Path(__file__).with_name("guessable.txt")
FEWEST_DIGITS = 12  # of a password that has nothing else
RUN = 3  # characters that follow each other on a keyboard
WALKS = (
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "qazwsxedcrfvtgbyhnujm",
    "!@#$%^&*()",
)
_DISGUISE = str.maketrans("@4831!|05$7+2", "aabeiiiosstt" + "z")
_EDGE = re.compile(r"^[\W\d_]+|[\W\d_]+$")


def known(password: str) -> bool:
    folded = password.casefold()
    if folded.isdigit() and len(folded) < FEWEST_DIGITS:
        return True
    return _walked(folded) or any(_common(form) for form in _forms(folded))


def _forms(folded: str) -> tuple[str, ...]:
    """As it is, without what is hung on its ends, and undisguised."""
    bare = _EDGE.sub("", folded)
    return folded, bare, folded.translate(_DISGUISE), bare.translate(_DISGUISE)


def _common(text: str) -> bool:
    """One common word, two, or one again and again."""
    if text in _words():
        return True
    cuts = range(3, len(text) - 2)
    return any(text[:cut] in _words() and _common(text[cut:]) for cut in cuts)


@cache
def _words() -> frozenset[str]:
    return frozenset(WORDS.read_text().split())


def _walked(text: str) -> bool:
    """Whether all of it is runs along a keyboard or the alphabet, there or back."""
    while text:
        step = max((_run(text, walk) for walk in _ways()), default=0)
        if step < RUN:
            return False
        text = text[step:]
    return True


@cache
def _ways() -> tuple[str, ...]:
    return WALKS + tuple(walk[::-1] for walk in WALKS)


def _run(text: str, walk: str) -> int:
    """How many first characters of the text lie side by side on this walk."""
    length = 0
    while length < len(text) and text[: length + 1] in walk:
        length += 1
    return length
