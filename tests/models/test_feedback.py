"""Feedback: the one thing to do next, with numbers and times, and nothing made up."""

import pytest

from models.advice import RULES
from models.curves import GOOD
from models.dimensions import DIMENSIONS
from models.engine import Options
from models.feedback import advise
from models.norms import PERCENTILES
from models.results import (
    Advice,
    Clarity,
    Family,
    FamilyResult,
    Fluency,
    Measure,
    Note,
    Pitch,
    Prosody,
    Reason,
    absent,
)
from models.scores import score


def _advice(results: dict[Family, FamilyResult]) -> list[Advice]:
    return advise(results, score(results, Options()))


def _measure(value: float, **more: object) -> Measure:
    return Measure.model_validate({"value": value, "unit": "1", **more})


def _song(*cents: float) -> Pitch:
    notes = [
        Note(
            start_s=i,
            end_s=i + 0.9,
            name="A4",
            midi=69,
            f0_hz=440,
            cents=each,
            stability_cents=10,
            confidence=1,
        )
        for i, each in enumerate(cents)
    ]
    return Pitch(f0_hz=[440.0] * 90 * len(cents), confidence=[0.9] * 90 * len(cents), notes=notes)


def test_every_side_on_which_points_are_lost_has_a_sentence() -> None:
    for dimension in DIMENSIONS.values():
        for term in dimension.terms:
            anchors = term.spoken.anchors
            if anchors[0][1] < 100:
                assert (term.measure, "low") in RULES
            if anchors[-1][1] < 100:
                assert (term.measure, "high") in RULES


def test_every_sentence_can_be_filled_and_ends() -> None:
    for rule in RULES.values():
        words = {"value": "1", "target": "2", "where": ""}
        for sentence in (rule.finding.format(**words), rule.action.format(**words)):
            assert sentence.endswith(".")
            assert "{" not in sentence


def test_hurried_speech_is_told_its_rate_and_its_target() -> None:
    rate = _measure(7.2, evidence_s=[(0.3, 6.0)])

    fluency = Fluency(measures={"articulation_rate_sps": rate})

    [first] = _advice({"fluency": fluency})

    assert first.dimension == "pace"
    assert first.finding.startswith("You articulate 7.2 syllables a second")
    assert f"{PERCENTILES['fluency.articulation_rate_sps'][3]:.2g}" in first.finding
    assert first.measures == {"fluency.articulation_rate_sps": 7.2}
    assert first.evidence_s == [(0.3, 6.0)]
    reached = score({"fluency": fluency}, Options())["pace"].value
    assert first.expected_benefit == pytest.approx(GOOD - (reached or 0))


def test_slow_speech_is_told_otherwise() -> None:
    slow = Fluency(measures={"articulation_rate_sps": _measure(2.0)})

    assert "say more than" in _advice({"fluency": slow})[0].finding


def test_the_notes_furthest_off_are_named_with_time_and_direction() -> None:
    [first, *_] = _advice({"pitch": _song(2, -32, 4, 28, 3)})

    assert first.dimension == "intonation"
    assert "A4 at 1.0 s was 32 cents flat and A4 at 3.0 s was 28 cents sharp" in first.finding


def test_the_longest_pause_is_located() -> None:
    pauses = _measure(40, evidence_s=[(1.0, 1.4), (6.2, 8.0), (9.0, 9.3)])
    usual = {"phonation_ratio": _measure(0.9), "mean_length_of_run": _measure(10)}
    fluency = Fluency(measures=usual | {"pauses_per_minute": pauses})

    [first] = _advice({"fluency": fluency})

    assert "The longest, 1.8 s, begins at 6.2 s." in first.finding


def test_the_largest_benefit_comes_first() -> None:
    fluency = Fluency(measures={"articulation_rate_sps": _measure(6.0)})
    prosody = Prosody(measures={"expressiveness": _measure(0.1)})

    found = _advice({"fluency": fluency, "prosody": prosody})

    assert [advice.dimension for advice in found] == ["expressiveness", "pace"]
    benefits = [advice.expected_benefit for advice in found]
    assert benefits == sorted(benefits, reverse=True)


def test_an_unsure_measure_advises_less() -> None:
    def benefit(confidence: float) -> float:
        rate = _measure(7.5, confidence=confidence)
        return _advice({"fluency": Fluency(measures={"articulation_rate_sps": rate})})[
            0
        ].expected_benefit

    assert benefit(0.4) == pytest.approx(0.4 * benefit(1.0))


def test_a_bad_recording_comes_before_the_voice_and_says_all_that_is_wrong() -> None:
    clarity = Clarity(
        measures={
            "snr_db": _measure(8),
            "clipped_fraction": _measure(0.03, evidence_s=[(2.0, 2.5), (4.0, 4.1)]),
        }
    )
    fluency = Fluency(measures={"articulation_rate_sps": _measure(7.5)})

    found = _advice({"clarity": clarity, "fluency": fluency})

    assert [advice.dimension for advice in found] == ["recording_quality"] * 2 + ["pace"]
    assert found[0].finding == "3 % of the samples are clipped at 2.0-2.5 s and 4.0-4.1 s."
    assert "8 dB over the noise" in found[1].finding


def test_clipping_is_told_even_where_the_recording_has_no_score() -> None:
    clarity = Clarity(measures={"clipped_fraction": _measure(0.03)})

    [only] = _advice({"clarity": clarity})

    assert "clipped" in only.finding


def test_what_is_well_needs_no_advice() -> None:
    fluency = Fluency(measures={"articulation_rate_sps": _measure(4.5)})

    assert _advice({"fluency": fluency, "pitch": _song(1, -2, 3, 0)}) == []


def test_silence_gives_one_thing_to_do_about_the_microphone() -> None:
    families: tuple[Family, ...] = ("activity", "pitch", "timbre", "prosody", "fluency", "clarity")
    silent = {family: absent(family, Reason.silence) for family in families}

    [only] = _advice(silent)

    assert only.dimension == "recording_quality"
    assert "microphone" in only.action


def test_the_gravest_obstacle_is_told_alone() -> None:
    results = {
        "activity": absent("activity", Reason.no_speech),
        "pitch": absent("pitch", Reason.insufficient_voiced_audio, "0.1 s voiced"),
    }

    [only] = _advice(results)  # type: ignore[arg-type]

    assert only.finding == "No voice was found in this take."


def test_a_hummed_tune_without_words_is_not_called_silent() -> None:
    results: dict[Family, FamilyResult] = {
        "pitch": _song(1, 2, 3),
        "transcript": absent("transcript", Reason.no_speech),
    }

    assert _advice(results) == []


def test_a_missing_model_is_not_the_singers_fault() -> None:
    families: tuple[Family, ...] = ("pitch", "emotion", "transcript")

    assert _advice({f: absent(f, Reason.model_unavailable) for f in families}) == []


def test_nothing_measured_gives_no_advice() -> None:
    assert _advice({}) == []
