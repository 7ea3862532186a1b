"""Mel spectrograms of takes, and their levels relative to the take: blind to gain and offset."""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.audio import ANALYSIS_RATE
from models.spectra import frame_counts, frame_mask

CHUNK = 4096  # frames transformed at once, so that memory stays bounded
SILENCE = 1e-5  # amplitude, full scale 1: a take whose loudest frame is under it is silent


@dataclass(frozen=True, slots=True)
class Settings:
    """How a mel spectrogram is taken. Frame i is centred on sample i * hop."""

    bands: int
    size: int  # samples of the transform
    window: int  # samples of the Hann window
    hop: int  # samples
    low_hz: float = 60.0
    high_hz: float = 7600.0


def power(samples: Tensor, lengths: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Mean power in mel bands (batch, bands, frames) and the frames of each take (batch,).

    The mean of each take is taken off first; frames past a take's end are zero.
    """
    frames, inside = framed(samples, lengths, settings)
    bank = _bank(settings).to(samples.device)
    pieces = [
        periodogram(frames[:, start : start + CHUNK], settings) @ bank
        for start in range(0, frames.shape[1], CHUNK)
    ]
    taken = torch.cat(pieces, 1).transpose(1, 2)
    return taken * inside[:, None], inside.sum(1)


def framed(samples: Tensor, lengths: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Frames (batch, frames, window) without the take's mean, as a view; which of them are its own.

    The second tensor (batch, frames) is False in the padding.
    """
    padded = torch.nn.functional.pad(
        _without_offset(samples, lengths), (settings.window // 2, settings.window // 2)
    )
    frames = padded.unfold(1, settings.window, settings.hop)
    counts = frame_counts(lengths, settings.hop) * (lengths > 0)
    return frames, frame_mask(counts, frames.shape[1])


def periodogram(frames: Tensor, settings: Settings) -> Tensor:
    """Power (..., size // 2 + 1) of windowed frames; sums to about their mean square."""
    spectrum = torch.fft.rfft(frames * _window(settings).to(frames.device), settings.size)
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    return power


def reference(power: Tensor) -> Tensor:
    """The take's level as an amplitude (batch,): its mean over frames, each weighted by itself.

    Silence added to a take does not move it, and a click hardly does; 0 for digital silence.
    """
    amplitude = power.sum(1).sqrt()  # (batch, frames)
    return amplitude.square().sum(1) / amplitude.sum(1).clamp_min(torch.finfo(torch.float32).tiny)


def relative_db(power: Tensor, reference: Tensor, floor_db: float) -> Tensor:
    """Levels re the reference, in dB, that run smoothly into `floor_db`."""
    share = power / reference.square().clamp_min(SILENCE**2)[:, None, None]
    return 10 * torch.log10(share + 10 ** (floor_db / 10))


def loudest(power: Tensor) -> Tensor:
    """Amplitude of each take's loudest frame (batch,), full scale 1."""
    return power.sum(1).amax(1).sqrt()


def _without_offset(samples: Tensor, lengths: Tensor) -> Tensor:
    total = samples.sum(1, dtype=torch.float64)
    mean = (total / lengths.clamp_min(1)).to(samples.dtype)
    inside = frame_mask(lengths, samples.shape[1])
    return (samples - mean[:, None]) * inside


@functools.cache
def _window(settings: Settings) -> Tensor:
    """Hann, scaled so that band powers of a sound sum to about its mean square."""
    window = torch.hann_window(settings.window, dtype=torch.float64)
    scale = torch.sqrt(2 / (settings.size * window.square().sum()))
    return (window * scale).float()


@functools.cache
def _bank(settings: Settings) -> Tensor:
    """Triangles evenly spaced in mel, O'Shaughnessy 1987: (bins, bands)."""
    hz = torch.arange(settings.size // 2 + 1, dtype=torch.float64) * ANALYSIS_RATE / settings.size
    low, high = (2595 * math.log10(1 + f / 700) for f in (settings.low_hz, settings.high_hz))
    mels = torch.linspace(low, high, settings.bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    rise = (hz[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - hz[:, None]) / (corners[2:] - corners[1:-1])
    return torch.minimum(rise, fall).clamp_min(0).float()
