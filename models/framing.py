"""Takes laid end to end, so that a frame of any of them is one row of one view."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Joined:
    """Takes with silence before, between and after them."""

    samples: Tensor  # (total,)
    starts: Tensor  # (takes,) where each take's first sample lies

    def frames(self, take: Tensor, centre: Tensor, width: int) -> Tensor:
        """(frames, width): samples around each centre, which counts from its take's start."""
        first = self.starts[take] + centre - width // 2
        return self.samples.unfold(0, width, 1)[first]


def join(
    takes: Sequence[NDArray[np.floating]],
    gap: int,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Joined:
    """Lay the takes `gap` samples of silence apart; frames may reach that far past their ends."""
    total = gap + sum(len(take) + gap for take in takes)
    samples = np.zeros(total, np.float64 if dtype == torch.float64 else np.float32)
    starts, position = [], gap
    for take in takes:
        samples[position : position + len(take)] = take
        starts.append(position)
        position += len(take) + gap
    return Joined(
        torch.from_numpy(samples).to(device),
        torch.tensor(starts, dtype=torch.long, device=device),
    )


def chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@cache
def gaussian(length: int, device: str | torch.device, dtype: torch.dtype) -> Tensor:
    """Praat's Gaussian window: over twice the effective length, zero at its edges."""
    middle = 0.5 * (length + 1)
    i = torch.arange(1, length + 1, dtype=torch.float64)
    edge = float(np.exp(-12.0))
    shape = (torch.exp(-48 * (i - middle) ** 2 / (length + 1) ** 2) - edge) / (1 - edge)
    return shape.to(device, dtype)
