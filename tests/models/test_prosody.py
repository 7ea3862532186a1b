"""Prosody: melodies, loudness and rhythm whose truth is known."""

import numpy as np
import pytest

from models import melody
from models.audio import Audio
from models.engine import Task
from models.prosody import ProsodyEngine
from models.results import Absence, Activity, Family, FamilyResult, Pitch, Prosody, Reason
from tests import signals
from tests.spoken import Floats, Melody, Spoken, falling, level, speak

ENGINE = ProsodyEngine.load()


def _prosody(task: Task) -> Prosody:
    [result] = ENGINE.analyze_batch([task])
    assert isinstance(result, Prosody)
    return result


def _swinging(hz: float, semitones: float, per_s: float) -> Melody:
    """A sine of the given half-extent: as many accents as it has crests."""
    return lambda t: np.asarray(hz * 2 ** (semitones * np.sin(2 * np.pi * per_s * t) / 12))


def _ending(semitones_per_s: float) -> Melody:
    """Level, but for the last third of a second."""

    def tune(seconds: Floats) -> Floats:
        late = np.maximum(seconds - (seconds[-1] - 0.33), 0)
        return np.asarray(150 * 2 ** (semitones_per_s * late / 12))

    return tune


@pytest.mark.parametrize("slope", [-6.0, -2.0, 0.0, 3.0])
def test_declination_is_the_slope_of_every_phrase(slope: float) -> None:
    take = speak([8, 8, 8], melody=falling(150, slope))

    found = _prosody(take.task())

    assert found.measures["declination_semitones_per_s"].value == pytest.approx(slope, abs=0.05)
    assert [p.declination_semitones_per_s for p in found.phrases] == pytest.approx(
        [slope] * 3, abs=0.05
    )


def test_range_and_deviation_are_those_of_the_melody_whatever_the_voice() -> None:
    for hz in (90.0, 240.0):
        take = speak([16], melody=_swinging(hz, 4, 1.0))

        found = _prosody(take.task()).measures

        assert found["f0_sd_semitones"].value == pytest.approx(4 / 2**0.5, rel=0.02)
        assert found["f0_range_semitones"].value == pytest.approx(7.9, abs=0.1)


@pytest.mark.parametrize(("slope", "expected"), [(12, "rise"), (-12, "fall"), (1, "level")])
def test_the_end_of_a_phrase_rises_falls_or_stays(slope: float, expected: str) -> None:
    take = speak([6, 6, 6], melody=_ending(slope))

    found = _prosody(take.task())

    assert [phrase.final_movement for phrase in found.phrases] == [expected] * 3
    assert found.measures["final_rise_share"].value == (expected == "rise")


def test_accents_are_the_crests_of_the_melody() -> None:
    take = speak([24], rate=4, melody=_swinging(150, 3, 1.5))  # 6 s, 9 crests

    assert _prosody(take.task()).measures["accent_density"].value == pytest.approx(1.5, rel=0.05)


def test_a_monotone_has_no_accents_and_is_less_expressive_than_a_lively_melody() -> None:
    monotone, lively = speak([16]), speak([16], melody=_swinging(150, 6, 1.5))

    dull, alive = (_prosody(take.task()).measures for take in (monotone, lively))

    assert dull["accent_density"].value == 0
    assert dull["expressiveness"].value < 0.25
    assert alive["expressiveness"].value > dull["expressiveness"].value + 0.4


def test_the_stylised_contour_stays_within_a_semitone_of_every_frame() -> None:
    rng = np.random.default_rng(3)
    curve = np.cumsum(rng.standard_normal(400)) * 0.6
    curve[120:140] = curve[300:310] = np.nan

    stretches = melody.stylise(curve)

    assert len(stretches) == 3
    corners = np.array([corner for stretch in stretches for corner in stretch])
    heard = np.isfinite(curve)
    drawn = np.interp(np.arange(400) * 0.01, corners[:, 0], corners[:, 1])
    assert np.abs(drawn - curve)[heard].max() <= 1 + 1e-9
    assert len(corners) < heard.sum() / 3


def test_a_straight_glide_needs_two_corners() -> None:
    found = _prosody(speak([8], melody=falling(200, -4)).task())

    assert [len(stretch) for stretch in found.contour] == [2]


def test_loudness_slope_and_range_are_those_of_the_fade() -> None:
    take = speak([20], rate=5)  # 4 s
    fade = 10 ** (-3 * np.arange(len(take.audio.samples)) / 16_000 / 20)

    found = _prosody(take.changed(lambda x: x * fade.astype(np.float32)).task()).measures

    assert found["loudness_slope_db_per_s"].value == pytest.approx(-3, abs=0.4)
    assert found["loudness_range_db"].value == pytest.approx(0.9 * 4 * 3, abs=2)


