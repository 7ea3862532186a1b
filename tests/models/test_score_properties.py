"""Promises of scores and feedback that hold for any measures, not for chosen ones."""

import random
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import scores
from models.advice import OBSTACLES, RULES
from models.changes import FINDINGS
from models.curves import Curve, by_rank
from models.dimensions import DIMENSIONS, Term
from models.engine import Options
from models.feedback import advise
from models.results import (
    RESULT_TYPES,
    Absence,
    Family,
    FamilyResult,
    Measure,
    Note,
    Pitch,
    Reason,
    Span,
    absent,
)

DURATION_S = 30.0
TERMS = [  # of running speech
    (name, term)
    for name, dimension in DIMENSIONS.items()
    for term in dimension.terms
    if dimension.of != "song"
]
CLINICAL = (
    "abnormal|anxi|clinic|deficit|depress|diagnos|disabil|disease|disorder|doctor|dysphon|health|"
    "hoarse|illness|impair|injur|lesion|medic|nodul|normal|laryng|patholog|patient|sick|speech "
    "defect|stammer|strain|stutter|symptom|syndrom|therap|treatment|tremor"
)
SCOLDING = (
    "awful|bad|badly|boring|careless|disappoint|fail|fault|incorrect|lazy|mistake|must|never|"
    "poor|should|sloppy|stupid|terribl|too fast|too slow|ugly|unfortunate|weak|worst|wrong"
)
FORBIDDEN = re.compile(rf"\b({CLINICAL}|{SCOLDING})", re.IGNORECASE)

some = settings(max_examples=40, deadline=None)
many = settings(max_examples=120, deadline=None)
times = st.integers(0, int(DURATION_S))
spans = st.tuples(times, times).map(lambda s: [(float(min(s)), float(max(s)))])


def _around(curve: Curve) -> st.SearchStrategy[float]:
    """Values on, between and beyond the anchors."""
    low, high = curve.anchors[0][0], curve.anchors[-1][0]
    return st.floats(low - (high - low), high + (high - low))


def _measure(term: Term) -> st.SearchStrategy[Measure]:
    """With or without an error, a confidence and evidence."""
    return st.builds(
        Measure,
        value=_around(term.spoken),
        unit=st.just("1"),
        confidence=st.none() | st.floats(0, 1),
        standard_error=st.none() | st.floats(0, 10),
        evidence_s=st.just([]) | spans,
    )


some_measures = st.lists(
    st.sampled_from(TERMS), max_size=10, unique_by=lambda t: t[1].measure
).flatmap(lambda terms: st.fixed_dictionaries({term.measure: _measure(term) for _, term in terms}))


def _results(measures: Mapping[str, Measure]) -> dict[Family, FamilyResult]:
    """What the families would have said, had they found these."""
    found: dict[Family, FamilyResult] = {}
    for family, kind in RESULT_TYPES.items():
        own = {
            path.partition(".")[2]: measure
            for path, measure in measures.items()
            if path.startswith(f"{family}.")
        }
        if own:
            found[family] = kind(measures=own)
    return found


def _value(name: str, measures: Mapping[str, Measure]) -> float | None:
    return scores.score(_results(measures), Options())[name].value


@many
@given(st.sampled_from(TERMS), some_measures, st.data())
def test_a_better_measure_never_lowers_its_score(
    of: tuple[str, Term], rest: dict[str, Measure], data: st.DataObject
) -> None:
    name, term = of
    values = data.draw(st.tuples(_around(term.spoken), _around(term.spoken)))
    worse, better = (
        Measure(value=value, unit="1") for value in sorted(values, key=term.spoken.points)
    )

    before = _value(name, rest | {term.measure: worse})
    after = _value(name, rest | {term.measure: better})

    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after >= before - 1e-9


@pytest.mark.parametrize(("name", "term"), TERMS)
def test_points_move_one_way_or_fall_away_from_one_best_value(name: str, term: Term) -> None:
    low, high = term.spoken.anchors[0][0], term.spoken.anchors[-1][0]
    line = [term.spoken.points(low + (high - low) * i / 400) for i in range(401)]
    rising = [after - before > 1e-9 for before, after in pairwise(line)]
    falling = [before - after > 1e-9 for before, after in pairwise(line)]

    assert name == "pace" or not (any(rising) and any(falling))
    assert rising == sorted(rising, reverse=True) or falling == sorted(falling)  # once at most


@some
@given(st.lists(st.floats(-100, 100), min_size=5, max_size=5, unique=True), st.data())
def test_ordinary_takes_earn_neither_0_nor_100(values: list[float], data: st.DataObject) -> None:
    ranks = sorted(round(value, 3) + i / 1000 for i, value in enumerate(sorted(values)))
    value = data.draw(st.floats(ranks[0], ranks[-1]))

    assert 0 < by_rank(ranks, "high").points(value) < 100
    assert 0 < by_rank(ranks, "low").points(value) < 100


@some
@given(some_measures)
def test_every_score_is_a_number_from_0_to_100_or_says_why_not(
    measures: dict[str, Measure],
) -> None:
    for score in scores.score(_results(measures), Options()).values():
        assert (score.value is None) == (score.absent is not None)
        assert score.value is None or 0 <= score.value <= 100


@some
@given(st.sampled_from(sorted(DIMENSIONS)), some_measures, st.sampled_from(Reason))
def test_what_a_score_rests_on_being_absent_makes_it_absent(
    name: str, measures: dict[str, Measure], reason: Reason
) -> None:
    kept = {
        path: measure
        for path, measure in measures.items()
        if path not in {term.measure for term in DIMENSIONS[name].terms}
    }
    lost: dict[Family, FamilyResult] = {family: absent(family, reason) for family in RESULT_TYPES}
    lost.pop("activity")

    found = scores.score(lost | _results(kept), Options())[name]

    assert found.value is None
    assert isinstance(found.absent, Absence)


