"""A rough F0 becomes an exact one, where there is a voice for it to lock to."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import refinement
from tests.signals import noise, tone
from training.synthesis import contour, rest, sing

Floats = NDArray[np.float64]


def refined(samples: Tensor, f0_hz: Floats, voiced: NDArray[np.bool_]) -> Floats:
    [exact] = refinement.refined(samples[None], f0_hz[None], voiced[None])
    return np.asarray(exact)


@pytest.mark.parametrize("hz", [60.0, 110.0, 196.0, 440.0, 1300.0])
@pytest.mark.parametrize("off_cents", [-20.0, 8.0, 20.0])
def test_a_voice_is_exact_to_a_cent(hz: float, off_cents: float) -> None:
    samples = torch.tensor(sing(contour(0.6, hz)).audio.samples)
    rough = np.full(60, hz * 2 ** (off_cents / 1200))

    exact = refined(samples, rough, np.ones(60, bool))

    off = np.abs(1200 * np.log2(exact[10:50] / hz))
    assert np.median(off) < 1
    assert off.max() < 3


@pytest.mark.parametrize("hz", [60.0, 200.0, 1300.0])
def test_so_is_a_sine(hz: float) -> None:
    samples = torch.tensor(tone(hz, 0.6).samples)

    exact = refined(samples, np.full(60, 1.01 * hz), np.ones(60, bool))

    assert np.abs(1200 * np.log2(exact[10:50] / hz)).max() < 1


def test_a_sine_in_hiss_is_not_led_astray_by_the_harmonics_it_lacks() -> None:
    samples = torch.tensor(tone(440, 1.0).samples + noise(1.0, level=0.02).samples)
    rough = 440 * 2 ** (np.random.default_rng(0).normal(0, 8, 101) / 1200)

    exact = refined(samples, rough, np.ones(101, bool))

    off = np.abs(1200 * np.log2(np.array([rough, exact])[:, 5:95] / 440)).mean(1)
    assert off[1] < 0.5 * off[0]


@pytest.mark.parametrize("hz", [110.0, 300.0, 700.0])
def test_the_first_and_last_frame_of_a_note_are_not_pulled_off(hz: float) -> None:
    sung = sing(np.concatenate([rest(0.3), contour(0.4, hz), rest(0.3)]))
    voiced = sung.f0_hz > 0

    exact = refined(torch.tensor(sung.audio.samples), np.full(len(voiced), hz), voiced)

    assert np.abs(1200 * np.log2(exact / hz)).max() < 25


def test_every_take_of_a_batch_is_its_own() -> None:
    takes = [torch.tensor(sing(contour(0.6, hz)).audio.samples) for hz in (90.0, 250.0)]
    rough = np.array([np.full(60, 91.0), np.full(60, 246.0)])
    voiced = np.array([np.arange(60) < 50, np.arange(60) >= 10])

    together = refinement.refined(torch.stack(takes), rough, voiced)

    for row in range(2):
        alone = refined(takes[row], rough[row], voiced[row])
        np.testing.assert_allclose(together[row], alone, rtol=1e-6)


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
