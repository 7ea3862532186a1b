"""Formants: resonances by linear prediction (Burg), followed through time by Viterbi."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from models.framing import Joined, chunks, gaussian

ORDER = 10  # five formants under the ceiling
WINDOW_S = 0.05  # twice the effective 25 ms
EMPHASIS_HZ = 50.0
AT_ONCE = 128  # frames: few enough to stay in a core's cache
EDGE_HZ = 50.0  # roots this close to 0 or the ceiling are no formants
CEILINGS_HZ = {"male": 5000.0, "female": 5500.0, "child": 8000.0}
HIGH_VOICE_HZ = 160.0  # median F0 from which a voice of unknown kind gets the female ceiling

Floats = NDArray[np.float64]


def ceiling_hz(voice: str, median_f0_hz: float) -> float:
    """Highest frequency five formants are expected under; F0 decides between adults."""
    if voice in CEILINGS_HZ:
        return CEILINGS_HZ[voice]
    return CEILINGS_HZ["female" if median_f0_hz >= HIGH_VOICE_HZ else "male"]


def emphasised(samples: Floats, rate: int) -> Floats:
    """Tilted up by 6 dB an octave from 50 Hz."""
    kept = np.exp(-2 * np.pi * EMPHASIS_HZ / rate)
    out = samples.copy()
    out[1:] -= kept * samples[:-1]
    return out


def candidates(joined: Joined, take: Tensor, centre: Tensor, rate: int) -> Tensor:
    """(frames, 5, 2) resonances in Hz, ascending, and their bandwidths; NaN where there are fewer.

    As Praat's "To Formant (burg)" with 25 ms: `joined` holds pre-emphasised samples (float64) at
    `rate`, twice the ceiling; `centre` counts samples of that rate.
    """
    width = int(WINDOW_S * rate)
    window = gaussian(width, joined.samples.device, joined.samples.dtype)
    parts = [
        _resonances(_burg(joined.frames(take[part], centre[part], width) * window).cpu(), rate)
        for part in chunks(len(take), AT_ONCE)
    ]
    return torch.cat(parts) if parts else torch.empty(0, ORDER // 2, 2, dtype=torch.float64)


def reach(rate: int) -> int:
    return int(WINDOW_S * rate)


def _burg(frames: Tensor) -> Tensor:
    """(frames, order) prediction coefficients.

    What is left of the energy follows from each reflection, so it is summed only once.
    """
    coefficients = frames.new_zeros(len(frames), ORDER)
    forward, backward = frames[:, 1:], frames[:, :-1]
    energy = (forward * forward).sum(1) + (backward * backward).sum(1)
    for m in range(ORDER):
        k = (2 * (forward * backward).sum(1) / energy.clamp_min(1e-30))[:, None]
        old = coefficients[:, :m].clone()
        coefficients[:, :m] = old - k * old.flip(1)
        coefficients[:, m : m + 1] = k
        ahead = torch.addcmul(forward, k, backward, value=-1)
        backward = torch.addcmul(backward, k, forward, value=-1)
        energy = (1 - k[:, 0] ** 2) * energy - ahead[:, 0] ** 2 - backward[:, -1] ** 2
        forward, backward = ahead[:, 1:], backward[:, :-1]
    return coefficients


def _resonances(coefficients: Tensor, rate: int) -> Tensor:
    """Of the roots of the prediction polynomial, which are the eigenvalues of its companion."""
    companion = torch.zeros(len(coefficients), ORDER, ORDER, dtype=coefficients.dtype)
    companion[:, 0] = coefficients
    below = torch.arange(1, ORDER)
    companion[:, below, below - 1] = 1.0
    roots = torch.linalg.eigvals(companion)
    hz = torch.angle(roots) * rate / (2 * torch.pi)
    width = torch.log(roots.abs().clamp_min(1e-6)).abs() * rate / torch.pi
    fit = (hz > EDGE_HZ) & (hz < rate / 2 - EDGE_HZ)
    found, order = torch.where(fit, hz, torch.inf).sort(1)
    both = torch.stack([found, width.gather(1, order)], 2)[:, : ORDER // 2]
    return torch.where(both[..., :1].isinf(), torch.nan, both)


EXPECTATION = 0.03  # cost of lying a whole expected frequency away
SKIP = 3.0  # of a candidate left out between two formants
MOVEMENT = 0.5  # of an octave a frame
FLAT_HZ, FLATNESS = 1500.0, 12.0  # lasting bandwidth that no formant has; cost of a kHz more
LASTING = 21  # frames
IMPOSSIBLE = 1e6


def track(found: Floats, ceiling: float) -> Floats:
    """(frames, 4, 2) F1-F4 and bandwidths of consecutive voiced frames: the cheapest path.

    A choice of F1-F3 costs its distance from where formants are expected, the candidates it leaves
    out, and resonances that stay so broad that they only model the tilt of the spectrum; a step
    costs the movement in octaves (after Xia & Espy-Wilson 2000). F4 is the next candidate above
    that is not so broad. NaN where there are not three candidates, F4 where there is no fourth.
    """
    choices, skips = _choices(found.shape[1])
    options = found[..., 0][:, choices]  # (frames, options, 3)
    lasting = median_filter(np.nan_to_num(found[..., 1]), (LASTING, 1), mode="nearest")
    flat = np.clip(lasting - FLAT_HZ, 0, None) / 1000
    expected = ceiling / 5500.0 * np.array([550.0, 1650.0, 2750.0])
    away = np.abs(options - expected) / expected
    local = (EXPECTATION * away + FLATNESS * flat[:, choices]).sum(2) + SKIP * skips
    local = np.where(np.isnan(local), IMPOSSIBLE, local)
    path = _cheapest(local, np.log2(np.where(np.isnan(options), 1.0, options)))
    row = np.arange(len(path))
    fourth = _next(choices[path, -1], (flat == 0) & ~np.isnan(found[..., 0]))
    padded = np.pad(found, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    chosen = padded[row[:, None], np.c_[choices[path], fourth]]
    chosen[local[row, path] >= IMPOSSIBLE] = np.nan
    return np.asarray(chosen)


def _next(last: NDArray[np.int64], fit: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of each row, the first fit place after the last one; the row's length where there is none."""
    count = fit.shape[1]
    after = fit & (np.arange(count) > last[:, None])
    return np.asarray(np.where(after.any(1), after.argmax(1), count))


@cache
def _choices(count: int) -> tuple[NDArray[np.int64], Floats]:
    """Which candidates may be F1-F3, and how many lower ones each choice leaves out."""
    rows = [
        (a, b, c) for a in range(count) for b in range(a + 1, count) for c in range(b + 1, count)
    ]
    choices = np.array(rows, np.int64)
    return choices, (choices[:, 2] - 2).astype(np.float64)


def _cheapest(local: Floats, logs: Floats) -> NDArray[np.int64]:
    """Viterbi over (frames, options)."""
    frames, options = local.shape
    usable = local < IMPOSSIBLE
    both = usable[1:, :, None] & usable[:-1, None, :]
    moved = np.abs(logs[1:, :, None] - logs[:-1, None, :]).sum(3)
    steps = np.where(both, MOVEMENT * moved, 0.0)  # (frames - 1, options, options before)
    back = np.zeros((frames, options), np.int64)
    every = np.arange(options)
    cost = local[0] if frames else np.empty(0)
    for i in range(1, frames):
        total = steps[i - 1] + cost
        back[i] = total.argmin(1)
        cost = total[every, back[i]] + local[i]
    path = np.zeros(frames, np.int64)
    if frames:
        path[-1] = cost.argmin()
    for i in range(frames - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path
