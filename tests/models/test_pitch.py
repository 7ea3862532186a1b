"""The pitch engine follows voices of every range; nothing but the voice changes its answer."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import decoding, spectra
from models.audio import ANALYSIS_RATE, Audio
from models.engine import Options, Task
from models.octaves import agreement
from models.pitch import AT_ONCE, PitchEngine
from models.pitchnet import MARGIN, levelled
from models.results import Pitch, Reason
from tests.signals import join, noise, silence, tone
from training.synthesis import Sung, Voice, contour, glide, rest, sing

VOICE = Voice(jitter=0.005, shimmer=0.03, noise_db=-30)


@pytest.fixture(scope="module")
def engine() -> PitchEngine:
    return PitchEngine.load()


@pytest.fixture(scope="module")
def sung() -> Sung:
    """Two seconds of melody with rests."""
    parts = [rest(0.2), contour(0.5, 220), glide(0.4, 220, 330), contour(0.5, 330), rest(0.4)]
    return sing(np.concatenate(parts), VOICE)


def hear(engine: PitchEngine, audio: Audio, options: Options | None = None) -> Pitch:
    [result] = engine.analyze_batch([Task(audio, options=options or Options())])
    assert isinstance(result, Pitch)
    return result


def hertz(result: Pitch) -> NDArray[np.float64]:
    return np.array([np.nan if hz is None else hz for hz in result.f0_hz])


def cents_off(result: Pitch, truth_hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Of the frames that both call voiced."""
    f0 = hertz(result)
    truth = np.broadcast_to(truth_hz, f0.shape) if np.ndim(truth_hz) == 0 else truth_hz
    shared = min(len(f0), len(np.asarray(truth)))
    f0, truth = f0[:shared], np.asarray(truth)[:shared]
    both = ~np.isnan(f0) & (truth > 0)
    return np.asarray(1200 * np.log2(f0[both] / truth[both]))


def assert_same(one: Pitch, other: Pitch, cents: float = 8.0) -> None:
    """The same voice: no frame's F0 moved by more, and hardly any frame's voicing."""
    a, b = hertz(one), hertz(other)
    both = ~np.isnan(a) & ~np.isnan(b)
    assert np.mean(np.isnan(a) != np.isnan(b)) < 0.01
    assert np.abs(1200 * np.log2(a[both] / b[both])).max() < cents


@pytest.mark.parametrize("hz", [60.0, 110.0, 200.0, 440.0, 880.0, 1300.0])
def test_a_sine_is_followed(engine: PitchEngine, hz: float) -> None:
    result = hear(engine, tone(hz, 1.0))

    assert result.measures["voiced_fraction"].value > 0.95
    nearest = 1 if hz > 150 else 2  # a few periods of a low sine leak into its negative frequency
    assert np.median(np.abs(cents_off(result, hz))) < nearest
    assert np.percentile(np.abs(cents_off(result, hz)), 90) < 25


@pytest.mark.parametrize("hz", [48.0, 60.0, 82.4, 131.0, 262.0, 523.0, 1047.0, 1300.0])
def test_a_voice_is_followed_from_bass_to_soprano(engine: PitchEngine, hz: float) -> None:
    result = hear(engine, sing(contour(1.0, hz), VOICE).audio)

    assert result.measures["voiced_fraction"].value > 0.9
    assert np.percentile(np.abs(cents_off(result, hz)), 95) < 40
    assert result.measures["f0_median_hz"].value == pytest.approx(hz, rel=0.01)


def test_a_melody_is_followed_and_its_rests_are_heard(engine: PitchEngine, sung: Sung) -> None:
    result = hear(engine, sung.audio)

    assert np.percentile(np.abs(cents_off(result, sung.f0_hz)), 95) < 40
    voiced = ~np.isnan(hertz(result))[: len(sung.f0_hz)]
    assert np.mean(voiced == (sung.f0_hz > 0)) > 0.94


def test_a_voice_in_noise_is_followed(engine: PitchEngine, sung: Sung) -> None:
    samples = sung.audio.samples
    hiss = noise(len(samples) / ANALYSIS_RATE, level=0.3 * float(np.std(samples))).samples
    noisy = Audio(samples + hiss[: len(samples)], ANALYSIS_RATE)

    result = hear(engine, noisy)

    assert np.percentile(np.abs(cents_off(result, sung.f0_hz)), 90) < 50


