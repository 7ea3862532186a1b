"""Where somebody speaks or sings, on sounds whose truth is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models import activity, mel
from models.activity import ActivityEngine
from models.audio import Audio
from models.engine import Task
from models.results import Activity, Reason
from tests import signals
from training import synthesis

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "small_asr" / "audio"


@pytest.fixture(scope="module")
def engine() -> ActivityEngine:
    return ActivityEngine.load()


@pytest.fixture(scope="module")
def phrase() -> Audio:
    """Rest 0.5, note 1.0, rest 0.6, note 1.0, rest 0.4 s."""
    line = [
        synthesis.rest(0.5),
        synthesis.contour(1.0, 220),
        synthesis.rest(0.6),
        synthesis.contour(1.0, 330, vibrato_hz=5.5, vibrato_cents=50),
        synthesis.rest(0.4),
    ]
    return synthesis.sing(np.concatenate(line)).audio


def heard(engine: ActivityEngine, *takes: Audio) -> list[Activity]:
    answers = engine.analyze_batch([Task(take) for take in takes])
    return [answer for answer in answers if isinstance(answer, Activity)]


def reason(engine: ActivityEngine, take: Audio) -> Reason | None:
    [answer] = heard(engine, take)
    return answer.absent.reason if answer.absent else None


def hum(seconds: float = 2.0) -> Audio:
    parts = [signals.tone(50.0 * k, seconds, level=0.2 / k).samples for k in range(1, 8)]
    return Audio(np.sum(parts, axis=0, dtype=np.float32), signals.RATE)


def test_notes_are_found_where_they_are_sung(engine: ActivityEngine, phrase: Audio) -> None:
    [found] = heard(engine, phrase)

    assert np.allclose(found.speech_s, [(0.5, 1.5), (2.1, 3.1)], atol=0.05)


def test_a_pause_is_the_gap_between(engine: ActivityEngine, phrase: Audio) -> None:
    [found] = heard(engine, phrase)

    assert np.allclose(found.pauses_s, [(1.5, 2.1)], atol=0.05)
    assert found.measures["pause_count"].value == 1
    assert found.measures["speech_s"].value == pytest.approx(2.0, abs=0.08)
    assert found.measures["speech_fraction"].value == pytest.approx(2.0 / 3.5, abs=0.03)


@pytest.mark.parametrize("hz", [90.0, 180.0, 350.0, 600.0])
def test_a_held_vowel_is_voice_from_end_to_end(engine: ActivityEngine, hz: float) -> None:
    note = synthesis.sing(synthesis.contour(6.0, hz)).audio

    [found] = heard(engine, note)

    assert found.measures["speech_fraction"].value > 0.97


@pytest.mark.parametrize(
    "take",
    [
        signals.noise(3.0),
        signals.noise(1.0, seed=3),
        hum(),
        signals.tone(1000.0, 2.0),
        signals.tone(300.0, 2.0),
    ],
    ids=["noise", "short noise", "hum", "tone", "low tone"],
)
def test_what_is_no_voice_is_no_speech(engine: ActivityEngine, take: Audio) -> None:
    assert reason(engine, take) is Reason.no_speech


def test_silence_is_silence_at_any_offset(engine: ActivityEngine) -> None:
    offset = Audio(np.full(32_000, 0.1, np.float32), signals.RATE)

    assert reason(engine, signals.silence(2.0)) is Reason.silence
    assert reason(engine, offset) is Reason.silence


@pytest.mark.parametrize("samples", [0, 1, 4000])
def test_a_take_can_be_too_short(engine: ActivityEngine, samples: int) -> None:
    take = Audio(np.full(samples, 0.3, np.float32), signals.RATE)

    assert reason(engine, take) is Reason.too_short


def test_gain_polarity_and_offset_change_nothing(engine: ActivityEngine, phrase: Audio) -> None:
    x = phrase.samples
    takes = [Audio(np.float32(a) * x + np.float32(b), 16_000) for a, b in CHANGES]

    first, *others = heard(engine, phrase, *takes)

    assert all(np.allclose(other.speech_s, first.speech_s, atol=0.011) for other in others)


CHANGES = [(0.01, 0.0), (1.9, 0.0), (-1.0, 0.0), (1.0, 0.1)]


def test_leading_silence_moves_the_times_and_nothing_else(
    engine: ActivityEngine, phrase: Audio
) -> None:
    later = signals.join(signals.silence(1.0), phrase)

    first, moved = heard(engine, phrase, later)

    assert np.allclose(np.array(moved.speech_s) - 1, first.speech_s, atol=0.011)


def test_batch_mates_change_nothing(engine: ActivityEngine, phrase: Audio) -> None:
    short = Audio(phrase.samples[8000:20_000], phrase.sample_rate)
    takes = [short, signals.silence(0.05), phrase, signals.noise(2.0), signals.silence(5.0)]

    together = heard(engine, *takes)

    for take, answer in zip(takes, together, strict=True):
        [alone] = heard(engine, take)
        assert alone.speech_s == answer.speech_s
        assert alone.absent == answer.absent
        for name, measure in alone.measures.items():
            assert math.isclose(measure.value, answer.measures[name].value, rel_tol=1e-5)
            assert measure.confidence == pytest.approx(answer.measures[name].confidence, rel=1e-5)


def test_long_takes_are_worked_off_without_seams(engine: ActivityEngine) -> None:
    rng = np.random.default_rng(0)
    power = torch.from_numpy(rng.exponential(1e-3, (1, 40, 9000)).astype(np.float32))
    counts = torch.tensor([9000])

    pieces = activity.posterior(engine.network, power, counts)
    level = mel.reference(power)
    with torch.inference_mode():
        levels = mel.relative_db(power, level, activity.FLOOR_DB)
        whole = torch.sigmoid(engine.network(levels, counts))

    assert torch.allclose(pieces, whole, atol=1e-6)


def test_evidence_is_joined_to_no_more_than_sixty_spans() -> None:
    many = [(float(i), i + 0.5 + 0.004 * (i % 7)) for i in range(200)]

    few = activity.merged(many)

    assert len(few) == 60
    assert (few[0][0], few[-1][1]) == (many[0][0], many[-1][1])
    assert activity.merged([]) == []


def test_read_speech_stands_out_of_white_noise(engine: ActivityEngine) -> None:
    path = CORPUS / "librivox_0880.flac"
    if not path.exists():
        pytest.skip("the recordings of ../shared/data are not here")
    samples, rate = soundfile.read(path, dtype="float32")
    hiss = signals.noise(len(samples) / rate).samples
    clean = Audio(samples, rate)
    noisy = Audio(samples + hiss * float(samples.std() / hiss.std()) * 10**-0.5, rate)  # 10 dB

    first, second = heard(engine, clean, noisy)

    assert first.measures["speech_s"].value == pytest.approx(2.4, abs=0.3)
    assert second.measures["speech_s"].value == pytest.approx(
        first.measures["speech_s"].value, rel=0.15
    )
