"""Functionals: what a window of voice is like on the whole, as a few hundred numbers.

The kind of thing eGeMAPS holds (Eyben et al., IEEE Trans. Affective Computing 7, 2016): means,
deviations and slopes of spectrum, melody and loudness, and how fast loudness moves.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from models.spectra import frame_mask

CEPSTRA = 20
VOICE_CEPSTRA = 13
PITCH_ROWS = 40  # of the periodicity picture: up to 600 Hz
VOICING_ROWS = 36
BANDS = ((0, 12), (12, 28), (28, 44), (44, 64))  # of 64 mel bands
GAPS = (1, 2, 3, 5, 8, 13, 20)  # frames between two levels that are compared
STEPS = (2, 4, 8)  # frames between two cepstra that are compared
SHARPNESS = 12.0  # of the choice between rows of the picture
VOICED = 0.3  # weight over which a frame's pitch counts for the extremes
COUNT = 490


def of(levels: Tensor, periodicity: Tensor, counts: Tensor) -> Tensor:
    """Levels in dB (batch, 64, frames) and periodicity (batch, 48, frames) to (batch, COUNT).

    Frames past a window's count change nothing.
    """
    inside = frame_mask(counts, levels.shape[2])[:, None].float()  # (batch, 1, frames)
    loudness = 10 * (10 ** (levels / 10)).sum(1, keepdim=True).clamp_min(1e-7).log10()
    top = loudness.masked_fill(inside == 0, -99).amax(2, keepdim=True)
    strength = periodicity[:, :VOICING_ROWS].amax(1, keepdim=True)
    loud = torch.sigmoid((loudness - top + 28) / 2)
    voice = (((strength - 0.2) * 3).clamp(0, 1) * loud + 1e-3) * inside
    return torch.cat(
        [
            *_spectrum(levels, inside, voice),
            *melody(periodicity, inside, voice),
            *_loudness(levels, loudness, top, inside),
            *_moments(periodicity, inside),
            *_moments(strength, voice),
            voice.sum(2) / inside.sum(2),
            inside.sum(2) / 100,
        ],
        1,
    )


def _spectrum(levels: Tensor, inside: Tensor, voice: Tensor) -> Iterator[Tensor]:
    mean, deviation = _moments(levels, voice)
    yield mean - mean.mean(1, keepdim=True)
    yield deviation
    yield _moments(levels, inside)[1]
    cepstra = _cosines(levels.shape[1]).to(levels.device) @ levels
    yield from _moments(cepstra, inside)
    steps = cepstra.diff(dim=2) * inside[:, :, 1:]
    yield (steps.square().sum(2) / inside.sum(2) + 1e-4).log() / 2
    first = cepstra[:, :VOICE_CEPSTRA]
    yield from _moments(first, voice)
    yield from _course(first, voice, inside)
    for gap in STEPS:
        yield _apart(first, gap, inside, 1e-3)


def melody(periodicity: Tensor, inside: Tensor, voice: Tensor) -> Iterator[Tensor]:
    """Of the pitch in semitones over the lowest row, softly chosen in each frame."""
    rows = torch.arange(PITCH_ROWS, device=voice.device)[None, :, None]
    share = torch.softmax(SHARPNESS * periodicity[:, :PITCH_ROWS], 1)
    pitch = (share * rows).sum(1, keepdim=True)  # (batch, 1, frames)
    mean, deviation = _moments(pitch, voice)
    yield from (mean, deviation)
    both = voice[:, :, 1:] * voice[:, :, :-1]
    yield (pitch.diff(dim=2).abs().clamp_max(4) * both).sum(2) / (voice.square().sum(2) + 0.1)
    far = pitch - mean[:, :, None]
    voiced = far * (voice > VOICED)
    yield from (voiced.amin(2), voiced.amax(2))
    yield (far**3 * voice).sum(2) / voice.sum(2) / (deviation**3 + 1)
    yield from _course(pitch, voice, inside)


def _loudness(levels: Tensor, loudness: Tensor, top: Tensor, inside: Tensor) -> Iterator[Tensor]:
    mean, deviation = _moments(loudness, inside)
    yield from (mean - top[:, :, 0], deviation)
    yield from _course(loudness, inside, inside)
    bands = [levels[:, first:after].mean(1, keepdim=True) for first, after in BANDS]
    lines = torch.cat([*bands, loudness], 1)
    for gap in GAPS:
        yield _apart(lines, gap, inside, 1e-2)


def _moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over time (batch, channels) of x (batch, channels, frames)."""
    total = weight.sum(2).clamp_min(1e-3)
    mean = (x * weight).sum(2) / total
    variance = ((x - mean[:, :, None]).square() * weight).sum(2) / total
    return mean, (variance + 1e-4).sqrt()


def _apart(x: Tensor, gap: int, inside: Tensor, least: float) -> Tensor:
    """How far x moves within so many frames (batch, channels): log of the mean square."""
    far = (x[:, :, gap:] - x[:, :, :-gap]) * inside[:, :, gap:]
    return (far.square().sum(2) / inside[:, :, gap:].sum(2).clamp_min(1) + least).log()


def _course(x: Tensor, weight: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """How x goes with time, and how its ends differ from its middle: (batch, channels) each."""
    frames = torch.arange(x.shape[2], device=x.device)[None, None]
    time = (frames / inside.sum(2)[:, :, None] - 0.5) * inside
    total = weight.sum(2)
    far = (x - _moments(x, weight)[0][:, :, None]) * weight
    middle = (time * weight).sum(2) / total
    rising = (far * (time - middle[:, :, None])).sum(2) / total
    bent = (far * (time.square() - 1 / 12)).sum(2) / total
    return rising, bent


def _cosines(bands: int) -> Tensor:
    """The first rows of the discrete cosine transform (CEPSTRA, bands)."""
    places = torch.arange(bands) + 0.5
    rows = torch.arange(CEPSTRA)[:, None]
    return torch.cos(math.pi / bands * rows * places) * math.sqrt(2 / bands)
