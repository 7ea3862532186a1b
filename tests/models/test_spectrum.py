"""Spectral measures of voices whose spectrum is known."""

import numpy as np
import pytest
import torch

from models import spectrum
from models.framing import join
from tests import praat
from training import synthesis


def harmonics(*levels_db: float, f0: float = 200.0) -> praat.Floats:
    t = np.arange(16_000) / 16_000
    parts = [10 ** (db / 20) * np.cos(2 * np.pi * k * f0 * t) for k, db in enumerate(levels_db, 1)]
    return np.asarray(np.sum(parts, axis=0))


def measured(
    samples: praat.Floats, f0: float, tract: tuple[float, float, float]
) -> spectrum.Voiced:
    centre = torch.arange(2000, 14_000, 160)
    return spectrum.measure(
        join([samples], spectrum.reach()),
        torch.zeros_like(centre),
        centre,
        torch.full((len(centre),), f0),
        torch.tensor([tract]).repeat(len(centre), 1),
    )


def test_harmonics_are_compared_without_what_the_formants_add() -> None:
    tract = (700.0, 1200.0, 2600.0)
    found = measured(harmonics(0, -6, -9, -12, -15, -18), 200.0, tract)

    formants = torch.tensor([tract[:2]])
    boost = spectrum.boost_db(torch.tensor([400.0]), formants) - spectrum.boost_db(
        torch.tensor([200.0]), formants
    )
    assert np.median(found.h1_h2_db) == pytest.approx(6 + float(boost[0]), abs=0.1)


def test_a_resonator_boosts_by_its_own_response() -> None:
    sung = synthesis.sing(synthesis.contour(1.0, 100))
    assert spectrum.boost_db(torch.tensor([500.0]), torch.tensor([[500.0]])) > 15
    assert abs(float(spectrum.boost_db(torch.tensor([1.0]), torch.tensor([[500.0]])))) < 0.01
    assert len(sung.audio.samples) == 16_000


def test_band_ratios_are_praats_within_a_tenth_of_a_decibel() -> None:
    samples = synthesis.sing(synthesis.contour(1.0, 150)).audio.samples.astype(np.float64)

    shape = spectrum.shape(measured(samples, 150.0, (730.0, 1090.0, 2440.0)).mean_power[0])

    whole = praat.sound(samples[1500:14_500]).to_spectrum()
    low, high = (whole.get_band_energy(*band) for band in ((50, 1000), (1000, 5000)))
    assert shape["alpha_ratio_db"][0] == pytest.approx(10 * np.log10(low / high), abs=0.1)


def test_flux_is_nothing_for_a_steady_voice_and_unknown_over_a_gap() -> None:
    samples = harmonics(0, -6, -12)
    centre = torch.tensor([4000, 4160, 8000, 8160])
    found = spectrum.measure(
        join([samples], spectrum.reach()),
        torch.zeros_like(centre),
        centre,
        torch.full((4,), 200.0),
        torch.tensor([[700.0, 1200.0, 2600.0]]).repeat(4, 1),
    )

    assert np.isnan(found.flux[[0, 2]]).all()
    assert found.flux[[1, 3]].max() < 0.01
