"""Feedback: from scores and evidence to sentences a singer or speaker can act on. No torch here."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

from models import scores as scoring
from models.advice import OBSTACLES, RULES, Rule, listed
from models.curves import GOOD
from models.dimensions import DIMENSIONS, Dimension, Term
from models.results import RESULT_TYPES, Absence, Advice, Measure, Reason, Score, Span
from models.scores import Results

LEAST_BENEFIT = 8.0  # points: less is not worth anybody's practice
NAMED_SPANS = 3

# A better recording makes every other number truer, so it comes first; style comes last.
IMPORTANCE: Mapping[str, float] = {
    "recording_quality": 2.0,
    "intonation": 1.2,
    "pitch_stability": 1.0,
    "voice_quality": 1.0,
    "clarity": 1.0,
    "pace": 1.0,
    "fluency": 1.0,
    "expressiveness": 0.9,
    "resonance": 0.3,
}


def advise(results: Results, scores: Mapping[str, Score]) -> list[Advice]:
    """Things to do, the one with the largest expected benefit first.

    The benefit is in points of the dimension's score, weighed by IMPORTANCE and by how sure the
    measure is: what the score would win if that one measure reached its target (GOOD points). The
    same results give the same advice in the same order.
    """
    obstacles = _obstacles(results)
    known = {advice.finding for advice in obstacles}
    practice = [
        advice
        for name in DIMENSIONS
        if name in scores
        for advice in _of(name, scores[name], results)
        if advice.finding not in known
    ]
    return sorted(obstacles + practice, key=lambda advice: -advice.expected_benefit)


def _obstacles(results: Results) -> list[Advice]:
    """Only the gravest: a silent take is also short of speech, of syllables and of voicing."""
    stopped = _stopped(results)
    if not stopped:
        return []
    worst = max(stopped, key=lambda reason: OBSTACLES[reason].benefit)
    told, detail = OBSTACLES[worst], stopped[worst].detail.rstrip(".")
    return [
        Advice(
            dimension="recording_quality",
            finding=told.finding.rstrip(".") + (f" ({detail})." if detail else "."),
            action=told.action,
            measures={},
            expected_benefit=told.benefit,
        )
    ]


def _stopped(results: Results) -> dict[Reason, Absence]:
    """Why families that listen to the voice itself answered nothing; the first says it best."""
    stopped: dict[Reason, Absence] = {}
    for family in RESULT_TYPES:  # in one order, however the results came
        refused = results[family].absent if family in results else None
        if refused and refused.reason in OBSTACLES and family not in ("emotion", "transcript"):
            stopped.setdefault(refused.reason, refused)
    return stopped


def _of(name: str, score: Score, results: Results) -> list[Advice]:
    """Advice on one dimension: its most rewarding measure; every bad one of a recording."""
    dimension = DIMENSIONS[name]
    if score.value is None and dimension.voice:
        return []  # but what is known of a recording helps even where it earns no score
    taken = [(term, scoring.read(results, term.measure)) for term in dimension.terms]
    found = [(term, measure) for term, measure in taken if isinstance(measure, Measure)]
    total = sum(term.weight for term, _ in found)
    advices = [
        advice
        for term, measure in found
        if (advice := _on(name, dimension, term, measure, total, results)) is not None
    ]
    advices.sort(key=lambda advice: -advice.expected_benefit)
    return advices if dimension.worst else advices[:1]


def _on(
    name: str, dimension: Dimension, term: Term, measure: Measure, total: float, results: Results
) -> Advice | None:
    curve = term.curve(scoring.is_song(results))
    short = GOOD - curve.points(measure.value)
    target = curve.target(measure.value)
    rule = RULES.get((term.measure, "low" if measure.value < target else "high"))
    share = 1.0 if dimension.worst else term.weight / total
    benefit = share * short * _sureness(measure, target) * IMPORTANCE[name]
    if rule is None or benefit < LEAST_BENEFIT:
        return None
    return _advice(name, rule, measure, target, benefit, results)


def _sureness(measure: Measure, target: float) -> float:
    """Of the measure, times the chance that its error does not reach as far as its target."""
    sure = 1.0 if measure.confidence is None else measure.confidence
    if not measure.standard_error:
        return sure
    return sure * NormalDist().cdf(abs(measure.value - target) / measure.standard_error)


def _advice(
    name: str, rule: Rule, measure: Measure, target: float, benefit: float, results: Results
) -> Advice:
    words = {
        "value": _number(measure.value * rule.scale),
        "target": _number(target * rule.scale),
        "where": _where(measure.evidence_s),
    }
    detail = rule.detail(results) if rule.detail else ""
    return Advice(
        dimension=name,
        finding=rule.finding.format(**words) + detail,
        action=rule.action.format(**words),
        measures={rule.measure: measure.value},
        evidence_s=measure.evidence_s,
        expected_benefit=benefit,
    )


def _number(value: float) -> str:
    """Two digits that matter, and whole numbers from 100 up."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


def _where(spans: Sequence[Span]) -> str:
    """' at 1.2-3.4 s and 5.0-6.1 s': the longest few, in order of time; '' for no evidence."""
    if not spans:
        return ""
    longest = sorted(sorted(spans, key=lambda span: span[0] - span[1])[:NAMED_SPANS])
    return " at " + listed([f"{start:.1f}-{end:.1f} s" for start, end in longest])
