"""Spectral measures of voices whose spectrum is known."""

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

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
    widths = spectrum.bandwidth_hz(formants, torch.tensor([200.0]))
    boost = spectrum.boost_db(torch.tensor([400.0]), formants, widths) - spectrum.boost_db(
        torch.tensor([200.0]), formants, widths
    )
    assert np.median(found.h1_h2_db) == pytest.approx(6 + float(boost[0]), abs=0.1)


def test_a_resonator_boosts_by_its_own_response() -> None:
    tract, width = torch.tensor([[500.0]]), torch.tensor([[60.0]])
    assert spectrum.boost_db(torch.tensor([500.0]), tract, width) > 15
    assert abs(float(spectrum.boost_db(torch.tensor([1.0]), tract, width))) < 0.01


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


def test_the_long_term_spectrum_and_its_tilt_are_praats() -> None:
    samples = lfilter([1.0], [1.0, -0.9], np.random.default_rng(0).standard_normal(16_000))
    found = measured(samples, 200.0, (730.0, 1090.0, 2440.0)).mean_power[0]

    ours = spectrum.ltas_db(found)

    ltas = praat.ask(praat.sound(samples[1750:14_250]), "To Ltas", 100)
    levels = np.array([praat.ask(ltas, "Get value in bin", i + 1) for i in range(80)])
    theirs = levels - 10 * np.log10(np.sum(10 ** (levels / 10)))
    assert np.median(np.abs(ours - theirs)[:50]) < 0.3
    slope = np.polyfit(np.log2(np.arange(150.0, 5000.0, 100.0)), theirs[1:50], 1)[0]
    tilt, unit = spectrum.shape(found)["spectral_tilt_db_per_octave"]
    assert unit == "dB/octave"
    assert tilt == pytest.approx(slope, abs=0.1)


def test_a_long_term_spectrum_is_relative_to_its_energy() -> None:
    rng = np.random.default_rng(0)
    power = rng.uniform(0, 1, spectrum.SIZE // 2 + 1)

    ltas = spectrum.ltas_db(power)

    assert len(ltas) == 80
    assert np.sum(10 ** (ltas / 10)) == pytest.approx(1)
    np.testing.assert_allclose(spectrum.ltas_db(1e-6 * power), ltas)
