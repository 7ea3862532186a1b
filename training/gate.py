"""Whether a fresh version may meet users: no slice worse than the champion, the target better.

Both are judged on the same material of held-out speakers, and compared speaker by speaker: a
slice is worse when the whole 95 % interval of the difference (bootstrap over speakers) says so,
however small it is, and the target is better when the whole interval says that. The intervals are
not corrected for how many slices there are: each has a chance of about one in forty of holding
back a version that is no worse there. None is let through for lack of data.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from training.evaluation import intervals
from training.evaluation.intervals import Interval

FEWEST = 3  # speakers: the difference of fewer cannot be told from chance, so it is only shown
DIMENSIONS = ("corpus", "sex", "noise")

Key = tuple[str, str]  # dimension and value
Tally = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a recipe judges by."""

    name: str
    lower: bool = False  # is better


@dataclass(frozen=True, slots=True)
class Mark:
    """What one version scored on one piece of material: `scored` out of `of`."""

    metric: str
    speaker: str
    corpus: str
    sex: str
    noise: str
    scored: float
    of: float = 1.0


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric on one slice; `difference` is fresh less champion, in the metric's own sense."""

    metric: str
    dimension: str  # all | corpus | sex | noise
    value: str
    speakers: int
    champion: float
    fresh: float
    difference: Interval
    found: str  # better | worse | same | too few speakers


@dataclass(frozen=True, slots=True)
class Verdict:
    passed: bool
    reason: str  # a sentence
    target: str
    compared: Sequence[Compared] = field(default=())


def judge(metrics: Sequence[Metric], fresh: Sequence[Mark], champion: Sequence[Mark]) -> Verdict:
    """The first metric is the target, judged on every slice; the others are judged as a whole.

    Raises ValueError unless both saw the same material.
    """
    if [_place(mark) for mark in fresh] != [_place(mark) for mark in champion]:
        raise ValueError("The two versions were not judged on the same material.")
    target = metrics[0].name
    if strange := [mark for mark in fresh if not math.isfinite(mark.scored)]:
        return Verdict(False, f"{strange[0].metric} is not a number.", target)
    compared = [
        _compared(metric, key, pairs)
        for metric in metrics
        for key, pairs in _slices(metric, fresh, champion).items()
        if metric.name == target or key[0] == "all"
    ]
    passed, reason = _decided(target, compared)
    return Verdict(passed, reason, target, compared)


def _place(mark: Mark) -> tuple[str, str, str, str, str, float]:
    return mark.metric, mark.speaker, mark.corpus, mark.sex, mark.noise, mark.of


Pairs = list[tuple[Mark, Mark]]


def _slices(metric: Metric, fresh: Sequence[Mark], champion: Sequence[Mark]) -> Mapping[Key, Pairs]:
    """All of the metric's marks, and those of each corpus, sex and noise."""
    found: dict[Key, Pairs] = defaultdict(list)
    for pair in zip(fresh, champion, strict=True):
        if pair[0].metric != metric.name:
            continue
        found["all", ""].append(pair)
        for dimension in DIMENSIONS:
            if value := getattr(pair[0], dimension):
                found[dimension, value].append(pair)
    return {key: pairs for key, pairs in found.items() if key[0] == "all" or _parts(found, key)}


def _parts(found: Mapping[Key, Pairs], key: Key) -> bool:
    """Whether the slice is a part: one that holds everything would only be counted twice."""
    return len(found[key]) < len(found["all", ""])


def _compared(metric: Metric, key: Key, pairs: Pairs) -> Compared:
    fresh = _by_speaker([(mine.speaker, mine.scored, mine.of) for mine, _ in pairs])
    champion = _by_speaker([(theirs.speaker, theirs.scored, theirs.of) for _, theirs in pairs])
    difference = intervals.of_ratio(
        {who: (fresh[who][0] - champion[who][0], fresh[who][1]) for who in fresh}
    )
    return Compared(
        metric.name,
        *key,
        len(fresh),
        intervals.of_ratio(champion).value,
        intervals.of_ratio(fresh).value,
        difference,
        _found(metric, difference, len(fresh)),
    )


def _by_speaker(marks: Sequence[tuple[str, float, float]]) -> dict[str, Tally]:
    totals: dict[str, Tally] = {}
    for speaker, scored, of in marks:
        before = totals.get(speaker, (0.0, 0.0))
        totals[speaker] = (before[0] + scored, before[1] + of)
    return totals


def _found(metric: Metric, difference: Interval, speakers: int) -> str:
    if speakers < FEWEST:
        return "too few speakers"
    low, high = difference.low, difference.high
    if metric.lower:
        low, high = -high, -low
    if high < 0:
        return "worse"
    return "better" if low > 0 else "same"


def _decided(target: str, compared: Sequence[Compared]) -> tuple[bool, str]:
    worse = [one for one in compared if one.found == "worse"]
    if worse:
        return False, f"Worse than the champion: {'; '.join(map(_said, worse[:3]))}."
    whole = next((one for one in compared if (one.metric, one.value) == (target, "")), None)
    if whole is None:
        return False, f"There is nothing to judge {target} by."
    if whole.found == "better":
        return True, f"Better than the champion: {_said(whole)}; no slice is worse."
    if whole.found == "too few speakers":
        return False, f"{whole.speakers} held-out speakers are too few to judge by."
    return False, f"No better than the champion: {_said(whole)}."


def _said(one: Compared) -> str:
    where = f" ({one.dimension} {one.value})" if one.value else ""
    low, high = one.difference.low, one.difference.high
    return (
        f"{one.metric}{where} {one.fresh:.4g} against {one.champion:.4g}, "
        f"difference {one.difference.value:+.2g} ({low:+.2g} to {high:+.2g})"
    )


def table(verdict: Verdict) -> str:
    """Markdown, for the card and for who looks at the run."""
    rows = [
        f"| {one.metric} | {one.dimension} {one.value}".rstrip()
        + f" | {one.speakers} | {one.champion:.4g} | {one.fresh:.4g} "
        f"| {one.difference.value:+.3g} ({one.difference.low:+.3g} to {one.difference.high:+.3g}) "
        f"| {one.found} |"
        for one in verdict.compared
    ]
    head = "| metric | slice | speakers | champion | this | difference (95 %) | |"
    outcome = "passed" if verdict.passed else "failed"
    return "\n".join([f"**Gate {outcome}.** {verdict.reason}", "", head, "|---" * 7 + "|", *rows])
