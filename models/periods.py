"""Glottal periods: one pulse a cycle, found by matching the waveform with its neighbour cycle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]

NEAREST, FURTHEST = 0.8, 1.25  # periods: where the next cycle is looked for
MATCH, EDGE_MATCH = 0.3, 0.7  # correlation asked inside a voiced stretch, and just outside it
QUIET, EDGE_QUIET = 0.01, 0.023333  # of the take's peak: fainter cycles are no pulses
LONGEST_S = 2.0  # longer voiced stretches are cut, so that all can be walked side by side
SEAM_S = 0.04  # left open at a cut: over the longest period, so that no period spans it
LOWEST_HZ = 40.0


@dataclass(frozen=True, slots=True)
class _Stretches:
    """Voiced stretches of all takes, in samples of the joined signal; arrays (stretches,)."""

    take: Wholes
    left: Floats
    right: Floats


@dataclass(slots=True)
class _Walk:
    """Pulses added while walking one way: which stretch, where, and the period there."""

    stretch: list[Wholes]
    position: list[Floats]
    period: list[Floats]

    def add(self, stretch: Wholes, position: Floats, period: Floats) -> None:
        self.stretch.append(stretch)
        self.position.append(position)
        self.period.append(period)

    def joined(self) -> tuple[Wholes, Floats, Floats]:
        empty = np.empty(0)
        return (
            np.concatenate([np.empty(0, np.int64), *self.stretch]),
            np.concatenate([empty, *self.position]),
            np.concatenate([empty, *self.period]),
        )


class _Signal:
    """Takes side by side with room around them, and the F0 curve of each."""

    def __init__(
        self, takes: Sequence[Floats], f0_hz: Sequence[Floats], hop: float, rate: int
    ) -> None:
        room = int(4 * rate / LOWEST_HZ)
        self.rate, self.hop = rate, hop
        self.samples = np.zeros(room + sum(len(x) + room for x in takes))
        starts, position = [], room
        for x in takes:
            self.samples[position : position + len(x)] = x
            starts.append(position)
            position += len(x) + room
        self.starts = np.array(starts, np.int64)
        self.peaks = np.array([np.abs(x).max(initial=0.0) for x in takes])
        self.frames = np.array([len(f) for f in f0_hz], np.int64)
        self.first_frame = np.concatenate([[0], np.cumsum(self.frames)[:-1]]).astype(np.int64)
        self.curve = np.concatenate([*f0_hz, [np.nan]])

    def f0(self, take: Wholes, position: Floats) -> Floats:
        """F0 at the positions, linear between voiced frames; NaN where the nearest is unvoiced."""
        frame = (position - self.starts[take]) / self.hop
        near = np.floor(frame + 0.5).astype(np.int64)
        far = np.where(frame >= near, near + 1, near - 1)
        value, other = self._frame(take, near), self._frame(take, far)
        mixed = value + np.abs(frame - near) * (other - value)
        return np.where(np.isnan(other), value, mixed)

    def _frame(self, take: Wholes, frame: Wholes) -> Floats:
        inside = (frame >= 0) & (frame < self.frames[take])
        return self.curve[np.where(inside, self.first_frame[take] + frame, -1)]


def find(
    takes: Sequence[Floats], f0_hz: Sequence[Floats], *, hop: float, rate: int
) -> list[Floats]:
    """Pulse positions of each take in (fractional) samples, in order.

    The method of Praat's "To PointProcess (cc)" (Boersma): from the largest extremum in the middle
    of each voiced stretch, to both sides, the next pulse lies where the waveform of one period
    correlates best, 0.8 to 1.25 periods away. Correlation maxima are refined by a parabola.
    `f0_hz`: one value every `hop` samples from sample 0, NaN where unvoiced.
    """
    if not takes:
        return []
    signal = _Signal(takes, f0_hz, hop, rate)
    stretches = _stretches(signal)
    if not len(stretches.take):
        return [np.empty(0) for _ in takes]
    middle = _extremum(signal, stretches)
    left, right = _walk(signal, stretches, middle)
    stretch, position = _merged(stretches, middle, left.joined(), right.joined())
    take = stretches.take[stretch]
    return [np.sort(position[take == i]) - signal.starts[i] for i in range(len(takes))]


def _stretches(signal: _Signal) -> _Stretches:
    take: list[int] = []
    left: list[float] = []
    right: list[float] = []
    for i, (start, first, count) in enumerate(
        zip(signal.starts, signal.first_frame, signal.frames, strict=True)
    ):
        voiced = np.isfinite(signal.curve[first : first + count]).astype(np.int8)
        edges = np.diff(voiced, prepend=0, append=0)
        for a, b in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True):
            low, high = start + (a - 0.5) * signal.hop, start + (b - 0.5) * signal.hop
            pieces = int(np.ceil((high - low) / (LONGEST_S * signal.rate)))
            cuts = np.linspace(low, high, pieces + 1)
            seam = 0.5 * SEAM_S * signal.rate
            take += [i] * pieces
            left += [low, *(cuts[1:-1] + seam)]
            right += [*(cuts[1:-1] - seam), high]
    return _Stretches(np.array(take, np.int64), np.array(left), np.array(right))


def _extremum(signal: _Signal, stretches: _Stretches) -> Floats:
    """The largest excursion within half a period of each stretch's middle."""
    middle = 0.5 * (stretches.left + stretches.right)
    half = 0.5 * signal.rate / signal.f0(stretches.take, middle)
    first = np.ceil(middle - half).astype(np.int64)
    count = np.floor(middle + half).astype(np.int64) - first + 1
    width = int(count.max())
    rows = np.abs(sliding_window_view(signal.samples, width + 2)[first - 1])
    rows[:, 1:-1][np.arange(width) >= count[:, None]] = -1.0
    best = rows[:, 1:-1].argmax(axis=1) + 1
    row = np.arange(len(best))
    before, at, after = rows[row, best - 1], rows[row, best], rows[row, best + 1]
    curve = 2 * at - before - after
    inner = (before >= 0) & (after >= 0) & (before <= at) & (after <= at) & (curve > 0)
    shift = np.where(inner, 0.5 * (after - before) / np.where(inner, curve, 1.0), 0.0)
    return np.asarray(first - 1 + best + shift)


