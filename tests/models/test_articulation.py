"""Articulation: planted vowels, swings of level and contrasts come back as they were planted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models import articulation
from models.articulation import Vowels, bark

CORNERS = np.array([(300.0, 2300.0), (750.0, 1200.0), (320.0, 800.0)])  # i, a, u: F1, F2


def cloud(spread: float = 1.0, scatter: float = 0.0) -> Vowels:
    """Frames of the three corner vowels, moved towards their middle by `spread`."""
    middle = CORNERS.mean(0)
    points = np.repeat(middle + spread * (CORNERS - middle), 60, axis=0)
    points = points * np.exp(scatter * np.random.default_rng(0).standard_normal(points.shape))
    return Vowels(points[:, 0], points[:, 1])


def triangle(spread: float) -> float:
    middle = CORNERS.mean(0)
    a, b, c = bark(middle + spread * (CORNERS - middle))
    return 0.5 * abs(float((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]))


@pytest.mark.parametrize("spread", [1.0, 0.6, 0.3])
def test_the_area_is_that_of_the_planted_triangle(spread: float) -> None:
    assert articulation.area_bark2(cloud(spread)) == pytest.approx(triangle(spread), rel=1e-3)


def test_the_index_is_that_of_the_corner_vowels() -> None:
    (i1, i2), (a1, a2), (u1, u2) = CORNERS

    index = articulation.vowel_articulation_index(cloud())

    assert index == pytest.approx((i2 + a1) / (i1 + u1 + u2 + a2))
    assert articulation.vowel_articulation_index(cloud(0.3)) < 0.8 * index


def test_a_formant_taken_for_another_does_not_widen_the_space() -> None:
    true = cloud(scatter=0.03)
    wrong = Vowels(np.append(true.f1, 950.0), np.append(true.f2, 3400.0))

    kept = articulation.typical(wrong.f1, wrong.f2)

    assert kept.f2.max() < 3000
    assert articulation.area_bark2(kept) == pytest.approx(articulation.area_bark2(true), rel=0.1)


def test_frames_that_glide_are_no_vowels_middle() -> None:
    f1 = np.concatenate([np.full(10, 500.0), np.geomspace(500, 900, 5), np.full(10, np.nan)])

    steady = articulation.steady(f1, np.full(len(f1), 1500.0))

    assert steady[1:9].all()
    assert not steady[10:].any()


@pytest.mark.parametrize("hz", [2.5, 4.0, 8.0, 12.0])
@pytest.mark.parametrize("swing_db", [3.0, 9.0])
def test_a_planted_swing_of_level_is_found(hz: float, swing_db: float) -> None:
    found = articulation.modulation(swinging(hz, swing_db))

    assert found is not None
    depth, peak = found
    assert depth == pytest.approx(swing_db / np.sqrt(2), rel=0.05)
    assert peak == pytest.approx(hz, abs=0.25)


def test_swings_out_of_the_band_of_syllables_do_not_count() -> None:
    found = articulation.modulation(swinging(30.0, 9.0))

    assert found is not None
    assert found[0] < 1.0


def swinging(hz: float, swing_db: float) -> NDArray[np.float64]:
    t = np.arange(800) / articulation.RATE_HZ
    return np.asarray(10 ** (swing_db * np.sin(2 * np.pi * hz * t) / 10))


def test_the_contrast_is_the_planted_one() -> None:
    vowel = np.arange(200) % 20 < 12
    power = np.where(vowel, 0.1, 0.1 * 10**-1.7)

    db = articulation.consonant_vowel_contrast_db(power, vowel, ~vowel)

    assert db == pytest.approx(17.0, abs=0.01)
