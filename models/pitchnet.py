"""PitchNet: a waveform to a score for every pitch, and for there being one, every 10 ms."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.audio import ANALYSIS_RATE
from models.spectra import HOP

LOWEST = 45.0  # Hz: of bin 0; we promise 46-1400 Hz
PER_OCTAVE = 36
BINS = 180  # up to 1412 Hz
SHORT, LONG = 1024, 2048  # samples: 64 ms follows speech, 128 ms resolves the harmonics of a bass
HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 8)  # of the bin's pitch, seen through the short window
LONG_HARMONICS = (1, 2, 3)
FLOOR = 1e-8  # power re a full-level sine: 80 dB below the loudest moment of the take
LOUDNESS_FRAME = 800  # samples: 50 ms
REACH = 9  # frames each side that a frame's answer depends on, beside its window
MARGIN = LONG // 2  # samples each side of a frame's centre


def bin_to_hz(bins: Tensor) -> Tensor:
    return LOWEST * torch.exp2(bins / PER_OCTAVE)


def hz_to_bin(hz: Tensor) -> Tensor:
    return PER_OCTAVE * torch.log2(hz / LOWEST)


def levelled(samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Takes (batch, samples) without DC and with their loudest 50 ms at RMS 1.

    Also that loudness, (batch,): gain, DC, padding and silence around a take change nothing else.
    """
    inside = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
    mean = samples.sum(1, dtype=torch.float64) / lengths.clamp_min(1)
    centred = (samples - mean[:, None].float()) * inside
    power = nn.functional.avg_pool1d(
        centred.square()[:, None], LOUDNESS_FRAME, HOP, LOUDNESS_FRAME // 2
    )
    loudest = power.amax((1, 2)).sqrt()
    return centred / loudest.clamp_min(1e-9)[:, None], loudest


class Harmonics(nn.Module):
    """Log spectra on a log-frequency axis, the harmonics of each pitch stacked as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.short = nn.Buffer(_kernel(SHORT, HARMONICS), persistent=False)
        self.long = nn.Buffer(_kernel(LONG, LONG_HARMONICS), persistent=False)
        self.offsets, self.long_offsets = _offsets(HARMONICS), _offsets(LONG_HARMONICS)

    def forward(self, samples: Tensor) -> Tensor:
        """(windows, samples) to (windows, harmonics, frames, bins).

        The first frame is centred on sample MARGIN; there is no padding here.
        """
        frames = samples.unfold(1, LONG, HOP)  # (windows, frames, LONG)
        middle = frames[..., MARGIN - SHORT // 2 : MARGIN + SHORT // 2]
        short, long = _log_power(middle, self.short), _log_power(frames, self.long)
        stacked = [short[..., at : at + BINS] for at in self.offsets]
        stacked += [long[..., at : at + BINS] for at in self.long_offsets]
        return torch.stack(stacked, 1)


class PitchNet(nn.Module):
    """Harmonic stacking and a few small convolutions in the manner of METHODS; 36 bins an octave.

    The first convolution halves the frequency axis and the last one restores it.
    """

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.harmonics = Harmonics()
        inputs = len(HARMONICS) + len(LONG_HARMONICS)
        self.body = nn.ModuleList([_block(inputs, channels, 9, stride=2)])
        self.body.extend(_block(channels, channels, 5) for _ in range(3))
        self.pitch = nn.Conv2d(channels, 2, 3, padding=1)
        self.gather = nn.Conv1d(2 * channels + 3, 32, 5, padding=2)
        self.voicing = nn.Conv1d(32, 1, 5, padding=2)

    def forward(self, samples: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Levelled samples to logits: pitch (windows, frames, bins), voicing (windows, frames).

        `real` (windows, frames) marks the frames of the take: the others are kept at zero after
        every layer, just as convolutions pad, so that padding never leaks into a result.
        """
        return self.score(self.harmonics(samples), real)

    def score(self, stacked: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same from stacked harmonics (windows, harmonics, frames, bins)."""
        seen = _kept(stacked.contiguous(memory_format=torch.channels_last), real)
        for layer in self.body:
            seen = _kept(layer(seen), real)
        pitch = self.pitch(seen)  # (windows, 2, frames, bins / 2)
        pitch = pitch.permute(0, 2, 3, 1).flatten(2)
        summary = _kept(self._summary(seen, pitch), real)
        gathered = _kept(torch.relu(self.gather(summary)), real)
        return pitch, self.voicing(gathered)[:, 0]

    def fused(self) -> "PitchNet":
        """Ready to answer: normalisation folded into the convolutions."""
        self.eval()
        for layer in self.body:
            assert isinstance(layer, nn.Sequential)
            convolution, normalisation = layer[0], layer[1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(normalisation, nn.BatchNorm2d)
            layer[0], layer[1] = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
        return self

    def _summary(self, seen: Tensor, pitch: Tensor) -> Tensor:
        """What tells a voice from a noise, (windows, channels, frames)."""
        log_p = torch.log_softmax(pitch.float(), -1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        clues = torch.stack([pitch.amax(-1) / 10, pitch.mean(-1) / 10, entropy], 1)
        return torch.cat([seen.amax(3), seen.mean(3), clues], 1)


def _kept(seen: Tensor, real: Tensor | None) -> Tensor:
    """(windows, channels, frames, ...) with the frames outside the take at zero, in place."""
    if real is None:
        return seen
    shape = (len(seen), 1, -1, *(1,) * (seen.dim() - 3))
    return seen.mul_(real.to(seen.dtype).view(shape))


def _block(inputs: int, outputs: int, width: int, stride: int = 1) -> nn.Sequential:
    """Three frames by `width` bins."""
    convolution = nn.Conv2d(inputs, outputs, (3, width), (1, stride), (1, width // 2), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _offsets(harmonics: Sequence[float]) -> list[int]:
    return [round(PER_OCTAVE * np.log2(h / harmonics[0])) for h in harmonics]


def _kernel(window: int, harmonics: Sequence[float]) -> Tensor:
    """(window, 2 x frequencies): Hann-windowed cosines and sines; a unit sine has power 1."""
    count = BINS + _offsets(harmonics)[-1]
    hz = LOWEST * harmonics[0] * 2 ** (np.arange(count) / PER_OCTAVE)
    t = (np.arange(window) - window / 2) / ANALYSIS_RATE
    angles = 2 * np.pi * t[:, None] * hz
    taper = np.hanning(window + 1)[:-1, None] * (hz < 0.49 * ANALYSIS_RATE) * 4 / window
    return torch.tensor(np.hstack([taper * np.cos(angles), taper * np.sin(angles)])).float()


def _log_power(frames: Tensor, kernel: Tensor) -> Tensor:
    """(windows, frames, frequencies), each frame with mean 0 and about unit spread."""
    real, imaginary = (frames @ kernel).chunk(2, -1)
    level = torch.log(real.square() + imaginary.square() + FLOOR)
    spread, mean = torch.std_mean(level, -1, keepdim=True)
    return (level - mean) / (spread + 1.0)
