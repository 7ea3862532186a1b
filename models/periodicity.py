"""How periodic every frame is at each pitch: a picture in which a melody is a line."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from models import mel
from models.audio import ANALYSIS_RATE

SEMITONES = 48  # rows, from 60 Hz up
LOWEST_HZ = 60.0
FLOOR = 1e-7  # of the take's power, spread over the spectrum: under it nothing is periodic
EXPONENT = 1 / 3  # of the power spectrum: a formant must not pass for a pitch


class _Lags(NamedTuple):
    whole: Tensor  # (SEMITONES,) samples
    rest: Tensor  # (SEMITONES,): what is left, under one sample


def picture(samples: Tensor, lengths: Tensor, level: Tensor, settings: mel.Settings) -> Tensor:
    """Generalised autocorrelation (batch, SEMITONES, frames), 1 for a perfect period.

    Tolonen & Karjalainen (IEEE Trans. Speech and Audio Processing 8, 2000), at lags a semitone
    apart. `level` is the take's amplitude, as of `mel.reference`; frames past a take's end are 0.
    """
    frames, inside = mel.framed(samples, lengths, settings)
    floor = FLOOR / settings.size * level.square().clamp_min(mel.SILENCE**2)[:, None, None]
    lags = _lags()
    whole, rest = lags.whole.to(samples.device), lags.rest.to(samples.device)
    pieces = []
    for start in range(0, frames.shape[1], mel.CHUNK):
        power = mel.periodogram(frames[:, start : start + mel.CHUNK], settings) + floor
        likeness = torch.fft.irfft(power.pow(EXPONENT))
        likeness = likeness / likeness[..., :1]
        pieces.append(likeness[..., whole] * (1 - rest) + likeness[..., whole + 1] * rest)
    return torch.cat(pieces, 1).transpose(1, 2) * inside[:, None]


@functools.cache
def _lags() -> _Lags:
    samples = ANALYSIS_RATE / (LOWEST_HZ * 2 ** (torch.arange(SEMITONES).double() / 12))
    whole = samples.floor()
    return _Lags(whole.long(), (samples - whole).float())