def _walk(signal: _Signal, stretches: _Stretches, start: Floats) -> tuple[_Walk, _Walk]:
    """The walks to the left and to the right of each stretch's start.

    All stretches go both ways side by side, one period a step, until each has left its voiced part.
    """
    walks = _Walk([], [], []), _Walk([], [], [])
    stretch, position = np.tile(np.arange(len(start)), 2), np.tile(start, 2)
    way = np.repeat([-1, 1], len(start))
    while len(stretch):
        f0 = signal.f0(stretches.take[stretch], position)
        known = np.isfinite(f0)
        stretch, position, way, f0 = stretch[known], position[known], way[known], f0[known]
        if not len(stretch):
            break
        position, match, peak = _next_pulse(signal, position, signal.rate / f0, way)
        loud = peak / np.maximum(signal.peaks[stretches.take[stretch]], 1e-30)
        end = np.where(way < 0, stretches.left[stretch], stretches.right[stretch])
        outside = way * (position - end) > 0
        edge = (match > EDGE_MATCH) & (loud > EDGE_QUIET)
        keep = np.where(outside, edge, (match > MATCH) & (loud > QUIET))
        for walk, these in zip(walks, (keep & (way < 0), keep & (way > 0)), strict=True):
            walk.add(stretch[these], position[these], signal.rate / f0[these])
        stretch, position, way = stretch[~outside], position[~outside], way[~outside]
    return walks


