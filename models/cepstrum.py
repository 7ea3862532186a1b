"""Smoothed cepstral peak prominence (Hillenbrand & Houde 1996), as Praat measures it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.framing import gaussian, join

RATE = 10_000  # Hz: spectra reach up to 5000 Hz
FLOOR_HZ = 60.0
STEP = 20  # samples: 2 ms
TIME_REACH = 5  # frames each side: means over 20 ms
PEAK_HZ = (60.0, 330.0)
FIRST_BIN, LAST_BIN = 10, 500  # of the trend line: 1-50 ms
WIDTH = int(6 / FLOOR_HZ * RATE)  # samples: Gaussian over twice three periods
SIZE = 1024
CHUNK = 256  # frames

SETTINGS = (
    "power cepstrogram 60 Hz, 2 ms, 5000 Hz, pre-emphasis 50 Hz; no trend subtraction before "
    "smoothing 20 ms, 0.5 ms; peak 60-330 Hz, parabolic; trend 1-50 ms, straight, robust"
)


@dataclass(frozen=True, slots=True)
class Prominences:
    """One value a frame, and the frames' centres in seconds from the signal's start."""

    db: NDArray[np.float32]
    times_s: NDArray[np.float64]


def prominences(samples: NDArray[np.float64], device: str | torch.device) -> Prominences:
    """CPP of every 2 ms of one signal at 10 kHz, pre-emphasised; empty if under 100 ms."""
    count = (len(samples) - WIDTH) // STEP + 1 if len(samples) >= WIDTH else 0
    first = (len(samples) - WIDTH - (count - 1) * STEP) // 2
    joined = join([samples / (np.abs(samples).max(initial=0.0) + 1e-30)], 0, device)
    frames = joined.samples[first:].unfold(0, WIDTH, STEP) if count else joined.samples[:0]
    margin = TIME_REACH
    parts = []
    for start in range(0, count, CHUNK):
        low, high = max(0, start - margin), min(count, start + CHUNK + margin)
        power = _power_cepstra(frames[low:high])
        wanted = slice(start - low, min(start + CHUNK, count) - low)
        parts.append(_prominence(_smooth(power)[wanted]))
    db = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return Prominences(db, (first + WIDTH / 2 + STEP * np.arange(count)) / RATE)


def _power_cepstra(frames: Tensor) -> Tensor:
    """(frames, quefrencies) of the bins that smoothing will look at."""
    padded = frames.new_zeros(len(frames), SIZE)
    centred = frames - frames.mean(1, keepdim=True)
    torch.mul(centred, gaussian(WIDTH, frames.device, frames.dtype), out=padded[:, :WIDTH])
    spectrum = torch.fft.rfft(padded)
    logs = (spectrum.real**2).add_(spectrum.imag**2).add_(1e-30).log_()
    cepstra: Tensor = torch.fft.irfft(logs, SIZE)[:, FIRST_BIN - 3 : LAST_BIN + 4]
    return cepstra.square()


def _smooth(power: Tensor) -> Tensor:
    """(frames, quefrencies kept): means over 20 ms, then over 0.5 ms.

    Means of the curve drawn through the points, as Praat takes them: a mean over 10 steps gives
    half weight to the points on its two ends, one over 5 reaches half a step past its points.
    """
    count = len(power)
    padded = torch.nn.functional.pad(power, (0, 0, TIME_REACH, TIME_REACH))
    two = padded[:-1] + padded[1:]
    four = two[:-2] + two[2:]
    ten = four[:-6] + four[4:-2] + two[8:]
    total = 0.5 * (ten[:-1] + ten[1:])
    place = torch.arange(count, device=power.device, dtype=power.dtype)
    span = (place + TIME_REACH).clamp_max(count - 0.5) - (place - TIME_REACH).clamp_min(-0.5)
    return _over_quefrency(total) / span[:, None]


def _over_quefrency(power: Tensor) -> Tensor:
    """Of the bins of the trend line only; weights 1, 7, 8, 8, 8, 7, 1 of 40."""
    count = LAST_BIN - FIRST_BIN + 1
    bins = [power[:, i : i + count] for i in range(7)]
    near = (bins[2] + bins[3]).add_(bins[4]).mul_(0.2)
    return near.add_(bins[1] + bins[5], alpha=0.175).add_(bins[0] + bins[6], alpha=0.025)


def _prominence(power: Tensor) -> NDArray[np.float32]:
    """Height of the cepstral peak over the straight line through the cepstrum, in dB."""
    db = power.add_(1e-30).log10_().mul_(10)
    height, place = _peak(db)
    slope, intercept = _theil(db)
    return np.asarray((height - (slope * place + intercept)).cpu().numpy())


def _peak(db: Tensor) -> tuple[Tensor, Tensor]:
    """Height and place (bins kept) of the maximum between 1/330 and 1/60 s, by a parabola."""
    low, high = (int(np.ceil(RATE / PEAK_HZ[1])), int(RATE / PEAK_HZ[0]))
    low, high = low - FIRST_BIN, high - FIRST_BIN
    index = db[:, low : high + 1].argmax(1, keepdim=True) + low
    before, at, after = (db.gather(1, index + i)[:, 0] for i in (-1, 0, 1))
    rise, bend = 0.5 * (after - before), 2 * at - before - after
    bent = (bend > 0) & (rise.abs() <= bend)
    shift = torch.where(bent, rise / bend.clamp_min(1e-30), 0.0)
    return at + 0.5 * rise * shift, index[:, 0] + shift


def _theil(db: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and intercept per bin by Theil's incomplete method: pairs half the range apart."""
    count = db.shape[1]
    half, pairs = count - count // 2, count // 2
    slope = _median((db[:, half:] - db[:, :pairs]) / half)
    place = torch.arange(count, device=db.device, dtype=db.dtype)
    return slope, _median(torch.addcmul(db, slope[:, None], place, value=-1))


def _median(values: Tensor) -> Tensor:
    count = values.shape[1]
    middle = [count // 2] if count % 2 else [count // 2 - 1, count // 2]
    if values.device.type == "cpu":  # NumPy sorts several times faster
        chosen = np.sort(values.numpy(), axis=1)[:, middle].mean(axis=1)
        return torch.from_numpy(chosen)
    return values.sort(1).values[:, middle].mean(1)
