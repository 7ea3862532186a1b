"""Cepstral peak prominence against Praat's."""

import numpy as np

from models import cepstrum, formants
from models.resampling import brickwall
from tests import praat


def cpps(samples: praat.Floats) -> float:
    low = brickwall(samples, 16_000, cepstrum.RATE)
    return float(cepstrum.prominences(formants.emphasised(low, cepstrum.RATE), "cpu").db.mean())


def test_cpps_of_real_speech_is_praats_within_a_tenth_of_a_decibel() -> None:
    takes = praat.clips(3, 2.0)

    apart = [abs(cpps(take) - praat.cpps_db(take)) for take in takes]

    assert np.median(apart) < 0.1


def test_a_take_under_one_window_has_no_prominence() -> None:
    assert len(cepstrum.prominences(np.ones(cepstrum.WIDTH - 1), "cpu").db) == 0
    assert len(cepstrum.prominences(np.empty(0), "cpu").db) == 0


def test_chunks_do_not_show() -> None:
    rng = np.random.default_rng(0)
    long = rng.standard_normal(cepstrum.WIDTH + cepstrum.STEP * (2 * cepstrum.CHUNK + 10))

    whole = cepstrum.prominences(long, "cpu").db
    cut = cepstrum.prominences(long[: cepstrum.WIDTH + cepstrum.STEP * 100], "cpu").db

    np.testing.assert_allclose(whole[:90], cut[:90], atol=0.05)
