"""Loudness: EBU Tech 3341 and 3342 cases at 16 kHz, and what must not move it."""

import numpy as np
import pytest
import torch

from models import loudness
from models.audio import Audio
from models.loudness import Loudness
from models.spectra import batch
from tests import signals


def _measure(*takes: Audio) -> list[Loudness]:
    return loudness.measure(*batch(takes))


def _level(dbfs: float) -> float:
    return float(10 ** (dbfs / 20))


def test_a_full_scale_sine_at_997_hz_reads_minus_three() -> None:
    [found] = _measure(signals.tone(997, 5, level=1.0))

    assert found.integrated_lufs() == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("dbfs", [-23.0, -33.0])
def test_a_steady_tone_reads_alike_on_all_three_meters(dbfs: float) -> None:
    [found] = _measure(signals.tone(1000, 20, level=_level(dbfs)))

    expected = dbfs - 3.01
    assert found.integrated_lufs() == pytest.approx(expected, abs=0.1)
    assert found.short_term_lufs() == pytest.approx(expected, abs=0.1)
    assert found.momentary_lufs()[2:-2] == pytest.approx(expected, abs=0.1)


def test_quiet_passages_are_gated_out_of_the_integrated_loudness() -> None:
    quiet, loud = (signals.tone(1000, s, level=_level(d)) for s, d in ((10, -36.0), (60, -23.0)))

    [found] = _measure(signals.join(quiet, loud, quiet))

    assert found.integrated_lufs() == pytest.approx(-26.01, abs=0.1)


@pytest.mark.parametrize(("first", "second", "expected"), [(-20, -30, 10), (-20, -15, 5)])
def test_the_loudness_range_is_that_of_ebu_tech_3342(
    first: float, second: float, expected: float
) -> None:
    parts = [signals.tone(1000, 20, level=_level(d)) for d in (first, second)]

    [found] = _measure(signals.join(*parts))

    assert found.range_lu() == pytest.approx(expected, abs=1.0)


def test_low_rumble_weighs_little_and_high_tones_weigh_more() -> None:
    low, middle, high = _measure(*(signals.tone(hz, 3) for hz in (30, 500, 4000)))

    assert _integrated(low) < _integrated(middle) - 8
    assert _integrated(high) == pytest.approx(_integrated(middle) + 4, abs=0.6)


def _integrated(found: Loudness) -> float:
    level = found.integrated_lufs()
    assert level is not None
    return level


def test_a_constant_offset_and_polarity_change_nothing() -> None:
    take = signals.noise(3)
    offset = Audio(take.samples + np.float32(0.1), 16_000)
    upside_down = Audio(-take.samples, 16_000)

    plain, shifted, flipped = _measure(take, offset, upside_down)

    assert shifted.momentary_lufs() == pytest.approx(plain.momentary_lufs(), abs=0.01)
    assert flipped.momentary_lufs() == pytest.approx(plain.momentary_lufs(), abs=1e-5)


def test_leading_silence_only_shifts_the_frames() -> None:
    take = signals.noise(3)

    plain, late = _measure(take, signals.join(signals.silence(1), take))

    assert late.momentary_lufs()[10:] == pytest.approx(plain.momentary_lufs(), abs=1e-3)
    assert _integrated(late) == pytest.approx(_integrated(plain), abs=0.3)


def test_batch_mates_and_padding_change_nothing() -> None:
    takes = [
        signals.noise(4.321, seed=1),
        signals.silence(0.7),
        signals.tone(440, 0.05),
        signals.tone(440, 2.5),
    ]

    together = _measure(*takes)

    for take, found in zip(takes, together, strict=True):
        [alone] = _measure(take)
        assert found.energy == pytest.approx(alone.energy, rel=1e-5, abs=1e-15)


def test_silence_and_nothing_have_no_loudness() -> None:
    for found in _measure(signals.silence(5), signals.silence(0), signals.silence(1 / 16_000)):
        assert found.integrated_lufs() is None
        assert found.range_lu() is None


def test_an_empty_batch_is_an_empty_answer() -> None:
    assert loudness.measure(torch.zeros(0, 0), torch.zeros(0, dtype=torch.long)) == []
