"""Harmonics-to-noise ratio against Praat's frames."""

import numpy as np
import torch

from models import harmonicity
from models.framing import join
from tests import praat

RATE = 16_000


def hnr(samples: praat.Floats, times: praat.Floats) -> praat.Floats:
    joined = join([samples], harmonicity.reach(RATE) + 1, dtype=torch.float64)
    centre = torch.from_numpy(np.round(times * RATE).astype(np.int64))
    peak = torch.tensor([float(np.abs(samples).max())], dtype=torch.float64)
    found = harmonicity.hnr_db(joined, torch.zeros_like(centre), centre, peak, RATE)
    return np.asarray(found.numpy())


def test_frames_of_real_speech_are_praats_within_a_tenth_of_a_decibel() -> None:
    apart = []
    for samples in praat.clips(3):
        samples = samples - samples.mean()
        heard = praat.sound(samples)
        theirs = heard.to_harmonicity_ac(0.01, 75, 0.1, 4.5)
        voiced = np.isfinite(praat.at(praat.pitch(heard), theirs.xs()))

        ours = hnr(samples, theirs.xs()[voiced])

        peer = theirs.values[0][voiced]
        both = np.isfinite(ours) & (peer > -100)
        apart.append(np.abs(ours - peer)[both])
    assert np.median(np.concatenate(apart)) < 0.1
    assert np.quantile(np.concatenate(apart), 0.95) < 0.5


def test_a_tone_in_noise_has_the_ratio_it_was_mixed_with() -> None:
    rng = np.random.default_rng(0)
    tone = np.sqrt(2) * np.sin(2 * np.pi * 200 * np.arange(3 * RATE) / RATE)

    found = hnr(tone + 0.1 * rng.standard_normal(len(tone)), np.arange(0.5, 2.5, 0.01))

    assert abs(np.median(found) - 20) < 0.5
