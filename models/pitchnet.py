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
COARSE = 4  # bins to a column: the body works in steps of 1.3 semitones, its answer is by the bin
SHORT, LONG = 1024, 2048  # samples: 64 ms follows speech, 128 ms resolves the harmonics of a bass
HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 8)  # of the bin's pitch, seen through the short window
LONG_HARMONICS = (1, 2, 3)
FLOOR = 1e-8  # power re a full-level sine: 80 dB below the loudest moment of the take
LOUDNESS_FRAME = 800  # samples: 50 ms
DILATIONS = (1, 2, 4)  # frames, of the layers after the first
REACH = 14  # frames each side that a frame's answer depends on, beside its window
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
        self.short = LogSpectrum(SHORT, HARMONICS)
        self.long = LogSpectrum(LONG, LONG_HARMONICS)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """(windows, samples) to the stack (windows, harmonics, frames, bins) and
        the level and spread of each spectrum, (windows, 4, frames).

        The first frame is centred on sample MARGIN; there is no padding here.
        """
        frames = samples.unfold(1, LONG, HOP)  # (windows, frames, LONG)
        short, short_clues = self.short(frames[..., MARGIN - SHORT // 2 : MARGIN + SHORT // 2])
        long, long_clues = self.long(frames)
        return torch.cat([short, long], 1), torch.cat([short_clues, long_clues], 1)


class LogSpectrum(nn.Module):
    """Power by FFT, interpolated to 36 frequencies an octave: each frame with mean 0."""

    def __init__(self, window: int, harmonics: Sequence[float]) -> None:
        super().__init__()
        self.offsets = [round(PER_OCTAVE * np.log2(h / harmonics[0])) for h in harmonics]
        bins = np.arange(BINS + self.offsets[-1])
        hz = LOWEST * harmonics[0] * 2 ** (bins / PER_OCTAVE)
        self.size = max(window, LONG)  # of the FFT
        place = np.minimum(hz * self.size / ANALYSIS_RATE, self.size / 2 - 1)
        taper = np.hanning(window + 1)[:-1] * 4 / window  # a unit sine has power 1
        self.taper = nn.Buffer(torch.tensor(taper).float(), persistent=False)
        self.below = nn.Buffer(torch.tensor(np.floor(place)).long(), persistent=False)
        self.part = nn.Buffer(torch.tensor(place % 1).float(), persistent=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(windows, frames, samples) to (windows, harmonics, frames, bins) and clues."""
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.taper, self.size))
        power = torch.addcmul(spectrum[..., 0].square(), spectrum[..., 1], spectrum[..., 1])
        there, after = power[..., self.below], power[..., self.below + 1]
        level = torch.log(torch.lerp(there, after, self.part) + FLOOR)
        mean = level.mean(-1, keepdim=True)
        level = level - mean
        spread = level.square().mean(-1, keepdim=True).sqrt()
        even = level / (spread + 1.0)
        stack = torch.stack([even[..., at : at + BINS] for at in self.offsets], 1)
        return stack, torch.cat([mean / 10, spread], -1).movedim(-1, 1)


class PitchNet(nn.Module):
    """Harmonic stacking and a few small convolutions in the manner of METHODS; 36 bins an octave.

    The first convolution makes one column of three bins and the last one parts them again.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.harmonics = Harmonics()
        inputs, few = len(HARMONICS) + len(LONG_HARMONICS), channels // 2
        first = nn.Conv2d(inputs, few, (3, 9), (1, COARSE), (1, 4), bias=False)
        self.body = nn.ModuleList([_block(first)])
        for seen, dilation in zip((few, channels, channels), DILATIONS, strict=True):
            size, reach = (3, 3), (dilation, 1)
            layer = nn.Conv2d(seen, channels, size, padding=reach, dilation=reach, bias=False)
            self.body.append(_block(layer))
        self.pitch = nn.Conv2d(channels, COARSE, (1, 3), padding=(0, 1))
        self.gather = nn.Conv1d(2 * channels + 7, 48, 5, padding=4, dilation=2)
        self.voicing = nn.Conv1d(48, 1, 5, padding=2)

    def forward(self, samples: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Levelled samples to logits: pitch (windows, frames, bins), voicing (windows, frames).

        `real` (windows, frames) marks the frames of the take: the others are kept at zero after
        every layer, just as convolutions pad, so that padding never leaks into a result.
        """
        return self.score(*self.harmonics(samples), real)

    def score(
        self, stacked: Tensor, clues: Tensor, real: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same from stacked harmonics (windows, harmonics, frames, bins) and their clues."""
        seen = _kept(stacked.contiguous(memory_format=torch.channels_last), real)
        for layer in self.body:
            seen = _kept(layer(seen), real)
        pitch = self.pitch(seen)  # (windows, COARSE, frames, columns)
        pitch = pitch.permute(0, 2, 3, 1).flatten(2)
        summary = _kept(torch.cat([_summary(seen, pitch), clues], 1), real)
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


def _summary(seen: Tensor, pitch: Tensor) -> Tensor:
    """What tells a voice from a noise, (windows, channels, frames)."""
    log_p = torch.log_softmax(pitch.float(), -1)
    p = log_p.exp()
    clues = torch.stack([pitch.amax(-1) / 10, pitch.mean(-1) / 10, -(p * log_p).sum(-1)], -1)
    columns = p.unflatten(-1, (-1, COARSE)).sum(-1).to(seen.dtype)[..., None, :]
    there = (columns @ seen.permute(0, 2, 3, 1))[..., 0, :]  # as seen where the pitch may be
    return torch.cat([there.movedim(-1, 1), seen.mean(3), clues.movedim(-1, 1)], 1)


def _kept(seen: Tensor, real: Tensor | None) -> Tensor:
    """(windows, channels, frames, ...) with the frames outside the take at zero, in place."""
    if real is None:
        return seen
    shape = (len(seen), 1, -1, *(1,) * (seen.dim() - 3))
    return seen.mul_(real.to(seen.dtype).view(shape))


def _block(convolution: nn.Conv2d) -> nn.Sequential:
    """The convolution, normalised and rectified."""
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )
