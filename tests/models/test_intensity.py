"""Intensity against Praat's curve, and against a level that is known."""

import numpy as np
import pytest
import torch

from models import intensity
from models.framing import join
from tests import praat

RATE = 16_000


def heard(samples: praat.Floats, centre: praat.Floats) -> praat.Floats:
    at = torch.from_numpy(np.round(centre * RATE).astype(np.int64))
    joined = join([samples], intensity.reach(), dtype=torch.float64)
    return intensity.db(joined, torch.zeros_like(at), at)


def test_intensity_of_real_speech_is_praats_within_a_tenth_of_a_decibel() -> None:
    for samples in praat.clips(3, 3.0):
        theirs = praat.sound(samples).to_intensity(75, 0.01, True)

        ours = heard(samples, theirs.xs() - 0.5 / RATE)

        assert np.median(np.abs(ours - theirs.values[0])) < 0.01
        assert np.quantile(np.abs(ours - theirs.values[0]), 0.95) < 0.1


def test_a_tone_of_unit_power_is_94_decibels() -> None:
    tone = np.sqrt(2) * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE) + 0.3

    assert heard(tone, np.arange(0.2, 0.8, 0.01)) == pytest.approx(93.98, abs=0.01)
