"""Scores: monotone, honest about what is missing, and with their errors."""

import sys
from itertools import pairwise

import pytest

from models import norms, scores
from models.curves import EARNED_OFF_MIDDLE, GOOD, Curve
from models.dimensions import DIMENSIONS, Dimension, Term
from models.engine import Options
from models.norms import PERCENTILES
from models.results import (
    Absence,
    Activity,
    Clarity,
    Family,
    FamilyResult,
    Fluency,
    Measure,
    Note,
    Pitch,
    Prosody,
    Reason,
    Timbre,
    Vibrato,
    absent,
)
from models.scores import score

CURVES = [
    pytest.param(name, curve, id=f"{name}: {term.measure}")
    for name, dimension in DIMENSIONS.items()
    for term in dimension.terms
    for curve in (term.spoken, term.held)
    if curve is not None
]


def _measure(value: float, **more: object) -> Measure:
    return Measure.model_validate({"value": value, "unit": "1", **more})


def _note(cents: float, start: float = 0.0, **more: object) -> Note:
    given = {
        "start_s": start,
        "end_s": start + 0.9,
        "name": "A4",
        "midi": 69 + cents / 100,
        "f0_hz": 440.0,
        "cents": cents,
        "stability_cents": 12.0,
        "confidence": 0.9,
    }
    return Note.model_validate(given | more)


def _sung(*cents: float, voiced_s: float | None = None, **measures: float) -> Pitch:
    notes = [_note(c, start=float(i)) for i, c in enumerate(cents)]
    frames = round(100 * (len(cents) * 0.95 if voiced_s is None else voiced_s))
    return Pitch(
        f0_hz=[440.0] * frames,
        confidence=[0.9] * frames,
        notes=notes,
        measures={name: _measure(value) for name, value in measures.items()},
    )


def _spoken(**rates: float) -> dict[Family, FamilyResult]:
    measures = {"articulation_rate_sps": 4.5} | rates
    return {"fluency": Fluency(measures={k: _measure(v) for k, v in measures.items()})}


@pytest.mark.parametrize(("name", "curve"), CURVES)
def test_points_stay_in_range_and_turn_at_most_once(name: str, curve: Curve) -> None:
    points = [value for _, value in curve.anchors]
    turns = [b - a for a, b in pairwise(points) if a != b]

    assert 0 <= min(points) < max(points) == 100
    falls = [turn < 0 for turn in turns]
    assert falls == sorted(falls)  # rising first, then falling: one best range
    if name != "pace":
        assert len(set(falls)) == 1
    assert [at for at, _ in curve.anchors] == sorted(at for at, _ in curve.anchors)


def test_every_dimension_names_its_source_and_what_it_ignores() -> None:
    for dimension in DIMENSIONS.values():
        assert "set by us" in dimension.reference.lower() or "(20" in dimension.reference
        assert dimension.ignores.endswith(".")


def test_nothing_measured_gives_no_score_and_no_zero() -> None:
    for result in score({}, Options()).values():
        assert result.value is None
        assert result.absent is not None
        assert result.absent.reason is Reason.not_requested


def test_silence_is_absent_as_silence_everywhere() -> None:
    families: tuple[Family, ...] = ("pitch", "timbre", "prosody", "fluency", "clarity")
    silent = {family: absent(family, Reason.silence) for family in families}

    for result in score(silent, Options()).values():
        assert result.value is None
        assert result.absent == Absence(reason=Reason.silence)


def test_a_missing_measure_says_why_it_is_missing() -> None:
    short = Absence(reason=Reason.too_short, detail="0.2 s.")
    prosody = Prosody(absences={"expressiveness": short})

    found = score({"prosody": prosody}, Options())["expressiveness"]

    assert found.absent == short
    assert found.uses == ["prosody.expressiveness"]


def test_missing_extras_do_not_matter_and_present_ones_count() -> None:
    plain, wordy = _spoken(), _spoken(words_per_minute=280.0)

    without, with_words = (score(each, Options())["pace"] for each in (plain, wordy))

    assert without.uses == ["fluency.articulation_rate_sps"]
    assert without.value is not None
    assert with_words.value is not None
    assert with_words.value < without.value - 20
    assert "fluency.words_per_minute" in with_words.uses