def test_notes_key_and_tuning_of_a_scale(engine: PitchEngine) -> None:
    steps = (0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0)
    hz = [261.63 * 2 ** (step / 12 + 20 / 1200) for step in steps]

    result = hear(engine, sing(np.concatenate([contour(0.3, f) for f in hz]), VOICE).audio)

    assert [note.name for note in result.notes] == (
        ["C4", "D4", "E4", "F4", "G4", "A4", "B4", "C5", "G4", "E4", "C4"]
    )
    assert result.conditions["key"] == "C major"
    assert result.measures["tuning_offset_cents"].value == pytest.approx(20, abs=8)


def test_a_different_a4_renames_nothing_but_the_cents(engine: PitchEngine) -> None:
    audio = sing(contour(1.0, 442.0), VOICE).audio

    [usual] = hear(engine, audio).notes
    [high] = hear(engine, audio, Options(a4_hz=442)).notes

    assert usual.name == high.name == "A4"
    assert usual.cents - high.cents == pytest.approx(7.85, abs=0.01)


def test_vibrato_is_measured(engine: PitchEngine) -> None:
    audio = sing(contour(2.0, 330, vibrato_hz=5.5, vibrato_cents=60), VOICE).audio

    result = hear(engine, audio)

    assert result.measures["vibrato_rate_hz"].value == pytest.approx(5.5, abs=0.15)
    assert result.measures["vibrato_extent_cents"].value == pytest.approx(60, rel=0.12)


def test_a_straight_note_has_no_vibrato_and_says_why(engine: PitchEngine) -> None:
    result = hear(engine, sing(contour(1.0, 330), VOICE).audio)

    assert "vibrato_rate_hz" not in result.measures
    assert result.absences["vibrato_rate_hz"].reason == Reason.insufficient_voiced_audio


@pytest.mark.parametrize("gain_db", [-40, -12, 20])
def test_gain_changes_nothing(engine: PitchEngine, sung: Sung, gain_db: float) -> None:
    louder = Audio(sung.audio.samples * np.float32(10 ** (gain_db / 20)), ANALYSIS_RATE)

    assert_same(hear(engine, sung.audio), hear(engine, louder), cents=0.1)


def test_polarity_and_dc_change_nothing(engine: PitchEngine, sung: Sung) -> None:
    usual = hear(engine, sung.audio)

    assert_same(usual, hear(engine, Audio(-sung.audio.samples, ANALYSIS_RATE)), cents=0.1)
    shifted = Audio(sung.audio.samples + np.float32(0.1), ANALYSIS_RATE)
    assert_same(usual, hear(engine, shifted), cents=0.5)


def test_silence_around_a_take_only_shifts_it(engine: PitchEngine, sung: Sung) -> None:
    usual = hear(engine, sung.audio)

    later = hear(engine, join(silence(1.0), sung.audio, silence(1.0)))

    shifted = replace_frames(later, 100, len(usual.f0_hz))
    assert_same(usual, shifted, cents=8.0)
    assert later.measures["f0_median_hz"].value == pytest.approx(
        usual.measures["f0_median_hz"].value, rel=0.005
    )


def replace_frames(result: Pitch, start: int, count: int) -> Pitch:
    return result.model_copy(update={"f0_hz": result.f0_hz[start : start + count]})


def test_alone_and_in_a_batch_are_the_same(engine: PitchEngine, sung: Sung) -> None:
    takes = [
        tone(200, 0.35),
        sung.audio,
        silence(1.0),
        sing(glide(6.0, 90, 400), VOICE).audio,
        tone(300, 0.05),
        noise(2.5),
    ]

    together = engine.analyze_batch([Task(take) for take in takes])

    for take, in_batch in zip(takes, together, strict=True):
        alone = hear(engine, take)
        assert isinstance(in_batch, Pitch)
        assert alone.absent == in_batch.absent
        np.testing.assert_allclose(hertz(alone), hertz(in_batch), rtol=1e-5)
        np.testing.assert_allclose(alone.confidence, in_batch.confidence, atol=1e-4)


