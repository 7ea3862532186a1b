"""A rough F0 becomes an exact one, where there is a voice for it to lock to."""

import numpy as np
import pytest
import torch

from models.refinement import refined
from tests.signals import noise, tone
from training.synthesis import contour, sing


@pytest.mark.parametrize("hz", [60.0, 110.0, 196.0, 440.0, 1300.0])
@pytest.mark.parametrize("off_cents", [-40.0, 15.0, 40.0])
def test_a_voice_is_exact_to_a_cent(hz: float, off_cents: float) -> None:
    samples = torch.tensor(sing(contour(0.6, hz)).audio.samples)
    rough = np.full(60, hz * 2 ** (off_cents / 1200))

    exact = refined(samples, rough, np.ones(60, bool))

    assert np.abs(1200 * np.log2(exact[10:50] / hz)).max() < 1


@pytest.mark.parametrize("hz", [60.0, 200.0, 1300.0])
def test_so_is_a_sine(hz: float) -> None:
    samples = torch.tensor(tone(hz, 0.6).samples)

    exact = refined(samples, np.full(60, 1.01 * hz), np.ones(60, bool))

    assert np.abs(1200 * np.log2(exact[10:50] / hz)).max() < 1


def test_an_unvoiced_frame_stays_as_it_was() -> None:
    samples = torch.tensor(tone(200, 0.6).samples)
    voiced = np.arange(60) >= 30

    exact = refined(samples, np.full(60, 201.0), voiced)

    assert (exact[:30] == 201.0).all()
    assert (exact[31:50] != 201.0).all()


def test_noise_moves_no_frame_far() -> None:
    samples = torch.tensor(noise(0.6).samples)

    exact = refined(samples, np.full(60, 200.0), np.ones(60, bool))

    assert np.isfinite(exact).all()
    assert np.abs(1200 * np.log2(exact / 200.0)).max() <= 60


def test_silence_changes_nothing() -> None:
    exact = refined(torch.zeros(9600), np.full(60, 200.0), np.ones(60, bool))

    np.testing.assert_array_equal(exact, 200.0)
