"""The path through the network's scores is the one a voice could take."""

import numpy as np
import torch
from torch import Tensor

from models import decoding
from models.pitchnet import BINS, bin_to_hz, hz_to_bin


def scores(bins: Tensor, height: float = 8.0) -> Tensor:
    """Logits (1, frames, BINS) with a peak of the labels' width at each of these positions."""
    distance = (torch.arange(BINS) - bins[:, None]) / 0.9
    return (height - 0.5 * distance**2).clamp_min(0)[None]


def follow(pitch: Tensor, voicing: Tensor) -> decoding.Path:
    [path] = decoding.follow(decoding.candidates(pitch, voicing), [pitch.shape[1]])
    return path


def test_a_peak_between_bins_is_read_to_a_cent() -> None:
    truth = torch.linspace(40.0, 43.0, 31)

    path = follow(scores(truth, 12.0), torch.full((1, 31), 5.0))

    cents = 1200 * np.log2(path.hz / bin_to_hz(truth).numpy())
    assert path.voiced.all()
    assert np.abs(cents).max() < 3.0


def test_a_moment_an_octave_off_is_corrected() -> None:
    steady = torch.full((40,), 72.0)
    jump = torch.full((40,), 108.0)
    doubt = torch.zeros(40, 1)
    doubt[18:21] = 1.0

    path = follow(scores(steady) + 1.1 * doubt * scores(jump), torch.full((1, 40), 4.0))

    assert np.abs(hz_to_bin(torch.tensor(path.hz)).numpy() - 72).max() < 1


def test_a_voice_may_leap_an_octave_and_stay_there() -> None:
    bins = torch.cat([torch.full((30,), 60.0), torch.full((30,), 96.0)])

    path = follow(scores(bins), torch.full((1, 60), 4.0))

    np.testing.assert_allclose(path.hz, bin_to_hz(bins).numpy(), rtol=0.005)


def test_one_doubtful_frame_does_not_break_a_voice() -> None:
    voicing = torch.full((1, 30), 4.0)
    voicing[0, 15] = -1.0

    path = follow(scores(torch.full((30,), 60.0)), voicing)

    assert path.voiced.all()


def test_where_nobody_voices_there_is_no_voice() -> None:
    path = follow(scores(torch.full((30,), 60.0)), torch.full((1, 30), -4.0))

    assert not path.voiced.any()
    assert path.confidence.max() < 0.05


def test_padding_changes_no_path() -> None:
    rng = torch.Generator().manual_seed(0)
    pitch = 4 * torch.randn(2, 50, BINS, generator=rng)
    voicing = 2 * torch.randn(2, 50, generator=rng)

    together = decoding.follow(decoding.candidates(pitch, voicing), [50, 20])
    alone = follow(pitch[1:, :20], voicing[1:, :20])

    np.testing.assert_array_equal(together[1].voiced, alone.voiced)
    np.testing.assert_array_equal(together[1].hz, alone.hz)
    np.testing.assert_array_equal(together[1].confidence, alone.confidence)


def test_three_minutes_are_followed_in_well_under_a_second() -> None:
    import time

    pitch, voicing = torch.randn(1, 18000, BINS), torch.randn(1, 18000)

    found = decoding.candidates(pitch, voicing)
    start = time.process_time()
    [path] = decoding.follow(found, [18000])

    assert len(path.hz) == 18000
    assert time.process_time() - start < 1.0
