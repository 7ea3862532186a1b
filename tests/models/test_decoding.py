"""The path through the network's scores is the one a voice could take."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import decoding
from models.decoding import Calibration, confidence
from models.pitchnet import BINS, bin_to_hz, hz_to_bin
from models.viterbi import BLOCK, best_path

Floats = NDArray[np.float64]


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


def plain(first: Floats, steps: Floats) -> NDArray[np.intp]:
    """Viterbi's algorithm as it is in the books, for one take: `steps` (frames - 1, from, to)."""
    score, came_from = first, []
    for step in steps:
        arriving = score[:, None] + step
        came_from.append(arriving.argmax(0))
        score = arriving.max(0)
    path = [int(score.argmax())]
    for came in reversed(came_from):
        path.append(int(came[path[-1]]))
    return np.array(path[::-1])


@pytest.mark.parametrize("frames", [1, 2, BLOCK, BLOCK + 1, BLOCK + 2, 203])
def test_by_blocks_or_step_by_step_the_best_path_is_the_same(frames: int) -> None:
    rng = np.random.default_rng(frames)
    first, steps = rng.normal(size=(3, 6)), rng.normal(size=(frames - 1, 6, 6, 3))

    paths = best_path(first, steps)

    for row in range(3):
        np.testing.assert_array_equal(paths[row], plain(first[row], steps[..., row]))


def test_a_step_that_nobody_can_take_is_not_taken() -> None:
    rng = np.random.default_rng(0)
    steps = np.where(
        rng.random((99, 6, 6, 1)) < 0.5, -decoding.NEVER, rng.normal(size=(99, 6, 6, 1))
    )

    [path] = best_path(np.zeros((1, 6)), steps)

    assert (steps[np.arange(99), path[:-1], path[1:], 0] > -decoding.NEVER).all()


def test_confidence_is_the_networks_word_until_it_is_calibrated() -> None:
    voicing, mass = np.array([0.2, 0.9, 1.0]), np.array([0.5, 0.8, 1.0])
    doubling = Calibration(voicing=0.0, mass=2.0, bias=0.0)

    np.testing.assert_allclose(confidence(voicing, mass), [0.1, 0.72, 1.0])
    np.testing.assert_allclose(confidence(voicing, mass, doubling)[:2], [0.5, 0.941], atol=1e-3)
    assert confidence(voicing, mass, doubling)[2] <= 1


def test_a_calibration_is_kept_beside_the_weights() -> None:
    one = Calibration(voicing=1.5, mass=0.5, bias=-0.25)

    assert Calibration.read(one.metadata() | {"channels": "32"}) == one
    assert Calibration.read({"channels": "32"}) is None
