"""Vibrato of a sung note: rate, extent, regularity and onset, by fitting sinusoids to its F0."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from models.results import Vibrato

SHORTEST_S = 0.5  # of a note
WINDOW_S = 0.4  # fitted at a time: two cycles of a slow vibrato
STEP_S = 0.05
RATES = np.arange(4.0, 8.01, 0.1)  # Hz
LEAST_CENTS = 12.0  # half of peak to peak: less is the unsteadiness of a straight tone
LEAST_FIT = 0.6  # share of the window's variance that the sinusoid explains
MOST_CENTS = 200.0
LEVEL = 250.0  # cents a second: a steeper line under the sinusoid is a step between two notes
SURE_FIT = 0.85  # ...of one to be taken out: a step between notes looks like half a sinusoid

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Fits:
    """The best line and sinusoid of each window of a contour in cents."""

    starts: NDArray[np.intp]  # (windows,): frames
    rate_hz: Floats  # (windows,)
    cents: Floats  # (windows,): amplitude
    share: Floats  # (windows,): explained of what the line leaves
    slope: Floats  # (windows,): of the line, in cents a second
    waves: Floats  # (windows, width): the sinusoids

    @property
    def inside(self) -> NDArray[np.bool_]:
        """A real maximum, not the flank of something slower or faster."""
        return np.asarray((self.rate_hz > RATES[0]) & (self.rate_hz < RATES[-1]))


def find(midi: Floats, hop_s: float, window_s: float = 0.0) -> Vibrato | None:
    """Vibrato of one note's F0 in semitones, or None where it has none or is under 0.5 s.

    Each 0.4 s window is fitted with a line and a sinusoid of 4-8 Hz by least squares; the note
    has vibrato if at least a third of them agree. Its extent is the one it grows to: the upper
    quartile of theirs. It begins where it first has half of that. F0 that was seen through a Hann
    window of `window_s` has lost some of its extent, which is made good.
    """
    if len(midi) * hop_s < SHORTEST_S:
        return None
    fits = _fitted(100 * midi, hop_s)
    shaking = (fits.cents >= LEAST_CENTS) & (fits.share >= LEAST_FIT) & fits.inside
    if shaking.mean() < 1 / 3 or shaking.sum() < 3:
        return None
    rate = float(np.median(fits.rate_hz[shaking]))
    extent = float(np.percentile(fits.cents[shaking], 75))
    steadiness = 1 - min(1.0, float(np.std(fits.rate_hz[shaking])) / rate * 3)
    return Vibrato(
        rate_hz=rate,
        extent_cents=extent / _passed(rate, window_s),
        regularity=float(np.clip(fits.share[shaking].mean() * steadiness, 0, 1)),
        onset_delay_s=_onset(100 * midi, rate, extent, hop_s),
    )


def without(midi: Floats, hop_s: float) -> Floats:
    """A voiced stretch in semitones (frames,) as it would be without its vibrato.

    Only what is surely vibrato is taken out: steps and slides between notes stay.
    """
    width = round(WINDOW_S / hop_s)
    if len(midi) < width:
        return midi
    fits = _fitted(100 * midi, hop_s)
    sure = (fits.cents >= LEAST_CENTS) & (fits.cents <= MOST_CENTS) & fits.inside
    sure &= (fits.share >= SURE_FIT) & (np.abs(fits.slope) <= LEVEL)
    sure &= np.convolve(sure, [1, 0, 1])[1:-1] > 0  # one alone is chance
    straight = midi.copy()
    for at in sorted(np.flatnonzero(sure), key=lambda window: fits.share[window]):
        part = slice(fits.starts[at], fits.starts[at] + width)
        straight[part] = midi[part] - fits.waves[at] / 100
    return straight


def _passed(rate_hz: float, window_s: float) -> float:
    """The share of a movement at this rate that is left in its average under a Hann window."""
    cycles = min(rate_hz * window_s, 0.9)
    return float(np.sinc(cycles) / (1 - cycles**2))


def _onset(cents: Floats, rate: float, extent: float, hop_s: float) -> float:
    """When the sinusoid of this rate, seen through one cycle, first has half its extent."""
    cycle = round(1 / (rate * hop_s))
    t = np.arange(len(cents)) * hop_s
    level = uniform_filter1d(cents, cycle, mode="nearest")
    turned = (cents - level) * np.exp(-2j * np.pi * rate * t)
    depth = 2 * np.abs(np.convolve(turned, np.full(cycle, 1 / cycle), "same"))
    return float(np.argmax(depth >= 0.5 * extent) * hop_s)


def _fitted(cents: Floats, hop_s: float) -> _Fits:
    """Windows of 0.4 s every 50 ms, the last at the end."""
    width, step = round(WINDOW_S / hop_s), round(STEP_S / hop_s)
    starts = np.unique(np.append(np.arange(0, len(cents) - width, step), len(cents) - width))
    windows = np.lib.stride_tricks.sliding_window_view(cents, width)[starts]
    t = (np.arange(width) - (width - 1) / 2) * hop_s
    line = np.linalg.qr(np.stack([np.ones(width), t], 1))[0]  # (width, 2)
    left = windows - windows @ line @ line.T
    angles = 2 * np.pi * RATES[:, None] * t
    waves = np.stack([np.cos(angles), np.sin(angles)], -1)  # (rates, width, 2)
    flat = waves - line @ (line.T @ waves)
    basis, triangle = np.linalg.qr(flat)
    heights = np.einsum("nw,rwk->nrk", left, basis)
    power = np.sum(heights**2, -1)  # (windows, rates): explained
    best = power.argmax(1)
    rows = np.arange(len(windows))
    weights = np.linalg.solve(triangle[best], heights[rows, best][..., None])  # (windows, 2, 1)
    return _Fits(
        starts,
        _between(power, best),
        np.hypot(weights[:, 0, 0], weights[:, 1, 0]),
        power[rows, best] / np.maximum(np.sum(left**2, 1), 1e-9),
        windows @ t / (t @ t),
        (waves[best] @ weights)[..., 0],
    )


def _between(power: Floats, best: NDArray[np.intp]) -> Floats:
    """The rate at the top of the parabola through the best rate and its neighbours."""
    rows, last = np.arange(len(best)), len(RATES) - 1
    low, high = np.maximum(best - 1, 0), np.minimum(best + 1, last)
    a, b, c = power[rows, low], power[rows, best], power[rows, high]
    bend = a - 2 * b + c
    shift = np.where(bend < 0, 0.5 * (a - c) / np.where(bend < 0, bend, -1.0), 0.0)
    edge = (best == 0) | (best == last)
    return np.asarray(RATES[best] + np.where(edge, 0.0, shift) * (RATES[1] - RATES[0]))
