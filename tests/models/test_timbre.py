"""The timbre engine: known voices, Praat's answers, and takes that cannot be measured."""

from typing import Any

import numpy as np
import pytest

from models.audio import Audio, Source
from models.engine import Options, Task
from models.results import Measure, Pitch, Reason, Timbre
from models.timbre import TimbreEngine
from models.voice_report import BANDWIDTHS, NOISE, PERTURBATIONS, RESONANCES
from tests import praat
from tests.signals import join, noise, silence
from training import synthesis
from training.synthesis import Sung, Voice

ENGINE = TimbreEngine.load()
RATE = 16_000


def task(audio: Audio, f0_hz: Any, options: Options | None = None) -> Task:  # noqa: ANN401
    hz = [float(f) if f > 0 else None for f in f0_hz]
    pitch = Pitch(f0_hz=hz, confidence=[1.0] * len(hz))
    return Task(audio, {"pitch": pitch}, options or Options())


def heard(audio: Audio, f0_hz: Any) -> Timbre:  # noqa: ANN401
    (result,) = ENGINE.analyze_batch([task(audio, f0_hz)])
    assert isinstance(result, Timbre)
    return result


def voice(seconds: float = 1.5, hz: float = 180.0, **how: Any) -> Sung:  # noqa: ANN401
    return synthesis.sing(synthesis.contour(seconds, hz), Voice(**how))


def close(mine: Measure, other: Measure) -> bool:
    """Within 0.5 % or, for decibels, 0.1."""
    apart = abs(mine.value - other.value)
    return apart <= 0.005 * abs(other.value) or (mine.unit.startswith("dB") and apart <= 0.1)


def test_measures_of_real_speech_are_praats() -> None:
    takes = praat.clips(4, 4.0)

    ours = ENGINE.analyze_batch([praat.task(samples) for samples in takes])

    theirs = [praat.report(samples) for samples in takes]
    for name in ("jitter_local", "jitter_rap", "shimmer_local", "shimmer_apq5"):
        mine = np.array([result.measures[name].value for result in ours])
        peer = np.array([report[name] for report in theirs])
        assert np.median(np.abs(mine / peer - 1)) < 0.05
        assert np.corrcoef(mine, peer)[0, 1] > 0.97


def test_a_breathy_voice_is_noisier_than_a_clear_one() -> None:
    clear, breathy = voice(), voice(noise_db=-10.0)

    a, b = heard(clear.audio, clear.f0_hz), heard(breathy.audio, breathy.f0_hz)

    for name in NOISE:
        assert a.measures[name].value > b.measures[name].value + 3
    assert a.measures["breathiness"].value < b.measures["breathiness"].value


def test_a_perturbed_voice_is_rougher() -> None:
    steady, rough = voice(), voice(jitter=0.03, shimmer=0.15)

    a, b = heard(steady.audio, steady.f0_hz), heard(rough.audio, rough.f0_hz)

    assert a.measures["roughness"].value < b.measures["roughness"].value


def test_formants_lie_where_the_tract_was_tuned() -> None:
    sung = voice(hz=110)

    result = heard(sung.audio, sung.f0_hz)

    for name, (hz, _) in zip(RESONANCES, synthesis.VOWEL_A, strict=False):
        assert result.measures[name].value == pytest.approx(hz, rel=0.06)
    for name, (_, width) in zip(BANDWIDTHS, synthesis.VOWEL_A, strict=False):
        assert 0.3 * width < result.measures[name].value < 3 * width