def test_half_of_the_voice_measures_are_enough_and_fewer_are_not() -> None:
    low_snr = Absence(reason=Reason.low_snr, detail="8 dB.")
    missing = {"jitter_local": low_snr, "shimmer_local": low_snr}
    enough = Timbre(
        measures={"cpps_voiced_db": _measure(25), "hnr_db": _measure(25)}, absences=missing
    )
    too_little = Timbre(measures={"hnr_db": _measure(20)}, absences=missing)

    assert score({"timbre": enough}, Options())["voice_quality"].value == pytest.approx(100)
    assert score({"timbre": too_little}, Options())["voice_quality"].value is None


def test_pace_falls_with_the_distance_from_the_middle_of_ordinary_takes() -> None:
    far_below, below, middle, above, far_above = PERCENTILES["fluency.articulation_rate_sps"]

    def pace(rate: float) -> float:
        value = score(_spoken(articulation_rate_sps=rate), Options())["pace"].value
        assert value is not None
        return value

    assert pace(middle) == pytest.approx(100)
    assert pace(below) == pytest.approx(GOOD)
    assert pace(above) == pytest.approx(GOOD)
    assert pace(far_below) == pytest.approx(EARNED_OFF_MIDDLE[0])
    assert pace(far_above) == pytest.approx(EARNED_OFF_MIDDLE[0])
    assert pace(1.0) == pace(9.0) == 0


def test_the_standard_error_is_that_of_the_measures() -> None:
    _, _, middle, above, _ = PERCENTILES["fluency.articulation_rate_sps"]
    rate = _measure((middle + above) / 2, standard_error=0.1, evidence_s=[(0.0, 4.0), (5.0, 6.0)])

    found = score({"fluency": Fluency(measures={"articulation_rate_sps": rate})}, Options())["pace"]

    assert found.standard_error == pytest.approx(0.1 * (100 - GOOD) / (above - middle))
    assert found.evidence_s == [(0.0, 4.0), (5.0, 6.0)]


def test_more_speech_makes_smaller_changes_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "WITHIN_PERSON_SD", {"pace": (10.0, 5.0)})
    short, long = norms.SPOKEN_S

    def least(spoken_s: float) -> float | None:
        activity = Activity(speech_s=[(0.0, spoken_s / 2), (1 + spoken_s / 2, 1 + spoken_s)])
        return score(_spoken() | {"activity": activity}, Options())["pace"].smallest_real_change

    found = [least(seconds) for seconds in (0.5 * short, short, 2 * short, long, 9 * long)]

    assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    assert found[0] == found[1] == pytest.approx(10 * norms.LIMIT)
    assert found[-1] == found[-2] == pytest.approx(5 * norms.LIMIT)


def test_errors_of_several_measures_add_in_quadrature() -> None:
    line = Curve(((0, 0), (100, 100)))
    two = Dimension((Term("timbre.a", line), Term("timbre.b", line)), "Ours.", "Much.")
    a, b = _measure(50, standard_error=6), _measure(70, standard_error=8)

    value, error = scores._combined(two, list(zip(two.terms, (a, b), strict=True)), None, 5)

    assert value == pytest.approx(60)
    assert error == pytest.approx(5)


def test_an_error_that_reaches_over_the_peak_is_not_lost() -> None:
    peak = Curve(((0, 0), (5, 100), (10, 0)))

    assert peak.error(5, 1) == pytest.approx(20)


def test_no_error_is_claimed_where_none_is_known() -> None:
    assert score({"pitch": _sung(3, 3, 3)}, Options())["resonance"].standard_error is None


def test_where_a_measure_states_no_error_its_repeats_stand_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {"fluency.articulation_rate_sps": (0.2, 0.1)}
    monkeypatch.setattr(norms, "WITHIN_PERSON_SD", table)

    repeated = score(_spoken(articulation_rate_sps=5), Options())["pace"].standard_error
    stated = _measure(5, standard_error=0.2)
    told = score({"fluency": Fluency(measures={"articulation_rate_sps": stated})}, Options())

    assert repeated == told["pace"].standard_error


