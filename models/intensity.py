"""Intensity: the level of the voice around each frame."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.framing import Joined, chunks

RATE = 16_000
FLOOR_HZ = 75.0
WIDTH = int(6.4 / FLOOR_HZ * RATE)  # samples: no period of the floor shows in the curve
WIDTH -= 1 - WIDTH % 2  # odd: as much before the centre as after it
REFERENCE = 4e-10  # (20 micropascal) squared, with a full scale of 1 Pa
AT_ONCE = 128  # frames: few enough to stay in a core's cache


def db(joined: Joined, take: Tensor, centre: Tensor) -> NDArray[np.float64]:
    """(frames,) Intensity around each centre (samples at 16 kHz) in dB, `joined` in float64.

    As Praat's "To Intensity" with 75 Hz and the mean subtracted: a Kaiser window of 85 ms.
    """
    window = _kaiser().to(joined.samples.device)
    found = [joined.samples.new_empty(0)]
    for part in chunks(len(take), AT_ONCE):
        frames = joined.frames(take[part], centre[part], WIDTH)
        found.append((frames - frames.mean(1, keepdim=True)).square() @ window)
    power = torch.cat(found).clamp_min(1e-30)
    return np.asarray((10 * torch.log10(power / REFERENCE)).cpu().numpy())


def reach() -> int:
    """Samples a frame needs on either side of its centre."""
    return WIDTH // 2 + 1


@cache
def _kaiser() -> Tensor:
    """Of sum 1, as Praat shapes it: zero just past its half length of 3.2 periods."""
    half = 3.2 / FLOOR_HZ * RATE
    phase = torch.arange(-(WIDTH // 2), WIDTH // 2 + 1, dtype=torch.float64) / half
    window = torch.special.i0((2 * torch.pi**2 + 0.5) * torch.sqrt((1 - phase**2).clamp_min(0.0)))
    scaled: Tensor = window / window.sum()
    return scaled