@pytest.mark.parametrize("change", ["gain", "polarity", "dc", "silence"])
def test_what_is_not_the_voice_changes_nothing(change: str) -> None:
    sung = voice(jitter=0.01, shimmer=0.05, noise_db=-25.0)
    samples, f0 = sung.audio.samples, sung.f0_hz
    before = heard(sung.audio, f0)

    changed = {"gain": samples * 0.01, "polarity": -samples, "dc": samples * 0.9 + np.float32(0.1)}
    audio = Audio(changed.get(change, samples), RATE)
    if change == "silence":
        audio, f0 = join(silence(1.0), sung.audio, silence(1.0)), np.pad(f0, (100, 101))
    after = heard(audio, f0)

    assert before.measures.keys() == after.measures.keys()
    loudness = {"intensity_db"} if change in ("gain", "dc") else set()
    same = after.measures.keys() - loudness
    bad = [k for k in same if not close(after.measures[k], before.measures[k])]
    assert bad == []


def test_batch_mates_and_padding_change_nothing() -> None:
    takes = [voice(0.7, 110), voice(3.0, 300, jitter=0.01), voice(1.3, 200, noise_db=-20.0)]
    tasks = [task(sung.audio, sung.f0_hz) for sung in takes]
    tasks += [task(silence(2.0), np.zeros(201)), task(silence(0.05), np.zeros(6))]

    together = ENGINE.analyze_batch(tasks)

    for one, result in zip(tasks, together, strict=True):
        (alone,) = ENGINE.analyze_batch([one])
        assert alone.measures.keys() == result.measures.keys()
        for name, measure in alone.measures.items():
            assert result.measures[name].value == pytest.approx(measure.value, rel=1e-5, abs=1e-7)
        assert alone.absent == result.absent


def test_frames_are_given_where_the_voice_is() -> None:
    sung = voice(1.0)
    f0 = np.pad(sung.f0_hz, (50, 51))

    result = heard(join(silence(0.5), sung.audio, silence(0.5)), f0)

    for frames in (result.f1_hz, result.f2_hz, result.f3_hz, result.f4_hz, result.hnr_db):
        assert len(frames) == len(f0)
        assert all(value is None for value, hz in zip(frames, f0, strict=True) if hz == 0)
        assert sum(value is not None for value in frames) > 90


def test_too_little_voice_is_said_so() -> None:
    sung = voice(0.4)

    result = heard(join(sung.audio, silence(1.0)), np.pad(sung.f0_hz, (0, 101)))

    assert result.absent is not None
    assert result.absent.reason is Reason.insufficient_voiced_audio


def test_a_clipped_voice_keeps_only_its_formants() -> None:
    sung = voice()
    audio = Audio(sung.audio.samples, RATE, Source(clipped_fraction=0.03))

    result = heard(audio, sung.f0_hz)

    assert set(result.measures) == set(RESONANCES)
    assert {absence.reason for absence in result.absences.values()} == {Reason.clipped}
    assert result.ltas_db == []


def test_perturbation_is_not_read_out_of_noise() -> None:
    sung = voice()
    audio = join(silence(0.5), sung.audio, silence(0.5))
    loud = noise(audio.seconds, level=0.08).samples
    noisy = Audio(audio.samples + loud[: len(audio.samples)], RATE)

    result = heard(noisy, np.pad(sung.f0_hz, (50, 51)))

    assert all(result.absences[name].reason is Reason.low_snr for name in PERTURBATIONS)
    assert "f1_hz" in result.measures


@pytest.mark.parametrize("hz", [0.0, 50.0, 400.0, 1300.0])
@pytest.mark.parametrize("seconds", [0.0, 1 / RATE, 0.2, 0.7])
def test_no_take_raises(hz: float, seconds: float) -> None:
    for audio in (silence(seconds), noise(seconds), Audio(noise(seconds).samples * 0 + 0.3, RATE)):
        f0 = np.full(len(audio.samples) // 160 + 1, hz)
        assert ENGINE.analyze_batch([task(audio, f0)])
    assert ENGINE.analyze_batch([]) == []


def test_the_voice_option_sets_the_formant_ceiling() -> None:
    sung = voice(0.6, 250)

    (result,) = ENGINE.analyze_batch([task(sung.audio, sung.f0_hz, Options(voice="child"))])

    assert result.conditions["formant_ceiling_hz"] == 8000
