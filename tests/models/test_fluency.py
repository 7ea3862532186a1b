"""Fluency: rates, runs and pauses of speech whose truth is known."""

import numpy as np
import pytest

from models.audio import Audio
from models.engine import Task
from models.fluency import FluencyEngine
from models.results import (
    Absence,
    Activity,
    Fluency,
    Note,
    Pitch,
    Reason,
    Segment,
    Transcript,
    Word,
    absent,
)
from tests import signals
from tests.spoken import Spoken, speak

ENGINE = FluencyEngine.load()


def _fluency(task: Task) -> Fluency:
    [result] = ENGINE.analyze_batch([task])
    assert isinstance(result, Fluency)
    return result


def _values(task: Task) -> dict[str, float]:
    return {name: measure.value for name, measure in _fluency(task).measures.items()}


def _transcript(*words: str, language: str = "en") -> Transcript:
    spoken = [
        Word(word=f" {word}", start_s=i * 0.3, end_s=i * 0.3 + 0.25, probability=0.9)
        for i, word in enumerate(words)
    ]
    segment = Segment(
        start_s=0,
        end_s=len(words) * 0.3,
        text=" ".join(words),
        average_logprob=-0.1,
        no_speech_probability=0.01,
        temperature=0,
        words=spoken,
    )
    return Transcript(text=segment.text, language=language, segments=[segment])


def test_rates_of_a_known_train_are_exact() -> None:
    take = speak([8, 12, 4], rate=4, pause_s=0.5)  # 6 s of speech, 1 s of pauses

    found = _values(take.task())

    assert found["articulation_rate_sps"] == pytest.approx(4.0, rel=0.01)
    assert found["speech_rate_sps"] == pytest.approx(24 / 7, rel=0.01)
    assert found["phonation_ratio"] == pytest.approx(6 / 7, rel=0.01)
    assert found["mean_length_of_run"] == pytest.approx(8.0)
    assert found["pauses_per_minute"] == pytest.approx(2 / 7 * 60, rel=0.01)
    assert found["pause_mean_s"] == pytest.approx(0.5, rel=0.01)


def test_a_gap_under_a_quarter_second_is_no_pause() -> None:
    take = speak([12, 12], rate=4, pause_s=0.2)

    found = _fluency(take.task())

    assert found.measures["pauses_per_minute"].value == 0
    assert found.absences["pause_mean_s"].reason is Reason.too_short


def test_one_sentence_is_too_short_to_count_its_pauses() -> None:
    found = _fluency(speak([8]).task())

    assert "articulation_rate_sps" in found.measures
    for name in ("pauses_per_minute", "mean_length_of_run"):
        assert found.absences[name].reason is Reason.too_short


def test_an_even_pace_varies_little_and_a_change_of_pace_shows() -> None:
    even = speak([16, 16, 16], rate=4, pause_s=0.3)
    slow, fast = speak([20], rate=2.5), speak([60], rate=6)
    changing = _after(slow, fast)

    assert _values(even.task())["pace_variation"] < 8
    assert _values(changing.task())["pace_variation"] > 20


def _after(first: Spoken, second: Spoken) -> Spoken:
    """Two takes as one."""
    at = round(first.audio.seconds, 2)
    frames = round(at * 100)
    f0 = (first.pitch.f0_hz + [None] * frames)[:frames] + second.pitch.f0_hz
    return Spoken(
        Audio(np.concatenate([first.audio.samples[: frames * 160], second.audio.samples]), 16_000),
        Pitch(f0_hz=f0, confidence=[0.9] * len(f0)),
        first.speech_s + [(start + at, end + at) for start, end in second.speech_s],
        np.concatenate([first.nuclei_s, second.nuclei_s + at]),
    )


def test_rates_carry_their_error_and_their_evidence() -> None:
    take = speak([8, 8])

    rate = _fluency(take.task()).measures["articulation_rate_sps"]

    assert rate.standard_error == pytest.approx(rate.value * 0.14, rel=0.2)
    assert np.array(rate.evidence_s) == pytest.approx(np.array(take.speech_s))


def test_words_are_absent_as_not_requested_without_a_transcript() -> None:
    found = _fluency(speak([8]).task())

    for name in ("words_per_minute", "filler_rate", "repetition_rate"):
        assert found.absences[name].reason is Reason.not_requested


def test_a_transcripts_own_absence_is_passed_on() -> None:
    silent = absent("transcript", Reason.model_unavailable, "No checkpoint.")

    found = _fluency(speak([8]).task({"transcript": silent}))

    expected = Absence(reason=Reason.model_unavailable, detail="No checkpoint.")
    assert found.absences["words_per_minute"] == expected


def test_fillers_and_repeats_are_counted_and_located() -> None:
    take = speak([24], rate=4)  # 6 s
    words = _transcript("I", "um", "I", "went", "to", "the", "to", "the", "Uh,", "shop")

    found = _fluency(take.task({"transcript": words})).measures

    assert found["words_per_minute"].value == pytest.approx(80, rel=0.01)
    assert found["filler_rate"].value == pytest.approx(20, rel=0.01)
    assert found["repetition_rate"].value == pytest.approx(30)  # I; to the
    assert found["filler_rate"].evidence_s[0] == pytest.approx((0.3, 0.55))
    assert (found["filler_rate"].confidence or 1) < 0.5


