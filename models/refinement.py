"""F0 to a fraction of a cent, from the instantaneous frequency of its harmonics.

Flanagan & Golden 1966; Kawahara et al. 1999. The network hears which pitch it is; its bins are
a third of a semitone wide. Near that answer each harmonic's phase says how fast it really turns.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio import ANALYSIS_RATE
from models.spectra import HOP

WINDOWS = ((2048, 0.0, 70.0), (1024, 70.0, 190.0), (512, 190.0, 1e9))  # samples, from Hz, to Hz
HARMONICS = 8
HIGHEST = 4000.0  # Hz
FURTHEST = 60.0  # cents from the network's answer: further is another sound's phase
AT_ONCE = 2048  # frames

Floats = NDArray[np.float64]


def refined(samples: Tensor, f0_hz: Floats, voiced: NDArray[np.bool_]) -> Floats:
    """F0 (frames,) in Hz, made exact where `voiced`; `samples` (samples,) at 16 kHz."""
    exact = f0_hz.copy()
    for size, lowest, highest in WINDOWS:
        frames = np.flatnonzero(voiced & (f0_hz >= lowest) & (f0_hz < highest))
        padded = torch.nn.functional.pad(samples, (size // 2, size))
        windows = padded.unfold(0, size, HOP)
        for part in np.split(frames, range(AT_ONCE, len(frames), AT_ONCE)):
            if len(part):
                rough = torch.tensor(f0_hz[part], device=samples.device)
                at = torch.tensor(part, device=samples.device)
                exact[part] = _exact(windows[at], rough).cpu().numpy()
    return exact


def _exact(windows: Tensor, rough: Tensor) -> Tensor:
    """(frames,): the harmonics' own frequencies, each divided by its number, weighted by level."""
    size = windows.shape[1]
    taper, slope = _tapers(size, windows.device)
    spectrum, turning = torch.fft.rfft(windows * taper), torch.fft.rfft(windows * slope)
    number = torch.arange(1, HARMONICS + 1, device=windows.device)
    expected = rough[:, None] * number  # (frames, harmonics)
    bins = (expected * size / ANALYSIS_RATE).round().long().clamp(max=size // 2)
    there, moving = spectrum.gather(1, bins), turning.gather(1, bins)
    power = there.abs().square().double()
    phase_speed = (moving * there.conj()).imag.double() / power.clamp_min(1e-20)
    hz = bins * ANALYSIS_RATE / size - phase_speed * ANALYSIS_RATE / (2 * np.pi)
    off = 1200 * torch.log2((hz / expected).clamp_min(0.5))
    weight = power.sqrt() * number * ((expected < HIGHEST) & (off.abs() < FURTHEST))
    shift = (weight * off).sum(1) / weight.sum(1).clamp_min(1e-20)
    return rough * torch.exp2(shift / 1200)


@lru_cache
def _tapers(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A Hann window and its slope per sample."""
    angle = 2 * np.pi * np.arange(size) / size
    taper, slope = 0.5 - 0.5 * np.cos(angle), np.pi / size * np.sin(angle)
    return (
        torch.tensor(taper, dtype=torch.float32, device=device),
        torch.tensor(slope, dtype=torch.float32, device=device),
    )
