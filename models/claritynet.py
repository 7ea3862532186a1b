"""The network that hears what was done to a voice: noise, room and bandwidth of four seconds."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models import finite, mel

MEL = mel.Settings(bands=64, size=1024, window=512, hop=160, low_hz=20.0, high_hz=8000.0)
FLOOR_DB = -80.0  # re the window's level: noise 40 dB under a voice is well over it in each band
WINDOW, HOP = 400, 200  # frames: 4 s, every 2 s
SHORTEST = 30  # frames
WINDOWS_AT_ONCE = 32

# What each output is, where its zero lies and what its unit stands for.
OUTPUTS = ("snr_db", "t60_octaves", "c50_db", "width_khz")
CENTRES = (15.0, -1.5, 10.0, 6.0)
SCALES = (10.0, 1.0, 10.0, 2.0)

GROUP = 8  # bands to a group
SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 0.99)  # of the frames
LAGS = (1, 4)  # frames between the levels whose change is looked at
FALLS = (4, 8, 16, 29)  # the same after loud frames: what a room lets die away
LOUD = 0.3  # share of the frames that are called loud
MODULATION_HZ = (0.2, 1, 2, 4, 6, 8, 12, 16, 24, 32, 50.1)
FRAME_HZ = 100.0
HIDDEN = (128, 64)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the network says of windows, and how unsure it is: (windows, outputs) each.

    In the order of OUTPUTS: signal-to-noise ratio in dB, log2 of the reverberation time in s,
    clarity index C50 in dB, upper edge of the voice's band in kHz.
    """

    mean: Tensor
    deviation: Tensor


class ClarityNet(nn.Module):
    """Statistics of log-mel windows to four physical quantities, each with its deviation.

    The statistics are fixed, so that a perceptron learns from few examples: how levels, their
    changes, their falls after loud frames and their modulation are distributed over time.
    """

    scales: Tensor
    centres: Tensor
    middle: Tensor
    spread: Tensor

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        count = statistics(torch.zeros(1, MEL.bands, SHORTEST)).shape[1]
        first, second = HIDDEN
        self.layers = nn.Sequential(
            nn.Linear(count, first),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(first, second),
            nn.GELU(),
            nn.Linear(second, 2 * len(OUTPUTS)),
        )
        self.register_buffer("scales", torch.tensor(SCALES))
        self.register_buffer("centres", torch.tensor(CENTRES))
        self.register_buffer("middle", torch.zeros(count))  # of each statistic
        self.register_buffer("spread", torch.ones(count))

    def forward(self, found: Tensor) -> Heard:
        """From `statistics` (windows, statistics)."""
        even = ((found - self.middle) / self.spread).clamp(-4, 4)
        mean, spread = self.layers(even).chunk(2, 1)
        deviation = nn.functional.softplus(spread) + 0.01
        return Heard(mean * self.scales + self.centres, deviation * self.scales)


def statistics(power: Tensor) -> Tensor:
    """What is known of windows of mel power (windows, bands, frames): (windows, statistics)."""
    levels = mel.relative_db(power, mel.reference(power), FLOOR_DB)
    grouped = torch.stack([part.sum(1) for part in torch.split(power, GROUP, 1)], 1)
    grouped = torch.cat([grouped, power.sum(1, keepdim=True)], 1)
    groups = mel.relative_db(grouped, mel.reference(power), FLOOR_DB)  # (windows, groups, frames)
    mean = power.mean(2, keepdim=True)
    together = mel.relative_db(mean, mel.reference(power), FLOOR_DB)[:, :, 0]
    found = [_quantiles(levels), levels.mean(2), together, together - levels.mean(2)]
    found += [_quantiles(groups), _modulation(groups), _fine(levels)]
    found += [_quantiles(groups[:, :, lag:] - groups[:, :, :-lag]) for lag in LAGS]
    found += [_quantiles(_falls(groups, lag)) for lag in FALLS]
    return torch.cat([part.flatten(1) for part in found], 1)


def _quantiles(values: Tensor) -> Tensor:
    """(windows, rows, frames) to (windows, rows, SHARES)."""
    ordered = values.sort(2).values
    last = ordered.shape[2] - 1
    places = torch.tensor([share * last for share in SHARES], device=values.device)
    below = places.long()
    above = (below + 1).clamp_max(last)
    return torch.lerp(ordered[:, :, below], ordered[:, :, above], places - below)


def _falls(groups: Tensor, lag: int) -> Tensor:
    """How the level has changed `lag` frames after each loud frame."""
    before = groups[:, :, :-lag]
    count = max(1, math.ceil(LOUD * before.shape[2]))
    loud, where = before.topk(count, 2)
    return groups.gather(2, where + lag) - loud


def _modulation(groups: Tensor) -> Tensor:
    """Power of the levels' modulation in bands of rate, in dB: (windows, groups, bands)."""
    frames = groups.shape[2]
    window = torch.hann_window(frames, device=groups.device)
    flat = (groups - groups.mean(2, keepdim=True)) * window
    power = torch.fft.rfft(flat, 2 * WINDOW).abs().square() / window.square().sum()
    edges = [round(hz / FRAME_HZ * 2 * WINDOW) for hz in MODULATION_HZ]
    bands = [power[:, :, a:b].mean(2) for a, b in pairwise(edges)]
    return 10 * torch.log10(torch.stack(bands, 2) + 1e-3)


def _fine(levels: Tensor) -> Tensor:
    """How rugged spectra are from band to band, in four parts: harmonics show, noise does not."""
    rough = (levels[:, 1:-1] - 0.5 * (levels[:, :-2] + levels[:, 2:])).abs()
    parts = torch.stack([part.mean(1) for part in rough.chunk(4, 1)], 1)
    return _quantiles(torch.cat([parts, levels.std(1, keepdim=True)], 1))


def starts(frames: int) -> list[int]:
    """First frames of the windows that cover a take; one alone where it is shorter than they."""
    spare = max(frames - WINDOW, 0)
    count = -(-spare // HOP) + 1
    return [round(i * spare / max(count - 1, 1)) for i in range(count)]


def listen(network: ClarityNet, samples: Tensor) -> Heard:
    """One take (samples,) at 16 kHz, of SHORTEST frames or more, in the windows of `starts`.

    Takes are worked off one by one, so that no batch-mate and no padding can change a window.
    """
    power, _ = mel.power(samples[None], torch.tensor([len(samples)], device=samples.device), MEL)
    size, first = min(WINDOW, power.shape[2]), starts(power.shape[2])
    found = []
    for at in range(0, len(first), WINDOWS_AT_ONCE):
        chosen = first[at : at + WINDOWS_AT_ONCE]
        windows = torch.stack([power[0, :, start : start + size] for start in chosen])
        with torch.inference_mode():
            heard = network(statistics(windows))
        finite.require(heard.mean, heard.deviation)
        found.append(heard)
    return Heard(torch.cat([h.mean for h in found]), torch.cat([h.deviation for h in found]))