def test_um_is_a_word_in_german() -> None:
    words = _transcript("um", "neun", "ähm", "kommt", "er", language="de")

    found = _fluency(speak([24]).task({"transcript": words})).measures

    assert found["filler_rate"].value == pytest.approx(10, rel=0.01)


def test_a_held_vowel_beside_a_pause_is_a_filled_pause_with_low_confidence() -> None:
    take = speak([4, 1, 4], rate=4, pause_s=0.4)
    held = _after(speak([6], rate=4), _held())

    found = _fluency(held.task())

    assert len(found.filled_pauses_s) == 1
    assert found.measures["filled_pauses_per_minute"].confidence == 0.3
    assert _fluency(take.task()).filled_pauses_s == []


def _held() -> Spoken:
    """'Uh': one vowel of 0.8 s without any swell."""
    from training.synthesis import contour, rest, sing

    sung = sing(np.concatenate([rest(0.3), contour(0.8, 110), rest(0.3)]))
    f0 = [float(hz) if hz > 0 else None for hz in sung.f0_hz]
    return Spoken(
        sung.audio, Pitch(f0_hz=f0, confidence=[0.9] * len(f0)), [(0.3, 1.1)], np.array([0.7])
    )


def test_every_absence_says_why() -> None:
    quiet = Activity(absent=Absence(reason=Reason.silence, detail="Nothing heard."))
    nobody = Activity(speech_s=[])
    voiceless = Pitch(f0_hz=[None] * 200, confidence=[0.0] * 200)
    take = speak([8])

    def reason(task: Task) -> Reason | None:
        refusal = _fluency(task).absent
        return refusal.reason if refusal else None

    assert reason(take.task({"activity": quiet})) is Reason.silence
    assert reason(take.task({"activity": nobody})) is Reason.no_speech
    assert reason(take.task({"pitch": voiceless})) is Reason.no_syllables
    short = Task(signals.tone(200, 0.2), {"activity": nobody, "pitch": voiceless})
    assert reason(short) is Reason.too_short


@pytest.mark.parametrize("gain_db", [-40, 5])
def test_gain_polarity_and_offset_change_no_rate(gain_db: float) -> None:
    take = speak([8, 6, 9])
    turned = take.changed(lambda x: 0.1 - x * np.float32(10 ** (gain_db / 20)))

    assert _values(turned.task()) == pytest.approx(_values(take.task()), rel=0.005)


def test_batch_mates_and_padding_change_nothing() -> None:
    voiceless = Pitch(f0_hz=[None], confidence=[0.0])
    tasks = [
        speak([8, 6], rate=5).task(),
        Task(signals.silence(0.01), {"activity": Activity(), "pitch": voiceless}),
        Task(signals.silence(3), {"activity": Activity(), "pitch": voiceless}),
        speak([3]).task(),
    ]

    together = ENGINE.analyze_batch(tasks)

    assert together == [ENGINE.analyze_batch([task])[0] for task in tasks]


def test_an_empty_batch_is_an_empty_answer() -> None:
    assert ENGINE.analyze_batch([]) == []


def test_song_has_pauses_and_no_speech_rate() -> None:
    take = speak([12, 12], rate=2, pause_s=0.6)
    held = [_note(0.3 + i * 0.5 + (0.6 if i >= 12 else 0), 0.48) for i in range(24)]
    sung = take.pitch.model_copy(update={"notes": held})

    song, speech = _fluency(take.task({"pitch": sung})), _fluency(take.task())

    for name in ("speech_rate_sps", "articulation_rate_sps", "mean_length_of_run"):
        assert song.absences[name].reason is Reason.no_speech
        assert name in speech.measures
    assert song.measures["phonation_ratio"] == speech.measures["phonation_ratio"]
    assert song.measures["pause_mean_s"] == speech.measures["pause_mean_s"]
    assert song.filled_pauses_s == []


def _note(start_s: float, lasting_s: float) -> Note:
    return Note(
        start_s=start_s,
        end_s=start_s + lasting_s,
        name="B2",
        midi=47.0,
        f0_hz=123.5,
        cents=0.0,
        stability_cents=5.0,
        confidence=0.9,
    )


@pytest.mark.parametrize("seed", range(5))
def test_planted_fillers_and_repeats_are_recovered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = [f"word{i}" for i in range(30)]
    fillers, repeats = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    places = sorted(rng.choice(29, fillers + repeats, replace=False).tolist(), reverse=True)
    for index, place in enumerate(places):
        extra = str(rng.choice(["um", "Uh,", "erm..."])) if index < fillers else plain[place]
        plain.insert(place + 1, extra)

    found = _fluency(speak([24], rate=4).task({"transcript": _transcript(*plain)})).measures

    assert found["filler_rate"].value == pytest.approx(fillers * 10, rel=0.01)  # of 6 s
    assert found["repetition_rate"].value == pytest.approx(100 * repeats / len(plain), rel=0.01)
    assert found["words_per_minute"].value == pytest.approx((30 + repeats) * 10, rel=0.01)