def test_a_recording_is_as_good_as_its_worst_side() -> None:
    clean = {"snr_db": _measure(75), "clipped_fraction": _measure(0), "t60_s": _measure(0.1)}
    clipped = clean | {"clipped_fraction": _measure(0.03)}

    def quality(measures: dict[str, Measure]) -> float | None:
        return score({"clarity": Clarity(measures=measures)}, Options())["recording_quality"].value

    assert quality(clean) == 100
    assert quality(clipped) == pytest.approx(15)


def test_noise_alone_is_no_good_recording() -> None:
    missing = {"snr_db": Absence(reason=Reason.no_speech)}
    clarity = Clarity(measures={"clipped_fraction": _measure(0)}, absences=missing)

    found = score({"clarity": clarity}, Options())["recording_quality"]

    assert found.absent == missing["snr_db"]


def test_true_notes_score_high_and_random_ones_low() -> None:
    def intonation(*cents: float) -> float:
        value = score({"pitch": _sung(*cents)}, Options())["intonation"].value
        assert value is not None
        return value

    assert intonation(2, -2, 2, -1) == 100
    assert 60 < intonation(12, -14, 10, -15) < 80
    assert intonation(45, -30, 5, -45, 20) < 10


def test_singing_flat_throughout_is_in_tune_with_itself() -> None:
    flat = _sung(-30, -32, -28, -30, tuning_offset_cents=-30)

    assert score({"pitch": flat}, Options())["intonation"].value == 100


def test_the_a4_that_was_asked_for_is_in_the_reference() -> None:
    found = score({"pitch": _sung(1, 2, 3)}, Options(a4_hz=442))["intonation"]

    assert "442 Hz" in found.reference


def test_song_is_not_judged_as_speech_nor_speech_as_song() -> None:
    song: dict[Family, FamilyResult] = {"pitch": _sung(1, 2, 0), **_spoken()}
    speech: dict[Family, FamilyResult] = {"pitch": _sung(1, 2, 0, voiced_s=20), **_spoken()}

    sung, spoken = score(song, Options()), score(speech, Options())

    assert sung["pace"].value is None
    assert sung["intonation"].value == 100
    assert spoken["pace"].value is not None
    assert spoken["intonation"].value is None


def test_a_held_vowel_is_judged_more_strictly_than_running_speech() -> None:
    timbre = Timbre(measures={"cpps_voiced_db": _measure(15), "hnr_db": _measure(12)})
    held, spoken = _sung(0, 0), _sung(0, 0, voiced_s=20)

    vowel, speech = (
        score({"timbre": timbre, "pitch": pitch}, Options())["voice_quality"].value
        for pitch in (held, spoken)
    )

    assert vowel is not None
    assert speech is not None
    assert vowel < 60 < GOOD < speech


def test_a_hum_that_nobody_made_gets_no_score() -> None:
    hum: dict[Family, FamilyResult] = {
        "activity": absent("activity", Reason.no_speech),
        "pitch": _sung(0, 0, 0),
        "clarity": Clarity(measures={"snr_db": _measure(40), "clipped_fraction": _measure(0)}),
    }

    found = score(hum, Options())

    assert [name for name, each in found.items() if each.value is not None] == ["recording_quality"]
    assert found["intonation"].absent == Absence(reason=Reason.no_speech)


def test_one_drawn_out_word_makes_no_song() -> None:
    assert not scores.is_song({"pitch": _sung(0)})


def test_vibrato_is_not_taken_for_unsteadiness() -> None:
    vibrato = Vibrato(rate_hz=5.5, extent_cents=60, regularity=0.9, onset_delay_s=0.2)
    steady = _note(0, stability_cents=9)
    swinging = _note(2, start=1.0, stability_cents=45, vibrato=vibrato)
    pitch = Pitch(f0_hz=[440.0] * 190, confidence=[0.9] * 190, notes=[steady, swinging])

    found = score({"pitch": pitch}, Options())["pitch_stability"]

    assert found.value == pytest.approx((90 + 90 / 2) / 1.5, abs=2)
    assert found.uses == ["pitch.notes_unsteady_cents", "pitch.vibrato_regularity"]


def test_passing_and_gliding_notes_are_not_held() -> None:
    passing = _note(0, end_s=0.1)
    gliding = _note(0, stability_cents=120)

    assert scores.held_notes(Pitch(notes=[passing, gliding])) == []


def test_scores_and_feedback_never_load_torch() -> None:
    import subprocess

    code = "import sys, models.feedback; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
