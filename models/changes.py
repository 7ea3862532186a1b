"""What changed between two takes of one person: nothing that repeating the take could explain."""

from collections.abc import Mapping
from typing import Literal

from models.results import Analysis, Change, Score

OF_ERRORS = 1.96  # standard errors: what 95 % of the chance differences stay within

Verdict = Literal["better", "worse", "same", "unknown"]

FINDINGS: Mapping[Verdict, str] = {
    "better": "Your {name} went from {before:.0f} to {after:.0f}; takes of one person differ by "
    "up to {least:.0f} by chance, so this is a real gain.",
    "worse": "Your {name} went from {before:.0f} to {after:.0f}; takes of one person differ by up "
    "to {least:.0f} by chance, so this is a real difference.",
    "same": "Your {name} is {after:.0f}, as before ({before:.0f}): takes of one person differ by "
    "up to {least:.0f} by chance.",
    "unknown": "Your {name} is {after:.0f} after {before:.0f}; it is not known how much two takes "
    "of one person differ by chance here.",
}


def compare(before: Analysis, after: Analysis) -> list[Change]:
    """Every score that both takes have, in the order of the scores."""
    pairs = ((name, before.scores.get(name), score) for name, score in after.scores.items())
    found = (_change(name, old, new) for name, old, new in pairs if old is not None)
    return [change for change in found if change is not None]


def least(before: Score, after: Score) -> float | None:
    """The smallest real change between these two: takes that measure worse must differ by more."""
    usual = [s.smallest_real_change for s in (before, after) if s.smallest_real_change is not None]
    errors = [s.standard_error for s in (before, after) if s.standard_error is not None]
    measured = [OF_ERRORS * sum(e * e for e in errors) ** 0.5] if len(errors) == 2 else []
    return max(usual + measured, default=None)


def _change(name: str, before: Score, after: Score) -> Change | None:
    if before.value is None or after.value is None:
        return None
    limit = least(before, after)
    verdict = _verdict(after.value - before.value, limit)
    finding = FINDINGS[verdict].format(
        name=name.replace("_", " "), before=before.value, after=after.value, least=limit
    )
    return Change(
        score=name,
        before=before.value,
        after=after.value,
        smallest_real_change=limit,
        verdict=verdict,
        finding=finding,
    )


def _verdict(step: float, limit: float | None) -> Verdict:
    if limit is None:
        return "unknown"
    if abs(step) <= limit:
        return "same"
    return "better" if step > 0 else "worse"