@some
@given(some_measures, st.floats(1, 5))
def test_noisier_measures_never_give_a_surer_score(
    measures: dict[str, Measure], factor: float
) -> None:
    noisy = {
        path: measure
        if measure.standard_error is None
        else measure.model_copy(update={"standard_error": factor * measure.standard_error})
        for path, measure in measures.items()
    }

    before = scores.score(_results(measures), Options())
    after = scores.score(_results(noisy), Options())

    for name, score in before.items():
        assert (score.standard_error or 0) <= (after[name].standard_error or 0) + 1e-9


@some
@given(some_measures)
def test_evidence_of_scores_and_advice_lies_in_the_take(measures: dict[str, Measure]) -> None:
    results = _results(measures)
    found = scores.score(results, Options())
    told: list[Span] = [span for each in found.values() for span in each.evidence_s]
    told += [span for advice in advise(results, found) for span in advice.evidence_s]

    assert all(0 <= start <= end <= DURATION_S for start, end in told)


@some
@given(some_measures, st.randoms())
def test_the_same_results_give_the_same_advice_in_order_of_benefit(
    measures: dict[str, Measure], chance: random.Random
) -> None:
    results = _results(measures)
    shuffled = list(results.items())
    chance.shuffle(shuffled)

    first = advise(results, scores.score(results, Options()))
    again = advise(dict(shuffled), scores.score(dict(shuffled), Options()))

    assert first == again
    benefits = [advice.expected_benefit for advice in first]
    assert benefits == sorted(benefits, reverse=True)


@some
@given(some_measures)
def test_advice_names_its_measure_and_what_to_do(measures: dict[str, Measure]) -> None:
    results = _results(measures)

    for advice in advise(results, scores.score(results, Options())):
        assert advice.measures
        assert set(advice.measures) <= set(measures)
        assert re.search(r"\d", advice.finding)  # what was measured, or when
        assert advice.action.endswith(".")
        assert not FORBIDDEN.search(f"{advice.finding} {advice.action}")


def _sentences() -> Iterator[str]:
    """Every sentence there is, its numbers filled in."""
    words = {"value": "1", "target": "2", "where": " at 0.0-1.0 s"}
    for rule in RULES.values():
        yield rule.finding.format(**words) + " " + rule.action.format(**words)
        if rule.detail is not None:
            yield rule.detail(_everything())
    for obstacle in OBSTACLES.values():
        yield f"{obstacle.finding} {obstacle.action}"
    for finding in FINDINGS.values():
        yield finding.format(name="pace", before=1.0, after=2.0, least=3.0)


def _everything() -> dict[Family, FamilyResult]:
    """Results that every detail of a sentence can quote."""
    note = Note(
        start_s=1.0,
        end_s=2.0,
        name="A4",
        midi=69.3,
        f0_hz=447,
        cents=30,
        stability_cents=40,
        confidence=1,
    )
    pause = Measure(value=20, unit="1/min", evidence_s=[(2.0, 4.0)])
    fluency = RESULT_TYPES["fluency"](measures={"pauses_per_minute": pause})
    return {"pitch": Pitch(notes=[note]), "fluency": fluency}


def test_no_sentence_scolds_or_diagnoses() -> None:
    found = {sentence: FORBIDDEN.findall(sentence) for sentence in _sentences()}

    assert not {sentence: words for sentence, words in found.items() if words}


def test_the_word_list_knows_a_diagnosis_and_a_scolding_when_it_sees_one() -> None:
    assert FORBIDDEN.search("This is a symptom of hoarseness.")
    assert FORBIDDEN.search("Your pace is bad.")


def test_every_finding_names_what_was_measured() -> None:
    for rule in RULES.values():
        assert "{value}" in rule.finding
        assert rule.measure in {term.measure for d in DIMENSIONS.values() for term in d.terms}


def test_one_finding_asks_for_one_thing() -> None:
    for rule in RULES.values():
        assert len(re.findall(r"\.(\s|$)", rule.action)) == 1  # one sentence


@some
@given(st.lists(st.floats(-49, 49), min_size=3, max_size=8), st.floats(0, 1))
def test_singing_nearer_to_the_notes_never_lowers_intonation(
    cents: list[float], nearer: float
) -> None:
    before, after = (_intonation([scale * c for c in cents]) for scale in (1.0, nearer))

    assert after >= before - 1e-9


@some
@given(st.lists(st.floats(1, 150), min_size=3, max_size=8), st.floats(0, 1))
def test_steadier_notes_never_lower_pitch_stability(scatter: list[float], steadier: float) -> None:
    before, after = (
        _sung([0.0] * len(scatter), [scale * s for s in scatter])["pitch_stability"]
        for scale in (1.0, steadier)
    )

    assert before is None or (after is not None and after >= before - 1e-9)  # None: no song


def _intonation(cents: list[float]) -> float:
    value = _sung(cents, [10.0] * len(cents))["intonation"]
    assert value is not None
    return value


def _sung(cents: list[float], scatter: list[float]) -> dict[str, float | None]:
    notes = [
        Note(
            start_s=i,
            end_s=i + 0.9,
            name="A4",
            midi=69 + off / 100,
            f0_hz=440,
            cents=off,
            stability_cents=width,
            confidence=1,
        )
        for i, (off, width) in enumerate(zip(cents, scatter, strict=True))
    ]
    frames = round(95 * len(notes))
    pitch = Pitch(f0_hz=[440.0] * frames, confidence=[0.9] * frames, notes=notes)
    return {name: s.value for name, s in scores.score({"pitch": pitch}, Options()).items()}
