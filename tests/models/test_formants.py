"""Formants against Praat's and against a vocal tract we made."""

import numpy as np
import torch

from models import formants
from models.framing import join
from models.resampling import brickwall
from tests import praat
from training import synthesis

CEILING = 5500.0


def options(samples: praat.Floats, times: praat.Floats, rate: int) -> praat.Floats:
    joined = join([formants.emphasised(samples, rate)], formants.reach(rate), dtype=torch.float64)
    centre = torch.from_numpy(np.round(times * rate).astype(np.int64))
    return np.asarray(formants.candidates(joined, torch.zeros_like(centre), centre, rate).numpy())


def test_formants_of_real_speech_are_praats() -> None:
    same, ours = [], []
    for samples in praat.clips(4):
        heard = praat.sound(samples)
        curve = praat.pitch(heard)
        ceiling = formants.ceiling_hz("auto", praat.ask(curve, "Get quantile", 0, 0, 0.5, "Hertz"))
        rate = round(2 * ceiling)
        theirs = heard.to_formant_burg(0.01, 5, ceiling, 0.025, 50)
        times = theirs.xs()[np.isfinite(praat.at(curve, theirs.xs()))]
        peer = np.array([[theirs.get_value_at_time(k, t) for k in (1, 2, 3)] for t in times])

        shared = options(heard.resample(rate, 50).values[0], times, rate)
        own = options(brickwall(samples, 16_000, rate), times, rate)

        same.append(np.abs(shared[:, :3, 0] - peer))
        runs = np.split(own, np.flatnonzero(np.diff(times) > 0.015) + 1)
        tracked = np.concatenate([formants.track(r, ceiling)[:, :3, 0] for r in runs])
        ours.append(np.abs(tracked - peer))
    assert np.nanmedian(np.concatenate(same), axis=0).max() < 1
    assert np.nanquantile(np.concatenate(same), 0.95, axis=0).max() < 5
    assert np.nanmedian(np.concatenate(ours), axis=0).max() < 5
    assert np.nanquantile(np.concatenate(ours), 0.95, axis=0).max() < 30


def test_resonances_of_a_known_tract_are_found() -> None:
    sung = synthesis.sing(synthesis.contour(1.0, 100))
    low = brickwall(sung.audio.samples, 16_000, 10_000)

    found = np.median(formants.track(options(low, np.arange(0.2, 0.8, 0.01), 10_000), 5000), axis=0)

    truth = np.array(synthesis.VOWEL_A[:4])
    assert np.all(np.abs(found - truth)[:, 0] < 0.06 * truth[:, 0])
    assert np.all(found[:, 1] < 3 * truth[:, 1])


def test_the_ceiling_follows_the_voice_that_was_named_or_its_pitch() -> None:
    assert formants.ceiling_hz("child", 120) == 8000
    assert formants.ceiling_hz("auto", 120) == 5000
    assert formants.ceiling_hz("auto", 210) == 5500


def test_resampling_keeps_a_tone_and_its_phase() -> None:
    for seconds in (0.01, 0.5, 9.0):
        tone = np.sin(2 * np.pi * 300 * np.arange(round(seconds * 16_000)) / 16_000)

        low = brickwall(tone, 16_000, 11_000)

        inside = slice(len(low) // 3, 2 * len(low) // 3)
        expected = np.sin(2 * np.pi * 300 * np.arange(len(low)) / 11_000)
        assert np.abs(low - expected)[inside].max(initial=0.0) < 0.02


def test_a_resonance_that_stays_too_broad_is_no_formant() -> None:
    steady = np.array([500.0, 1500.0, 2500.0, 3500.0, 4500.0])
    hidden = np.array([500.0, 700.0, 1500.0, 2500.0, 3500.0])
    broad = np.array([80.0, 3500.0, 80.0, 120.0, 150.0])
    frames = np.stack([np.stack([steady, np.full(5, 100.0)], 1)] * 30)
    spoilt = np.stack([np.stack([hidden, broad], 1)] * 30)

    assert np.all(formants.track(frames, CEILING)[..., 0] == steady[:4])
    assert np.all(formants.track(spoilt, CEILING)[:, :3, 0] == steady[:3])


def test_without_a_fourth_candidate_there_is_no_f4() -> None:
    three = np.array([[500.0, 80.0], [1500.0, 90.0], [2500.0, 120.0], [np.nan] * 2, [np.nan] * 2])

    found = formants.track(np.stack([three] * 5), CEILING)

    assert np.all(found[:, :3] == three[:3])
    assert np.all(np.isnan(found[:, 3]))