def test_the_loudness_curve_has_a_frame_every_100_ms_and_null_in_silence() -> None:
    take = speak([8], rate=4)

    found = _prosody(take.task())

    assert len(found.loudness_lufs) == int(take.audio.seconds * 10) + 1
    loud = [at * found.hop_s for at, lufs in enumerate(found.loudness_lufs) if lufs is not None]
    assert min(loud) >= 0.1
    assert found.loudness_lufs[-1] is None


def test_even_syllables_have_a_low_npvi_and_uneven_ones_a_high_one() -> None:
    even = speak([20], rate=4)

    found = _prosody(even.task()).measures

    assert found["npvi_v"].value < 15
    assert found["npvi_v"].confidence == 0.4
    assert 10 < found["percent_v"].value < 90


@pytest.mark.parametrize("gain_db", [-40, 5])
def test_gain_polarity_and_offset_change_nothing_but_the_loudness_itself(gain_db: float) -> None:
    take = speak([8, 6, 9], melody=_swinging(140, 3, 1.1))
    turned = take.changed(lambda x: 0.1 - x * np.float32(10 ** (gain_db / 20)))

    before, after = (_prosody(each.task()).measures for each in (take, turned))

    for name in before.keys() & after.keys():
        if not name.endswith(("lufs", "lu")):
            assert after[name].value == pytest.approx(before[name].value, rel=0.005, abs=0.02)
    moved = after["loudness_integrated_lufs"].value - before["loudness_integrated_lufs"].value
    assert moved == pytest.approx(gain_db, abs=0.1)


def test_leading_silence_shifts_times_and_no_value() -> None:
    take = speak([8, 8], melody=falling(160, -3))
    late = Spoken(
        signals.join(signals.silence(1), take.audio),
        Pitch(
            f0_hz=[None] * 100 + take.pitch.f0_hz, confidence=[0.0] * 100 + take.pitch.confidence
        ),
        [(start + 1, end + 1) for start, end in take.speech_s],
        take.nuclei_s + 1,
    )

    before, after = _prosody(take.task()), _prosody(late.task())

    for name in before.measures.keys() - {"loudness_integrated_lufs"}:
        assert after.measures[name].value == pytest.approx(before.measures[name].value, rel=0.005)
    assert after.phrases[0].start_s == pytest.approx(before.phrases[0].start_s + 1)


def test_every_absence_says_why() -> None:
    take, voiceless = speak([8]), Pitch(f0_hz=[None] * 300, confidence=[0.0] * 300)
    quiet = Activity(absent=Absence(reason=Reason.silence))
    short = Task(signals.tone(200, 0.2), take.task().needs)

    def reason(task: Task) -> Reason | None:
        refusal = _prosody(task).absent
        return refusal.reason if refusal else None

    assert reason(take.task({"activity": quiet})) is Reason.silence
    assert reason(take.task({"activity": Activity()})) is Reason.no_speech
    assert reason(take.task({"pitch": voiceless})) is Reason.insufficient_voiced_audio
    assert reason(speak([3], rate=4).task()) is Reason.insufficient_voiced_audio
    assert reason(short) is Reason.too_short


def test_batch_mates_and_padding_change_nothing() -> None:
    nothing: dict[Family, FamilyResult] = {
        "activity": Activity(),
        "pitch": Pitch(f0_hz=[None], confidence=[0.0]),
    }
    tasks = [
        speak([8, 6], rate=5, melody=falling(180, -3)).task(),
        Task(signals.silence(0.01), nothing),
        Task(signals.silence(4), nothing),
        speak([6, 5], melody=level(210)).task(),
    ]

    together = ENGINE.analyze_batch(tasks)

    for task, found in zip(tasks, together, strict=True):
        [alone] = ENGINE.analyze_batch([task])
        assert found.absent == alone.absent
        assert _numbers(found) == pytest.approx(
            _numbers(alone), rel=1e-5, abs=1e-6
        )  # slopes near 0


def _numbers(result: object) -> dict[str, float]:
    assert isinstance(result, Prosody)
    return {name: measure.value for name, measure in result.measures.items()}


def test_a_minute_stays_small_on_the_wire() -> None:
    take = speak([20] * 10, rate=4, pause_s=0.9, melody=_swinging(150, 4, 1.3))

    found = _prosody(take.task())

    assert take.audio.seconds > 55
    assert len(found.model_dump_json()) < 40_000


def test_an_empty_batch_is_an_empty_answer() -> None:
    assert ENGINE.analyze_batch([]) == []


def test_unlikely_sounds_raise_nothing() -> None:
    for audio in (
        signals.noise(2),
        signals.silence(2),
        Audio(np.full(32_000, 0.1, np.float32), 16_000),
    ):
        pitch = Pitch(f0_hz=[150.0] * 201, confidence=[0.9] * 201)
        _prosody(Task(audio, {"activity": Activity(speech_s=[(0.0, 2.0)]), "pitch": pitch}))
