"""F0 to a cent or so, from the instantaneous frequency of its harmonics.

Flanagan & Golden 1966; Kawahara et al. 1999. The network hears which pitch it is; its bins are
a third of a semitone wide. Near that answer each harmonic's phase says how fast it really turns.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio import ANALYSIS_RATE
from models.spectra import HOP

PERIODS = 4  # to a window: its first zeros are halfway between the harmonics
SIZES = (256, 384, 640, 1280)  # samples
HARMONICS = 16
HIGHEST = 6000.0  # Hz
FURTHEST = 60.0  # cents from the network's answer: further is another sound's phase
DOUBT = 30.0  # power over the noise at which a harmonic counts half...
LEAD = 0.3  # ...or this share of the clearest harmonic's: noise above a sine counts little
AGREEMENT = 15.0  # cents from the others at which a harmonic counts half
ROUGH = 9.0  # cents that the network is off by: the harmonics count as they are surer than that
AT_ONCE = 2048  # frames

Floats = NDArray[np.float64]


def refined(samples: Tensor, f0_hz: Floats, voiced: NDArray[np.bool_]) -> Floats:
    """F0 (batch, frames) in Hz, made exact where `voiced`; `samples` (batch, samples) at 16 kHz."""
    exact = f0_hz.copy()
    row, frame = np.nonzero(voiced)
    rough = f0_hz[row, frame]
    wanted = np.log2(PERIODS * ANALYSIS_RATE / rough)
    nearest = np.abs(wanted[:, None] - np.log2(SIZES)).argmin(1)
    padded = torch.nn.functional.pad(samples, (SIZES[-1] // 2, SIZES[-1]))
    for which, size in enumerate(SIZES):
        windows = padded[:, (SIZES[-1] - size) // 2 :].unfold(1, size, HOP)
        found = np.flatnonzero(nearest == which)
        for part in np.split(found, range(AT_ONCE, len(found), AT_ONCE)):
            if len(part):
                at = (torch.from_numpy(place[part]).to(samples.device) for place in (row, frame))
                near = torch.from_numpy(rough[part]).to(samples.device)
                shift = _shift(windows[tuple(at)], near.float()).cpu().numpy()
                exact[row[part], frame[part]] = rough[part] * 2 ** (shift / 1200)
    return exact


def _shift(windows: Tensor, rough: Tensor) -> Tensor:
    """(frames,): by how many cents the harmonics of windows (frames, samples) are off `rough` Hz.

    A harmonic's phase is bent by formants on the move, the less cents the higher it is, and by
    noise, the less the further it stands out of the valleys beside it: so they are weighted.
    """
    number = torch.arange(1, HARMONICS + 1, device=rough.device)
    expected = rough[:, None] * number  # (frames, harmonics)
    valleys = rough[:, None] * torch.cat([number - 0.5, number[-1:] + 0.5])
    hz, power = _turning(torch.fft.rfft(windows), torch.cat([expected, valleys], 1))
    noise = (power[:, HARMONICS:-1] + power[:, HARMONICS + 1 :]) / 2
    power = power[:, :HARMONICS]
    off = 1200 * torch.log2((hz[:, :HARMONICS] / expected).clamp(0.5, 2.0))
    heard = (expected < HIGHEST) & (off.abs() < FURTHEST)
    clear = heard * power / (noise + 1e-9 * power.amax(1, keepdim=True) + 1e-30)
    weight = number**2 * clear / (clear + DOUBT + LEAD * clear.amax(1, keepdim=True))
    apart = off - _mean(off, weight)[:, None]
    weight = weight / (1 + (apart / AGREEMENT) ** 2)
    shift = _mean(off, weight)
    spread = _mean((off - shift[:, None]).square(), weight)
    doubt = spread * weight.square().sum(1) / weight.sum(1).square().clamp_min(1e-20)
    return shift * ROUGH**2 / (ROUGH**2 + doubt)


def _turning(spectrum: Tensor, expected: Tensor) -> tuple[Tensor, Tensor]:
    """Instantaneous frequency in Hz, and power, of Hann windows at the bins nearest to `expected`.

    `spectrum` (frames, bins) has no taper: it and its slope are cosines, so that in the spectrum
    they are differences of three bins.
    """
    size = 2 * (spectrum.shape[1] - 1)
    bins = (expected * (size / ANALYSIS_RATE)).round().long().clamp(1, size // 2 - 1)
    below, there, above = (spectrum.gather(1, bins + step) for step in (-1, 0, 1))
    tapered = 2 * there - below - above
    slope = below - above  # times pi / (2 i size), where `tapered` is times 1 / 4
    power = tapered.real.square() + tapered.imag.square()
    turned = (slope.real * tapered.real + slope.imag * tapered.imag) / power.clamp_min(1e-30)
    return (bins + turned) * (ANALYSIS_RATE / size), power


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (weight * values).sum(1) / weight.sum(1).clamp_min(1e-20)
