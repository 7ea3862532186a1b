"""Harmonics-to-noise ratio, frame by frame (Boersma 1993, Proc. IFA 17)."""

from functools import cache

import torch
from torch import Tensor

from models.framing import Joined, chunks, gaussian

FLOOR_HZ = 75.0
PERIODS_PER_WINDOW = 4.5
SILENCE = 0.1  # of the take's peak
SHORTEST_LAG = 2  # samples
CANDIDATES = 4  # highest peaks of the autocorrelation that are measured between samples
DEPTH = 30  # samples each side that band-limited interpolation leans on
FINE = 16  # steps a sample
AT_ONCE = 128  # frames: few enough to stay in a core's cache


def hnr_db(joined: Joined, take: Tensor, centre: Tensor, peaks: Tensor, rate: int) -> Tensor:
    """HNR of the frames at `centre` (samples from their take's start), in dB; NaN where silent.

    As Praat's "To Harmonicity (ac)" with 75 Hz, 4.5 periods and silence threshold 0.1. `joined` in
    float64 without DC; `peaks`: the largest excursion of each take, which silence is relative to.
    """
    parts = [
        _chunk(joined.frames(take[part], centre[part], _width(rate)), peaks[take[part]], rate)
        for part in chunks(len(take), AT_ONCE)
    ]
    return torch.cat(parts) if parts else joined.samples.new_empty(0)


def reach(rate: int) -> int:
    """Samples a frame needs on either side of its centre."""
    return _width(rate) // 2 + 1


def _width(rate: int) -> int:
    width = int(2 * PERIODS_PER_WINDOW / FLOOR_HZ * rate)
    return width - width % 2


def _chunk(frames: Tensor, peaks: Tensor, rate: int) -> Tensor:
    longest, half = int(rate / FLOOR_HZ), frames.shape[1] // 2
    frames = frames - frames[:, half - longest : half + longest].mean(1, keepdim=True)
    near = longest // 2 + 1
    loudness = frames[:, half - near : half + near].abs().amax(1) / peaks.clamp_min(1e-30)
    window = gaussian(frames.shape[1], frames.device, frames.dtype)
    lags = longest + DEPTH + 2
    sound = _autocorrelation(frames * window, lags)
    strength = _highest(sound / _own(frames.shape[1], lags, frames.device, frames.dtype), longest)
    silent = (2.0 - loudness / SILENCE).clamp_min(0.0) > strength
    strength = torch.where(strength > 1, 1 / strength, strength).clamp(1e-10, 1 - 1e-10)
    return torch.where(silent, torch.nan, 10 * torch.log10(strength / (1 - strength)))


@cache
def _own(width: int, lags: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, lags) Of the window itself."""
    return _autocorrelation(gaussian(width, device, dtype)[None], lags)


def _autocorrelation(frames: Tensor, lags: int) -> Tensor:
    """(frames, lags), 1 at lag 0."""
    size = _fast(frames.shape[1] + lags)
    spectrum = torch.fft.rfft(frames, size)
    power = spectrum.real**2 + spectrum.imag**2
    found = torch.fft.irfft(power, size)[:, :lags]
    scaled: Tensor = found / found[:, :1].clamp_min(1e-30)
    return scaled


def _fast(size: int) -> int:
    """The next even length that has no prime factor over 5."""
    size += size % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2


def _highest(curve: Tensor, longest: int) -> Tensor:
    """Height of the highest local maximum between the shortest and the longest lag."""
    before, at, after = (
        curve[:, SHORTEST_LAG - 1 + i : longest - 1 + i] for i in range(3)
    )  # (frames, lags)
    rise, bend = 0.5 * (after - before), (2 * at - before - after).clamp_min(1e-30)
    top = torch.where((at > before) & (at >= after), at + 0.5 * rise * rise / bend, -1.0)
    value, index = top.topk(CANDIDATES, dim=1)
    lag = index + SHORTEST_LAG  # (frames, candidates)
    mirrored = torch.cat([curve[:, 1 : DEPTH + 1].flip(1), curve], 1)
    rows = mirrored.unfold(1, 2 * DEPTH + 1, 1)  # row l is centred on lag l
    around = rows[torch.arange(len(curve), device=curve.device)[:, None], lag]
    fine = around @ _interpolator(curve.device, curve.dtype)  # (frames, candidates, steps)
    return torch.where(value > 0, _parabolic_top(fine), -1.0).amax(1)


def _parabolic_top(fine: Tensor) -> Tensor:
    index = fine[..., 1:-1].argmax(-1, keepdim=True) + 1
    before, at, after = (fine.gather(-1, index + i)[..., 0] for i in (-1, 0, 1))
    rise, bend = 0.5 * (after - before), 2 * at - before - after
    bent = (bend > 0) & (rise.abs() <= bend)
    return at + torch.where(bent, 0.5 * rise * rise / bend.clamp_min(1e-30), 0.0)


@cache
def _interpolator(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(2 depth + 1, steps): windowed sincs that read a curve up to a sample either side."""
    shift = torch.arange(-FINE - 1, FINE + 2, dtype=torch.float64) / FINE
    distance = torch.arange(-DEPTH, DEPTH + 1, dtype=torch.float64)[:, None] - shift
    window = 0.5 + 0.5 * torch.cos(torch.pi * (distance / (DEPTH + 1.5)).clamp(-1, 1))
    return (torch.sinc(distance) * window).to(device, dtype)
