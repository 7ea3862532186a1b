"""The network that hears emotion: three seconds of voice to categories, arousal and valence."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models import functionals, mel, periodicity, spectra

CATEGORIES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
MEL = mel.Settings(bands=64, size=1024, window=640, hop=320)
FLOOR_DB = -70.0  # re the window's level
WINDOW = 150  # frames: 3 s
MEMBERS = 3
DISCRIMINANT_WEIGHT = 1.0  # of the linear discriminant's say, re the mean member's
RULED_OUT = -4.0  # least log-probability that the discriminant may give: it extrapolates boldly
FARTHEST = 4.0  # standard deviations: what lies farther out tells no more
LINES, HIDDEN = 96, 96  # channels over time, and after it
IMPRESSIONS = 64  # what a member keeps of the functionals

Stride = tuple[int, int]  # over bands and frames
STRIDES: tuple[Stride, ...] = ((4, 2), (2, 2), (2, 1))
SPECTRUM_WIDTHS = (2, 16, 32, 48)  # channels into, between and out of the 2-D convolutions
MELODY_WIDTHS = (1, 8, 16)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Windows of takes, as the network sees them. Frames past a window's count are not seen."""

    levels: Tensor  # dB re the window's level (batch, bands, frames)
    periodicity: Tensor  # (batch, semitones, frames)
    counts: Tensor  # frames (batch,)


class EmotionNet(nn.Module):
    """What a few networks trained apart and a linear discriminant say, as one.

    The members' mean log-probabilities and the discriminant's (Fisher 1936, on the functionals of
    the window) are added up: the errors of the one kind are not the other's.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, members: int = MEMBERS, categories: int = len(CATEGORIES)) -> None:
        super().__init__()
        self.members = nn.ModuleList(Member(categories) for _ in range(members))
        self.discriminant = nn.Linear(functionals.COUNT, categories)
        self.register_buffer("centre", torch.zeros(functionals.COUNT))
        self.register_buffer("scale", torch.ones(functionals.COUNT))

    def forward(self, seen: Pictures) -> tuple[Tensor, Tensor]:
        """To logits (batch, categories), and arousal and valence in -1..1 (batch, 2)."""
        known = self.standard(functionals.of(seen.levels, seen.periodicity, seen.counts))
        said = [member(seen, known) for member in self.members]
        shares = torch.stack([torch.log_softmax(logits, 1) for logits, _ in said]).mean(0)
        linear = torch.log_softmax(self.discriminant(known), 1).clamp_min(RULED_OUT)
        dimensions = torch.stack([heard for _, heard in said]).mean(0)
        return shares + DISCRIMINANT_WEIGHT * linear, dimensions

    def standard(self, measured: Tensor) -> Tensor:
        """Functionals (..., COUNT) in standard deviations from the training speakers' mean."""
        return ((measured - self.centre) / self.scale).clamp(-FARTHEST, FARTHEST)


class Member(nn.Module):
    """Convolutions over the spectrum and over the melody, and the functionals beside them.

    What they hear is drawn together over time by attentive statistics (Okabe, Koshinaka &
    Shinoda, Interspeech 2018). Frames past a window's count are zeroed after every layer.
    """

    def __init__(self, categories: int = len(CATEGORIES), dropout: float = 0.3) -> None:
        super().__init__()
        self.spectrum, self.melody = _stack(SPECTRUM_WIDTHS), _stack(MELODY_WIDTHS)
        rows = SPECTRUM_WIDTHS[-1] * (MEL.bands // 16)
        rows += MELODY_WIDTHS[-1] * (periodicity.SEMITONES // 8)
        self.squeeze = nn.Sequential(nn.Conv1d(rows, LINES, 1, bias=False), nn.BatchNorm1d(LINES))
        self.context = nn.Sequential(
            nn.Conv1d(LINES, LINES, 3, padding=2, dilation=2, bias=False), nn.BatchNorm1d(LINES)
        )
        self.attention = nn.Sequential(nn.Conv1d(LINES, 32, 1), nn.Tanh(), nn.Conv1d(32, 4, 1))
        self.impressions = nn.Linear(functionals.COUNT, IMPRESSIONS)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(2 * LINES + IMPRESSIONS, HIDDEN)
        self.categories = nn.Linear(HIDDEN, categories)
        self.dimensions = nn.Linear(HIDDEN, 2)

    def forward(self, seen: Pictures, known: Tensor) -> tuple[Tensor, Tensor]:
        """With standard functionals (batch, COUNT), to logits and dimensions."""
        mask = spectra.frame_mask(seen.counts, seen.levels.shape[2])[:, None, None]
        x, counts = _through(self.spectrum, _channels(seen.levels, mask), seen.counts)
        y, _ = _through(self.melody, seen.periodicity[:, None] * mask, seen.counts)
        line = spectra.frame_mask(counts, x.shape[3])[:, None]  # (batch, 1, frames)
        rows = torch.cat([x.flatten(1, 2), y.flatten(1, 2)], 1)
        z = self.dropout(torch.relu(self.squeeze(rows)) * line)
        z = (z + torch.relu(self.context(z))) * line
        kept = torch.relu(self.impressions(self.dropout(known)))
        pooled = torch.cat([self._statistics(z, line), kept.float()], 1)
        hidden = self.dropout(torch.relu(self.hidden(self.dropout(pooled))))
        return self.categories(hidden).float(), torch.tanh(self.dimensions(hidden).float())

    def _statistics(self, z: Tensor, mask: Tensor) -> Tensor:
        """Attention-weighted mean and deviation over time, a quarter of the channels a head."""
        scores = self.attention(z).float().masked_fill(~mask, float("-inf"))
        share = torch.softmax(scores, 2).repeat_interleave(z.shape[1] // 4, 1)
        line = z.float()
        mean = (line * share).sum(2)
        variance = ((line - mean[:, :, None]).square() * share).sum(2)
        return torch.cat([mean, (variance + 1e-4).sqrt()], 1)


def _stack(widths: Sequence[int]) -> nn.ModuleList:
    kernels = (5, 3, 3)
    layers = zip(pairwise(widths), STRIDES, kernels, strict=False)
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(after),
        )
        for (before, after), stride, kernel in layers
    )


def _through(layers: nn.ModuleList, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    for layer, (_, hop) in zip(layers, STRIDES, strict=False):
        counts = counts // hop
        x = torch.relu(layer(x))
        x = x * spectra.frame_mask(counts, x.shape[3])[:, None, None]
    return x, counts


def _channels(levels: Tensor, mask: Tensor) -> Tensor:
    """Levels as they are, and re the window's own mean in each band: (batch, 2, bands, frames)."""
    x = (levels[:, None] + 50) / 15 * mask
    mean = x.sum(3, keepdim=True) / mask.sum(3, keepdim=True)
    return torch.cat([x, (x - mean) * mask], 1)
