"""The clarity engine: planted conditions are found, and nothing is made up where nobody speaks."""

import functools
from typing import Any

import numpy as np
import pytest
from scipy.signal import fftconvolve

from models.audio import Audio, Source
from models.clarity import SPOKEN, ClarityEngine
from models.engine import Options, Task
from models.results import (
    Activity,
    FamilyResult,
    Pitch,
    Reason,
    Segment,
    Span,
    Timbre,
    Transcript,
    Word,
    absent,
)
from models.timbre import TimbreEngine
from models.weights import WeightsUnavailable
from tests.signals import join, noise, silence, tone
from training import rooms, synthesis
from training.evaluation.clarity import LADDERS
from training.planting import FULL_HZ, Clean, Plan, plant
from training.synthesis import Voice

ENGINE, TIMBRE = ClarityEngine.load(), TimbreEngine.load()
RATE = 16_000
CORNERS = (
    ((300, 60), (2300, 90), (3000, 150), (3600, 150), (4500, 200)),
    ((750, 80), (1200, 90), (2500, 120), (3400, 150), (4500, 200)),
    ((320, 60), (800, 80), (2300, 120), (3400, 150), (4500, 200)),
)


@functools.cache
def spoken(spread: float = 1.0) -> tuple[Audio, np.ndarray[Any, np.dtype[np.float64]], list[Span]]:
    """Nine vowels with pauses; `spread` moves them towards their middle."""
    middle = np.mean(CORNERS, axis=0)
    parts, f0, spans, now = [silence(0.3)], [np.zeros(30)], [], 0.3
    for vowel in CORNERS * 3:
        tract = tuple((float(f), float(b)) for f, b in middle + spread * (np.array(vowel) - middle))
        sung = synthesis.sing(synthesis.contour(0.4, 110), Voice(formants=tract))
        parts += [sung.audio, silence(0.3)]
        f0 += [sung.f0_hz, np.zeros(30)]
        spans.append((now, now + 0.4))
        now += 0.7
    return join(*parts), np.concatenate([*f0, [0.0]]), spans


def task(audio: Audio, f0: Any, spans: list[Span], **more: FamilyResult) -> Task:  # noqa: ANN401
    hz = [float(f) if f > 0 else None for f in f0]
    pitch = Pitch(f0_hz=hz, confidence=[1.0] * len(hz))
    (timbre,) = TIMBRE.analyze_batch([Task(audio, {"pitch": pitch})])
    needs = {"activity": Activity(speech_s=spans), "pitch": pitch, "timbre": timbre, **more}
    return Task(audio, needs)  # type: ignore[arg-type]


def heard(one: Task) -> FamilyResult:
    (result,) = ENGINE.analyze_batch([one])
    return result


def recorded(samples: Any, lead: int = 0) -> FamilyResult:  # noqa: ANN401
    """The spoken vowels after some change, `lead` frames late; formants are not asked for."""
    _, f0, spans = spoken()
    f0 = np.concatenate([np.zeros(lead), f0])
    pitch = Pitch(f0_hz=[float(f) if f > 0 else None for f in f0], confidence=[1.0] * len(f0))
    late = [(start + 0.01 * lead, end + 0.01 * lead) for start, end in spans]
    unasked = absent("timbre", Reason.not_requested)
    needs = {"activity": Activity(speech_s=late), "pitch": pitch, "timbre": unasked}
    return heard(Task(Audio(samples.astype(np.float32), RATE), needs))  # type: ignore[arg-type]


def changed(by: Any) -> FamilyResult:  # noqa: ANN401
    return recorded(by(spoken()[0].samples.astype(np.float64)))


def flags(result: FamilyResult) -> str:
    return str(result.conditions["quality_flags"])


@pytest.mark.parametrize("snr", [5.0, 15.0, 30.0])
def test_planted_noise_is_measured(snr: float) -> None:
    audio, f0, _ = spoken()
    loud = np.mean(audio.samples[np.repeat(f0[:-1] > 0, 160)] ** 2)
    hiss = noise(audio.seconds, 1.0).samples * np.sqrt(loud) * 10 ** (-snr / 20)

    result = changed(lambda x: x + hiss[: len(x)])

    assert result.measures["snr_db"].value == pytest.approx(snr, abs=1.0)
    assert ("low_snr" in flags(result)) == (snr < 10)


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_mains_hum_is_found_on_its_comb(mains: float) -> None:
    t = np.arange(10 * RATE) / RATE
    lines = [0.02 * np.sin(2 * np.pi * mains * k * t + k) for k in (1, 2, 3, 5)]
    buzz = np.sum(lines, axis=0)

    result = changed(lambda x: x + buzz[: len(x)])

    assert result.conditions["hum_mains_hz"] == mains
    assert "hum" in flags(result)
    assert flags(changed(lambda x: x)) == ""


@pytest.mark.parametrize("db", [-35.0, -20.0, -5.0])
def test_the_level_of_planted_hum_is_measured(db: float) -> None:
    voice = Clean(spoken()[0].samples, 0.0, FULL_HZ, made=True)

    result = recorded(plant(voice, Plan(hum_db=db, seed=2)).samples)

    assert result.measures["hum_db"].value == pytest.approx(db, abs=3.0)


def test_clipping_offset_and_a_narrow_band_are_flagged() -> None:
    clipped = changed(lambda x: np.clip(4 * x, -0.5, 0.5))
    offset = changed(lambda x: x + 0.1)

    assert clipped.measures["clipped_fraction"].value > 0.02
    assert "clipped" in flags(clipped)
    assert offset.measures["dc_offset"].value == pytest.approx(0.1, abs=0.005)
    assert "dc_offset" in flags(offset)


def test_a_telephone_band_is_measured() -> None:
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(3 * RATE))
    spectrum[np.fft.rfftfreq(3 * RATE, 1 / RATE) > 3400] = 0
    audio = Audio(np.fft.irfft(spectrum).astype(np.float32) * 0.1, RATE)

    result = heard(task(audio, np.zeros(301), [(0.5, 2.5)]))

    assert result.measures["bandwidth_hz"].value == pytest.approx(3400, abs=200)
    assert "narrow_band" in flags(result)


def test_the_source_cannot_hold_more_than_half_its_rate() -> None:
    hiss = noise(1.0)
    audio = Audio(hiss.samples, RATE, Source(sample_rate=8000))

    assert heard(task(audio, np.zeros(101), [])).measures["bandwidth_hz"].value == 4000


def test_a_wider_vowel_space_is_larger() -> None:
    wide, narrow = (heard(task(*spoken(spread))) for spread in (1.0, 0.5))

    for name in ("vowel_space_area_bark2", "vowel_articulation_index"):
        assert wide.measures[name].value > narrow.measures[name].value


def test_a_reverberant_room_dies_away_longer() -> None:
    rng = np.random.default_rng(0)
    times = []
    for seconds in (0.3, 1.2):
        length = int(seconds * RATE)
        decay = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
        room = 0.5 * decay / np.linalg.norm(decay)
        room[0] = 1.0
        times.append(changed(lambda x, room=room: fftconvolve(x, room)[: len(x)] / 4))
    dry, wet = (result.measures["t60_s"].value for result in times)
    assert wet > 1.5 * dry


def test_noise_makes_a_recording_less_intelligible() -> None:
    hiss = noise(10.0, 0.2).samples
    clean, noisy = changed(lambda x: x), changed(lambda x: x + hiss[: len(x)])

    name = "intelligible_recording"
    assert clean.measures[name].value > noisy.measures[name].value + 20


@pytest.mark.parametrize("ladder", [name for name in LADDERS if "babble" not in name])
def test_more_of_a_degradation_never_makes_a_recording_clearer(ladder: str) -> None:
    voice = Clean(spoken()[0].samples, 0.0, FULL_HZ, made=True)
    values = [
        recorded(plant(voice, plan).samples).measures["intelligible_recording"].value
        for plan in LADDERS[ladder]
    ]

    assert np.max(np.diff(values)) < 1.0  # of 100
    assert ladder == "hum" or values[-1] < values[0] - 5


CHANGES: dict[str, tuple[Any, int]] = {
    "quiet": (lambda x: 0.01 * x, 0),
    "loud": (lambda x: 10 * x, 0),
    "polarity": (lambda x: -x, 0),
    "offset": (lambda x: x + 0.1, 0),
    "silence around": (lambda x: np.concatenate([np.zeros(RATE), x, np.zeros(RATE)]), 100),
}


@pytest.mark.parametrize("change", CHANGES)
def test_level_offset_and_silence_around_change_nothing(change: str) -> None:
    audio, _, _ = spoken()
    room = rooms.Design(0.5, 1.0, 0.0, 1).built.response
    take = fftconvolve(audio.samples, room)[: len(audio.samples)]
    take = 0.05 * (take + noise(audio.seconds, 0.02).samples[: len(take)])
    by, lead = CHANGES[change]

    before, after = recorded(take), recorded(by(take), lead)

    for name in ("snr_db", "c50_db", "hum_db", "snr_wada_db"):
        assert after.measures[name].value == pytest.approx(before.measures[name].value, abs=0.1)
    for name in ("t60_s", "bandwidth_hz", "intelligible_recording"):
        assert after.measures[name].value == pytest.approx(before.measures[name].value, rel=5e-3)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0])
def test_planted_rooms_are_timed(seconds: float) -> None:
    voice = Clean(spoken()[0].samples, 0.0, FULL_HZ, made=True)

    said = recorded(plant(voice, Plan(room=rooms.Design(seconds, 2.0, 0.0, 4))).samples)

    measure = said.measures["t60_s"]
    assert measure.value == pytest.approx(seconds, rel=0.4)
    assert measure.standard_error is not None
    assert said.measures["c50_db"].unit == "dB"


def test_weights_that_are_not_there_are_said_to_be_unavailable() -> None:
    with pytest.raises(WeightsUnavailable):
        ClarityEngine.load("0")
    assert ENGINE.version.licence == "Apache-2.0"


def test_where_nobody_speaks_only_the_recording_is_described() -> None:
    result = heard(task(noise(2.0), np.zeros(201), []))

    assert result.absent is None
    assert "bandwidth_hz" in result.measures
    for name in (*SPOKEN, "snr_db", "intelligible_recording"):
        assert result.absences[name].reason is Reason.no_speech


def test_two_voices_far_apart_are_flagged() -> None:
    low, high = (synthesis.sing(synthesis.contour(1.5, hz)) for hz in (110, 230))
    f0 = np.concatenate([low.f0_hz, high.f0_hz, [0.0]])

    assert "two_voices" in flags(heard(task(join(low.audio, high.audio), f0, [(0.0, 3.0)])))
    assert "two_voices" not in flags(changed(lambda x: x))


def said(*words: str) -> Transcript:
    spans = [(0.5 * i, 0.5 * i + 0.4) for i in range(len(words))]
    found = [
        Word(word=w, start_s=a, end_s=b, probability=0.9)
        for w, (a, b) in zip(words, spans, strict=True)
    ]
    text = " ".join(words)
    segment = Segment(
        start_s=0.0,
        end_s=3.0,
        text=text,
        average_logprob=-0.1,
        no_speech_probability=0.0,
        temperature=0.0,
        words=found,
    )
    return Transcript(text=text, segments=[segment])


def test_words_are_judged_where_there_is_a_transcript() -> None:
    audio, f0, spans = spoken()
    one = task(audio, f0, spans, transcript=said("The", "cat", "sat", "up."))
    prompted = Task(one.audio, one.needs, Options(prompt="the cat sat down"))

    result = heard(prompted)

    assert result.measures["word_confidence"].value == pytest.approx(0.9)
    assert result.measures["word_accuracy"].value == pytest.approx(0.75)
    assert heard(one).absences["word_accuracy"].reason is Reason.not_requested
    unasked = heard(task(audio, f0, spans)).absences["word_confidence"]
    assert unasked.reason is Reason.not_requested
    missing = absent("transcript", Reason.model_unavailable)
    failed = heard(task(audio, f0, spans, transcript=missing)).absences["word_confidence"]
    assert failed.reason is Reason.model_unavailable


@pytest.mark.parametrize("seconds", [0.0, 1 / RATE, 0.1, 0.4, 2.0])
def test_no_take_raises(seconds: float) -> None:
    for audio in (silence(seconds), noise(seconds), tone(440, seconds), tone(50, seconds)):
        count = len(audio.samples) // 160 + 1
        for hz, spans in ((0.0, []), (50.0, [(0.0, seconds)]), (440.0, [(0.0, seconds)])):
            result = heard(task(audio, np.full(count, hz), list(spans)))
            assert result.absent is not None or "clipped_fraction" in result.measures


def test_silence_and_absent_needs_are_answered() -> None:
    quiet = heard(task(silence(1.0), np.zeros(101), []))
    assert quiet.absent is not None
    assert quiet.absent.reason is Reason.silence

    needs = {f: absent(f, Reason.failed) for f in ("activity", "pitch", "timbre")}
    result = heard(Task(noise(1.0), needs))  # type: ignore[arg-type]
    assert isinstance(needs["timbre"], Timbre)
    assert "bandwidth_hz" in result.measures


def test_batch_mates_change_nothing() -> None:
    tasks = [
        task(*spoken()),
        task(noise(0.5), np.zeros(51), []),
        task(silence(), np.zeros(101), []),
    ]

    assert ENGINE.analyze_batch(tasks) == [heard(one) for one in tasks]
