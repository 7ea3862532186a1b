"""Front ends: takes to padded batches, and the time-frequency pictures the models look at."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.audio import ANALYSIS_RATE, Audio

HOP = 160  # samples: 10 ms at 16 kHz; frame i is centred on sample i * HOP


def batch(takes: Sequence[Audio], device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
    """Zero-padded samples (batch, samples) float32 and their lengths (batch,)."""
    resampled = [take.at(ANALYSIS_RATE).samples for take in takes]
    lengths = [len(samples) for samples in resampled]
    padded = np.zeros((len(takes), max(lengths, default=0)), np.float32)
    for row, samples in zip(padded, resampled, strict=True):
        row[: len(samples)] = samples
    return torch.from_numpy(padded).to(device), torch.tensor(lengths, device=device)


def frame_counts(lengths: Tensor, hop: int = HOP) -> Tensor:
    """Frames of each take: one centred on sample 0, then one every hop."""
    return lengths // hop + 1


def frame_mask(counts: Tensor, frames: int) -> Tensor:
    """(batch, frames): True where a frame belongs to its take, False in the padding."""
    return torch.arange(frames, device=counts.device) < counts[:, None]
