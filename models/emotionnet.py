"""The network that hears emotion: three seconds of log-mel to categories, arousal and valence."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models import mel, spectra

CATEGORIES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
MEL = mel.Settings(bands=64, size=1024, window=640, hop=320)
FLOOR_DB = -70.0  # re the window's level
WINDOW = 150  # frames: 3 s
WIDTHS = (2, 24, 32, 48, 64)  # channels into, between and out of the 2-D convolutions
STRIDES = (2, 1, 1, 1)  # over bands and frames
POOLS = ((1, 1), (2, 2), (2, 1), (2, 1))  # bands, frames


class EmotionNet(nn.Module):
    """Log-mel windows to category logits, and arousal and valence in -1..1.

    Four masked 2-D convolutions, two over time, then attentive statistics (Okabe, Koshinaka &
    Shinoda, Interspeech 2018). Frames past a window's count are zeroed after every layer.
    """

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _block(before, after, stride)
            for (before, after), stride in zip(pairwise(WIDTHS), STRIDES, strict=True)
        )
        self.squeeze = nn.Sequential(nn.Conv1d(256, 96, 1, bias=False), nn.BatchNorm1d(96))
        self.context = nn.Sequential(
            nn.Conv1d(96, 96, 3, padding=2, dilation=2, bias=False), nn.BatchNorm1d(96)
        )
        self.attention = nn.Sequential(nn.Conv1d(96, 32, 1), nn.Tanh(), nn.Conv1d(32, 4, 1))
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(192, 64)
        self.categories = nn.Linear(64, len(CATEGORIES))
        self.dimensions = nn.Linear(64, 2)

    def forward(self, levels: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Levels in dB (batch, bands, frames) to logits (batch, 8) and dimensions (batch, 2)."""
        mask = spectra.frame_mask(counts, levels.shape[2])[:, None, None]
        x = _channels(levels, mask)
        for block, stride, pool in zip(self.blocks, STRIDES, POOLS, strict=True):
            counts, x = _masked(counts // stride, torch.relu(block(x)))
            counts, x = _masked(counts // pool[1], nn.functional.avg_pool2d(x, pool))
        line = spectra.frame_mask(counts, x.shape[3])[:, None]  # (batch, 1, frames)
        y = self.dropout(torch.relu(self.squeeze(x.flatten(1, 2))) * line)
        y = (y + torch.relu(self.context(y))) * line
        pooled = self.dropout(self._statistics(y, line))
        hidden = self.dropout(torch.relu(self.hidden(pooled)))
        return self.categories(hidden), torch.tanh(self.dimensions(hidden))

    def _statistics(self, y: Tensor, mask: Tensor) -> Tensor:
        """Attention-weighted mean and deviation over time, a quarter of the channels a head."""
        scores = self.attention(y).masked_fill(~mask, float("-inf"))
        share = torch.softmax(scores, 2).repeat_interleave(y.shape[1] // 4, 1)
        mean = (y * share).sum(2)
        variance = ((y - mean[:, :, None]).square() * share).sum(2)
        return torch.cat([mean, (variance + 1e-4).sqrt()], 1)


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    width = 2 * stride + 1
    convolution = nn.Conv2d(before, after, width, stride, padding=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


def _masked(counts: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return counts, x * spectra.frame_mask(counts, x.shape[3])[:, None, None]


def _channels(levels: Tensor, mask: Tensor) -> Tensor:
    """Levels as they are, and re the window's own mean in each band: (batch, 2, bands, frames)."""
    x = (levels[:, None] + 50) / 15 * mask
    mean = x.sum(3, keepdim=True) / mask.sum(3, keepdim=True)
    return torch.cat([x, (x - mean) * mask], 1)
