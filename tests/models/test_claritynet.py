"""The network of clarity: windows cover a take; level, neighbours and padding change nothing."""

import pytest
import torch

from models import claritynet, mel
from models.claritynet import ClarityNet, listen, starts, statistics
from tests.signals import noise


@pytest.fixture(scope="module")
def network() -> ClarityNet:
    torch.manual_seed(0)
    return ClarityNet().eval()


@pytest.mark.parametrize("frames", [30, 399, 400, 401, 600, 601, 5000])
def test_windows_cover_a_take(frames: int) -> None:
    first = starts(frames)
    size = min(claritynet.WINDOW, frames)

    covered = {frame for start in first for frame in range(start, start + size)}

    assert covered == set(range(frames))
    assert len(first) == len(set(first)) <= frames // claritynet.HOP + 1


def test_statistics_do_not_know_how_loud_a_take_is() -> None:
    samples = torch.from_numpy(noise(2.0).samples)[None]
    loud, _ = mel.power(samples, torch.tensor([samples.shape[1]]), claritynet.MEL)

    torch.testing.assert_close(statistics(loud), statistics(1e-4 * loud), rtol=1e-4, atol=1e-3)


def test_a_window_is_the_same_alone_and_among_others(network: ClarityNet) -> None:
    samples = torch.from_numpy(noise(9.0).samples)
    power, _ = mel.power(samples[None], torch.tensor([len(samples)]), claritynet.MEL)

    heard = listen(network, samples)

    start = starts(power.shape[2])[1]
    with torch.inference_mode():
        alone = network(statistics(power[:, :, start : start + claritynet.WINDOW]))
    torch.testing.assert_close(alone.mean[0], heard.mean[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 4.0, 30.0])
def test_every_length_is_heard(network: ClarityNet, seconds: float) -> None:
    heard = listen(network, torch.from_numpy(noise(seconds).samples))

    assert heard.mean.shape == heard.deviation.shape
    assert heard.mean.shape[1] == len(claritynet.OUTPUTS)
    assert heard.mean.isfinite().all()
    assert (heard.deviation > 0).all()
