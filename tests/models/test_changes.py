"""Changes: what a repeat of the take could explain is not called one."""

import pytest

from models.changes import compare, least
from models.norms import LIMIT, PERCENTILES, SPOKEN_S, WITHIN_PERSON_SD, smallest_real_change
from models.results import (
    Activity,
    Analysis,
    AudioReport,
    Clarity,
    Emotion,
    Fluency,
    Pitch,
    Prosody,
    Score,
    Timbre,
    Transcript,
)


def _score(value: float | None, error: float | None = None, real: float | None = None) -> Score:
    return Score(
        value=value, standard_error=error, smallest_real_change=real, uses=[], reference="Ours."
    )


def _take(**scores: Score) -> Analysis:
    return Analysis(
        audio=AudioReport(
            duration_s=5, sample_rate_hz=16000, source_sample_rate_hz=16000, source_channels=1
        ),
        activity=Activity(),
        pitch=Pitch(),
        timbre=Timbre(),
        emotion=Emotion(),
        clarity=Clarity(),
        prosody=Prosody(),
        fluency=Fluency(),
        transcript=Transcript(),
        scores=scores,
    )


@pytest.mark.parametrize(
    ("after", "verdict"), [(50, "same"), (59, "same"), (61, "better"), (41, "same"), (39, "worse")]
)
def test_only_more_than_the_smallest_real_change_is_called_a_change(
    after: float, verdict: str
) -> None:
    [change] = compare(_take(pace=_score(50, real=10)), _take(pace=_score(after, real=10)))

    assert change.verdict == verdict
    assert change.smallest_real_change == 10
    assert ("real" in change.finding) == (verdict != "same")


def test_takes_that_measure_badly_must_differ_by_more() -> None:
    sure, unsure = _score(50, error=1, real=10), _score(50, error=6, real=10)

    assert least(sure, sure) == 10
    assert least(unsure, unsure) == pytest.approx(1.96 * 6 * 2**0.5)


def test_without_repeats_the_standard_errors_decide_and_without_both_nobody_knows() -> None:
    [by_errors] = compare(_take(pace=_score(50, error=2)), _take(pace=_score(60, error=2)))
    [unknown] = compare(_take(pace=_score(50)), _take(pace=_score(90)))

    assert by_errors.verdict == "better"
    assert unknown.verdict == "unknown"
    assert unknown.smallest_real_change is None


def test_a_score_that_one_take_lacks_is_not_compared() -> None:
    assert compare(_take(pace=_score(None)), _take(pace=_score(60))) == []
    assert compare(_take(), _take(pace=_score(60))) == []


def test_the_smallest_real_change_is_that_of_bland_and_altman() -> None:
    assert pytest.approx(2.772, abs=1e-3) == LIMIT
    for name, (short, long) in WITHIN_PERSON_SD.items():
        assert smallest_real_change(name, SPOKEN_S[0]) == pytest.approx(LIMIT * short)
        assert smallest_real_change(name, SPOKEN_S[1]) == pytest.approx(LIMIT * long)
    assert smallest_real_change("nothing of the kind", 3) is None


def test_percentiles_rise() -> None:
    for ranks in PERCENTILES.values():
        assert list(ranks) == sorted(ranks)
        assert ranks[0] < ranks[-1]