def _next_pulse(
    signal: _Signal, position: Floats, period: Floats, way: Wholes
) -> tuple[Floats, Floats, Floats]:
    """Where the waveform around each position is found again, how well, and its peak there."""
    half = 0.5 * period
    first = np.floor(position - half + 0.5).astype(np.int64)
    width = np.floor(position + half + 0.5).astype(np.int64) - first + 1
    near, far = np.where(way > 0, NEAREST, -FURTHEST), np.where(way > 0, FURTHEST, -NEAREST)
    low = np.floor(position + near * period - half).astype(np.int64)
    lags = np.ceil(position + far * period - half).astype(np.int64) - low + 1
    match, other = _correlation(signal.samples, first, width, low, lags)
    best, value, shift = _best(match, lags)
    found = value > -1
    peak = _peak(other, best, width)
    moved = position + np.where(found, low + best + shift - first, way * period)
    return moved, value, peak


def _correlation(
    samples: Floats, first: Wholes, width: Wholes, low: Wholes, lags: Wholes
) -> tuple[Floats, Floats]:
    """Normalised correlation (rows, lags) of one period with each shift of its neighbour."""
    widest, most = int(width.max()), int(lags.max())
    reach = widest + most
    one = _rows(samples, first, widest)
    one[np.arange(widest) >= width[:, None]] = 0.0
    other = _rows(samples, low, reach)
    size = next_fast_len(reach, real=True)
    product = irfft(rfft(one, size).conj() * rfft(other, size), size)[:, :most]
    energy = np.zeros((len(other), reach + 1))
    np.cumsum(other**2, axis=1, out=energy[:, 1:])
    ends = np.minimum(np.arange(most) + width[:, None], reach)
    lasting = energy[np.arange(len(ends))[:, None], ends] - energy[:, :most]
    norm = np.sqrt((one**2).sum(axis=1, keepdims=True) * lasting)
    faint = norm <= 1e-12 * (norm.max() + 1e-30)
    return np.where(faint, 0.0, product / np.where(faint, 1.0, norm)), other


def _rows(samples: Floats, first: Wholes, width: int) -> Floats:
    """(rows, width): the samples from each first one on. Windowed views cost more for few rows."""
    inside = np.clip(first, 0, len(samples) - width)
    return np.asarray(samples[inside[:, None] + np.arange(width)])


def _best(match: Floats, lags: Wholes) -> tuple[Wholes, Floats, Floats]:
    """Index, height and sub-sample shift of each row's highest local maximum (-1: none)."""
    padded = np.zeros((len(match), match.shape[1] + 2))
    padded[:, 1:-1] = match
    before, at, after = padded[:, :-2], match, padded[:, 2:]
    inside = np.arange(at.shape[1]) < lags[:, None] - 1
    top = np.where((at >= before) & (at >= after) & inside, at, -1.0)
    best = top.argmax(axis=1)
    row = np.arange(len(best))
    value, rise = top[row, best], 0.5 * (after[row, best] - before[row, best])
    curve = 2 * at[row, best] - before[row, best] - after[row, best]
    bent = (value > -1) & (curve > 0)
    shift = np.where(bent, rise / np.where(bent, curve, 1.0), 0.0)
    return best, value + 0.5 * rise * shift * bent, shift


def _peak(other: Floats, best: Wholes, width: Wholes) -> Floats:
    index = np.arange(other.shape[1])
    inside = (index >= best[:, None]) & (index < (best + width)[:, None])
    return np.asarray((np.abs(other) * inside).max(axis=1))


def _merged(
    stretches: _Stretches,
    middle: Floats,
    left: tuple[Wholes, Floats, Floats],
    right: tuple[Wholes, Floats, Floats],
) -> tuple[Wholes, Floats]:
    """All pulses; a short gap already filled from its left is not filled again from its right."""
    reached = np.full(len(middle), -np.inf)
    np.maximum.at(reached, right[0], right[1])
    before = np.concatenate([[-np.inf], np.maximum.accumulate(reached)[:-1]])
    clear = left[1] - before[left[0]] > NEAREST * left[2]
    stretch = np.concatenate([np.arange(len(middle)), left[0][clear], right[0]])
    return stretch, np.concatenate([middle, left[1][clear], right[1]])
