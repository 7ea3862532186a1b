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
IN_CACHE = {"cpu": 64}  # frames turned to spectra at a time: more do not fit in a core's cache


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
        tapers = torch.stack([self.short.taper, self.long.taper])[:, None, None]
        places = [*self.short.places, *(at + self.short.width for at in self.long.places)]
        index = torch.arange(BINS)[:, None] + torch.tensor(places)
        self.tapers = nn.Buffer(tapers, persistent=False)  # (2, 1, 1, LONG)
        self.stack = nn.Buffer(index.flatten(), persistent=False)  # (bins * harmonics,)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """(windows, samples) to the stack (windows, harmonics, frames, bins), channels last, and
        the level and spread of each spectrum, (windows, 4, frames).

        The first frame is centred on sample MARGIN; there is no padding here.
        """
        frames = samples.unfold(1, LONG, HOP)  # (windows, frames, LONG)
        few = IN_CACHE.get(samples.device.type, frames.shape[1] * len(frames))
        few = max(1, few // len(frames))
        parts = [self._stacked(part) for part in torch.split(frames, few, 1)]
        stacked, clues = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        return stacked.permute(0, 3, 1, 2), clues.movedim(-1, 1)

    def _stacked(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(windows, frames, LONG) to (windows, frames, bins, harmonics) and clues."""
        short, long = torch.view_as_real(torch.fft.rfft(frames * self.tapers))
        parts = (*self.short(short), *self.long(long))
        levels, clues = torch.cat(parts[::2], -1), torch.cat(parts[1::2], -1)
        stacked = levels.flatten(0, 1).index_select(1, self.stack)
        return stacked.view(*frames.shape[:2], BINS, -1), clues


class LogSpectrum(nn.Module):
    """Power of an FFT, interpolated to 36 frequencies an octave: each frame with mean 0."""

    def __init__(self, window: int, harmonics: Sequence[float]) -> None:
        super().__init__()
        self.places = [round(PER_OCTAVE * np.log2(h / harmonics[0])) for h in harmonics]
        self.width = BINS + self.places[-1]
        hz = LOWEST * harmonics[0] * 2 ** (np.arange(self.width) / PER_OCTAVE)
        place = np.minimum(hz * LONG / ANALYSIS_RATE, LONG / 2 - 1)
        taper = np.hanning(window + 1)[:-1] * 4 / window  # a unit sine has power 1
        taper = np.pad(taper, (LONG - window) // 2)
        below = torch.tensor(np.floor(place)).long()
        self.taper = torch.tensor(taper).float()
        self.reach = int(below.max()) + 2  # bins of the FFT that are looked at
        self.ends = nn.Buffer(torch.cat([below, below + 1]), persistent=False)
        self.part = nn.Buffer(torch.tensor(place % 1).float(), persistent=False)

    def forward(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """(windows, frames, FFT bins, 2) to (windows, frames, width) and clues."""
        parts = spectrum[..., : self.reach, :].square()
        power = (parts[..., 0] + parts[..., 1]).flatten(0, 1)
        there, after = power.index_select(1, self.ends).chunk(2, 1)
        level = torch.lerp(there, after, self.part).add_(FLOOR).log_().view(*parts.shape[:2], -1)
        mean = level.mean(-1, keepdim=True)
        level -= mean
        spread = level.square().mean(-1, keepdim=True).sqrt()
        return level / (spread + 1.0), torch.cat([mean / 10, spread], -1)


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
        stacked, clues = self.harmonics(samples)
        return self.score(stacked, clues, real)

    def score(
        self, stacked: Tensor, clues: Tensor, real: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same from stacked harmonics (windows, harmonics, frames, bins) and their clues."""
        beyond = None if real is None else torch.nonzero(~real, as_tuple=True)
        seen = _kept(stacked.contiguous(memory_format=torch.channels_last), beyond)
        for layer in self.body:
            seen = _kept(layer(seen), beyond)
        pitch = self.pitch(seen)  # (windows, COARSE, frames, columns)
        pitch = pitch.permute(0, 2, 3, 1).flatten(2)
        summary = _kept(torch.cat([_summary(seen, pitch), clues], 1), beyond)
        gathered = _kept(torch.relu(self.gather(summary)), beyond)
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
    columns = p.view(*p.shape[:2], -1, COARSE).sum(-1).to(seen.dtype)[..., None, :]
    seen = seen.permute(0, 2, 3, 1)  # as it lies in memory: (windows, frames, columns, channels)
    there = (columns @ seen)[..., 0, :]  # as seen where the pitch may be
    return torch.cat([there, seen.mean(2), clues], -1).movedim(-1, 1)


def _kept(seen: Tensor, beyond: tuple[Tensor, ...] | None) -> Tensor:
    """(windows, channels, frames, ...) with the frames beyond the take at zero, in place."""
    if beyond is not None:
        seen.movedim(1, -1)[beyond] = 0
    return seen


def _block(convolution: nn.Conv2d) -> nn.Sequential:
    """The convolution, normalised and rectified."""
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )
