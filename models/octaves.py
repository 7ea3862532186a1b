"""The octave guard: does the waveform itself agree with the octave the network heard?"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio import ANALYSIS_RATE
from models.spectra import HOP

EVERY = 3  # voiced frames from one that is checked to the next
WIDTH = 512  # samples compared: 32 ms
AT_ONCE = 2048  # frames
TWICE = 0.1  # more likeness after two periods than after one: the octave below
HALF = 0.03  # as much likeness after half a period: the octave above


def agreement(samples: Tensor, f0_hz: NDArray[np.float64], voiced: NDArray[np.bool_]) -> float:
    """Share of the checked voiced frames whose octave the normalised autocorrelation confirms.

    `samples` (samples,) at 16 kHz, `f0_hz` and `voiced` (frames,) with a voiced frame at least.
    The waveform must repeat after a period about as well as after two, and better than after half.
    """
    frames = np.flatnonzero(voiced)[::EVERY]
    centres = torch.tensor(frames * HOP, device=samples.device)
    periods = torch.tensor(ANALYSIS_RATE / f0_hz[frames], device=samples.device).float()
    agreed = [
        _confirmed(samples, centre, period)
        for centre, period in zip(
            torch.split(centres, AT_ONCE), torch.split(periods, AT_ONCE), strict=True
        )
    ]
    return float(torch.cat(agreed).float().mean())


def _confirmed(samples: Tensor, centre: Tensor, period: Tensor) -> Tensor:
    once = _likeness(samples, centre, period)
    twice = _likeness(samples, centre, 2 * period)
    half = _likeness(samples, centre, period / 2)
    return (once > twice - TWICE) & (half < once - HALF)


def _likeness(samples: Tensor, centre: Tensor, lag: Tensor) -> Tensor:
    """(frames,): correlation of the stretch half a lag before each centre with that after it."""
    first = _stretch(samples, centre - lag / 2)
    second = _stretch(samples, centre + lag / 2)
    power = first.square().sum(1) * second.square().sum(1)
    return (first * second).sum(1) / power.clamp_min(1e-12).sqrt()


def _stretch(samples: Tensor, centre: Tensor) -> Tensor:
    """(frames, WIDTH) samples around fractional positions, interpolated; zero outside."""
    whole = centre.floor()
    part = (centre - whole)[:, None]
    offsets = torch.arange(-WIDTH // 2, WIDTH // 2 + 1, device=samples.device)
    index = whole.long()[:, None] + offsets
    inside = (index >= 0) & (index < len(samples))
    found = samples[index.clamp(0, len(samples) - 1)] * inside
    return found[:, :-1] * (1 - part) + found[:, 1:] * part
