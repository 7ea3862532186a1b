"""Jitter, shimmer and their relatives: how unlike neighbouring glottal cycles are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SHORTEST_S, LONGEST_S = 0.0001, 0.02  # a period
PERIOD_FACTOR, AMPLITUDE_FACTOR = 1.3, 1.6  # neighbours further apart are not compared
AMPLITUDE_REACH = 0.2  # periods each side of a pulse that its amplitude is taken over


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean deviation, its standard error, and the comparisons it is the mean of."""

    value: float
    standard_error: float
    count: int


def jitter(pulses: Floats, rate: int) -> dict[str, Spread]:
    """Period perturbation: seconds for `local_absolute`, else relative to the mean period.

    The definitions of Praat's voice report; empty where there are no three periods to compare.
    """
    periods = np.diff(pulses) / rate
    mean = _mean_period(periods)
    if mean is None:
        return {}
    sound = (periods >= SHORTEST_S) & (periods <= LONGEST_S)
    alike = _alike(periods, PERIOD_FACTOR)
    found = {
        "local_absolute": _spread(np.abs(np.diff(periods)), _runs(sound, alike, 2), 1.0),
        "local": _spread(np.abs(np.diff(periods)), _runs(sound, alike, 2), mean),
        "rap": _spread(_from_average(periods, 3), _runs(sound, alike, 3), mean),
        "ppq5": _spread(_from_average(periods, 5), _runs(sound, alike, 5), mean),
    }
    return _with_triple(found, "rap", "ddp")


def shimmer(samples: Floats, pulses: Floats, rate: int) -> dict[str, Spread]:
    """Amplitude perturbation: dB for `local_db`, else relative to the mean amplitude."""
    at, amplitude = _amplitudes(samples, pulses, rate)
    if len(amplitude) < 3:
        return {}
    mean = float(amplitude[:-1].mean())
    gaps = np.diff(at) / rate
    sound = (gaps >= SHORTEST_S) & (gaps <= LONGEST_S)
    near = sound & _alike(amplitude, AMPLITUDE_FACTOR)
    every = np.ones(len(amplitude), np.bool_)
    steps = np.abs(np.diff(amplitude))
    decibels = 20 * np.abs(np.diff(np.log10(amplitude)))
    found = {
        "local": _spread(steps, near, mean),
        "local_db": _spread(decibels, near, 1.0),
        "apq3": _spread(_from_average(amplitude, 3), _runs(every, near, 3), mean),
        "apq5": _spread(_from_average(amplitude, 5), _runs(every, near, 5), mean),
        "apq11": _spread(_from_average(amplitude, 11), _runs(every, near, 11), mean),
    }
    return _with_triple(found, "apq3", "dda")


def _mean_period(periods: Floats) -> float | None:
    """Over the intervals that are periods: of sound length, and like one of their neighbours."""
    if len(periods) < 2:
        return None
    alike = _alike(periods, PERIOD_FACTOR)
    like_one = np.concatenate([alike, [False]]) | np.concatenate([[False], alike])
    chosen = periods[(periods >= SHORTEST_S) & (periods <= LONGEST_S) & like_one]
    return float(chosen.mean()) if len(chosen) else None


def _alike(values: Floats, factor: float) -> Flags:
    """Whether each value is within the factor of the next."""
    low, high = np.minimum(values[:-1], values[1:]), np.maximum(values[:-1], values[1:])
    return np.asarray(high <= factor * low)


def _runs(each: Flags, pairs: Flags, length: int) -> Flags:
    """Where `length` values in a row are all sound, and each alike with the next."""
    count = len(each) - length + 1
    good = np.ones(max(count, 0), np.bool_)
    for i in range(length):
        good &= each[i : i + len(good)]
    for i in range(length - 1):
        good &= pairs[i : i + len(good)]
    return good


def _from_average(values: Floats, length: int) -> Floats:
    """How far each value is from the average of the `length` values around it."""
    if len(values) < length:
        return np.empty(0)
    average = np.convolve(values, np.full(length, 1 / length), "valid")
    half = length // 2
    return np.asarray(np.abs(values[half : len(values) - half] - average))


def _spread(deviations: Floats, chosen: Flags, scale: float) -> Spread | None:
    kept = deviations[chosen] / scale
    if not len(kept):
        return None
    return Spread(float(kept.mean()), float(kept.std() / np.sqrt(len(kept))), len(kept))


def _with_triple(found: dict[str, Spread | None], name: str, triple: str) -> dict[str, Spread]:
    """`ddp` and `dda` compare differences of differences: three times `rap` and `apq3`."""
    known = {key: spread for key, spread in found.items() if spread}
    if name in known:
        one = known[name]
        known[triple] = Spread(3 * one.value, 3 * one.standard_error, one.count)
    return known


def _amplitudes(samples: Floats, pulses: Floats, rate: int) -> tuple[Floats, Floats]:
    """Pulses with a sound period on both sides, and the Hann-weighted RMS around each."""
    periods = np.diff(pulses) / rate
    sound = (periods >= SHORTEST_S) & (periods <= LONGEST_S)
    fit = _runs(sound, _alike(periods, PERIOD_FACTOR), 2) if len(periods) > 1 else sound[:0]
    index = np.flatnonzero(fit) + 1
    if not len(index):
        return np.empty(0), np.empty(0)
    at = pulses[index]
    left = AMPLITUDE_REACH * (at - pulses[index - 1])[:, None]
    right = AMPLITUDE_REACH * (pulses[index + 1] - at)[:, None]
    reach = int(np.ceil(max(left.max(), right.max()))) + 1
    place = np.floor(at).astype(np.int64)[:, None] + np.arange(-reach, reach + 2)
    offset = place - at[:, None]
    phase = np.where(offset < 0, offset / left, offset / right)
    window = np.where(np.abs(phase) < 1, 0.5 + 0.5 * np.cos(np.pi * phase), 0.0)
    window *= (place >= 0) & (place < len(samples))
    values = samples[np.clip(place, 0, len(samples) - 1)] * window
    power = (values**2).sum(axis=1) / np.maximum((window**2).sum(axis=1), 1e-30)
    loud = power > 0
    return at[loud], np.sqrt(power[loud])