@torch.inference_mode()
def test_pieces_give_what_one_pass_gives(
    engine: PitchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = [sing(glide(8.0, 70, 900), VOICE).audio, tone(300, 0.4), noise(0.9)]
    monkeypatch.setitem(AT_ONCE, "cpu", 150)
    level, _ = levelled(*spectra.batch(takes))
    counts = torch.tensor([len(take.samples) // spectra.HOP + 1 for take in takes])

    by_pieces = engine.candidates(level, counts)

    for row, count in enumerate(counts.tolist()):
        sound = level[row, : len(takes[row].samples)]
        padded = torch.nn.functional.pad(sound, (MARGIN, MARGIN))
        at_once = decoding.candidates(*engine.network(padded[None]))
        voicing, mass = by_pieces.voicing[row, :count], by_pieces.mass[row, :count]
        torch.testing.assert_close(voicing, at_once.voicing[0, :count], rtol=0, atol=2e-5)
        assert (by_pieces.mass[row, count:] == 0).all()
        strong = mass > 0.2
        there = at_once.bins[0, :count][strong]
        torch.testing.assert_close(by_pieces.bins[row, :count][strong], there, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("take", "reason"),
    [
        (silence(2.0), Reason.silence),
        (Audio(np.full(32000, 0.1, np.float32), 16000), Reason.silence),
        (tone(200, 0.2), Reason.too_short),
        (Audio(np.zeros(0, np.float32), 16000), Reason.too_short),
        (Audio(np.ones(1, np.float32), 16000), Reason.too_short),
    ],
    ids=["silence", "DC", "short", "nothing", "one sample"],
)
def test_what_cannot_be_measured_says_why(engine: PitchEngine, take: Audio, reason: Reason) -> None:
    result = hear(engine, take)

    assert result.absent is not None
    assert result.absent.reason == reason
    assert result.version == engine.version


def test_noise_is_no_voice(engine: PitchEngine) -> None:
    result = hear(engine, noise(3.0))

    assert result.measures["voiced_fraction"].value < 0.02
    assert "f0_median_hz" not in result.measures
    assert result.absences["f0_median_hz"].reason == Reason.insufficient_voiced_audio


def test_the_octave_guard_confirms_what_is_right_and_sees_what_is_wrong(sung: Sung) -> None:
    samples = torch.tensor(sung.audio.samples)
    voiced = sung.f0_hz > 0
    f0 = np.where(voiced, sung.f0_hz, 100.0)

    assert agreement(samples, f0, voiced) > 0.95
    assert agreement(samples, 2 * f0, voiced) < 0.2
    assert agreement(samples, f0 / 2, voiced) < 0.2


def test_frames_are_on_the_ten_millisecond_grid(engine: PitchEngine) -> None:
    result = hear(engine, join(silence(0.5), tone(220, 0.5), silence(0.5)))

    assert len(result.f0_hz) == len(result.confidence) == 151
    [(start, end)] = result.voiced_spans(0.05)
    assert start == pytest.approx(0.5, abs=0.05)
    assert end == pytest.approx(1.0, abs=0.05)


def test_any_sample_rate_is_heard_at_its_pitch(engine: PitchEngine) -> None:
    result = hear(engine, tone(440, 0.5, sample_rate=44_100))

    assert result.measures["f0_median_hz"].value == pytest.approx(440, rel=0.005)


def test_a_minute_is_small_on_the_wire(engine: PitchEngine) -> None:
    phrase = sing(np.concatenate([glide(1.3, 100, 200), rest(0.2), contour(1.5, 180)]), VOICE)
    samples = np.tile(phrase.audio.samples, 20)

    result = hear(engine, Audio(samples, ANALYSIS_RATE))

    assert len(result.f0_hz) == 6001
    assert len(json.dumps(result.model_dump(mode="json"))) < 120_000


def test_evidence_is_merged_over_its_smallest_gaps(engine: PitchEngine) -> None:
    calls = [join(tone(200, 0.1), silence(0.1 + 0.1 * (i % 2))) for i in range(80)]

    result = hear(engine, join(*calls))

    spans = result.measures["f0_median_hz"].evidence_s
    assert 35 <= len(spans) <= 60
    assert all(a[1] < b[0] for a, b in pairwise(spans))


def test_nobody_asked_is_nothing_answered(engine: PitchEngine) -> None:
    assert engine.analyze_batch([]) == []
