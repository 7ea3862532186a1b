"""F0 contours nobody has sung yet: transposed speech, melodies with vibrato, and slides."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Floats = NDArray[np.float64]


def melody(
    frames: int,
    rate: float,
    rng: np.random.Generator,
    lowest: float = 46.0,
    highest: float = 1400.0,
) -> Floats:
    """F0 in Hz at `rate` frames a second: notes with portamento, vibrato, drift and slides."""
    low, high = np.log2(lowest), np.log2(highest)
    centre = rng.uniform(low + 0.1, high - 0.1)
    octaves = _notes(frames, rate, rng, centre)
    octaves += _vibrato(frames, rate, rng)
    octaves += gaussian_filter1d(rng.standard_normal(frames), rate * 0.05) * 0.01
    return np.asarray(2 ** _folded(octaves, low, high))


def _notes(frames: int, rate: float, rng: np.random.Generator, centre: float) -> Floats:
    """A random walk of notes; now and then a slide of up to an octave."""
    octaves, at, here = np.empty(frames), 0, centre
    while at < frames:
        length = min(int(rate * rng.uniform(0.12, 1.2)), frames - at)
        there = centre + rng.normal(0, 0.3)
        line = np.linspace(here, there, length) if rng.random() < 0.3 else there
        octaves[at : at + length] = line
        at, here = at + length, there
    return np.asarray(gaussian_filter1d(octaves, rate * rng.uniform(0.01, 0.04), mode="nearest"))


def _vibrato(frames: int, rate: float, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.4:
        return np.zeros(frames)
    hz = rng.uniform(4, 8) + gaussian_filter1d(rng.standard_normal(frames), rate * 0.3)
    depth = rng.uniform(10, 150) / 1200 * np.abs(np.sin(np.linspace(0, rng.uniform(1, 9), frames)))
    return np.asarray(depth * np.sin(2 * np.pi * np.cumsum(hz) / rate))


def _folded(octaves: Floats, low: float, high: float) -> Floats:
    """Reflected at the ends of the range."""
    span = high - low
    inside = np.mod(octaves - low, 2 * span)
    return np.asarray(low + np.where(inside > span, 2 * span - inside, inside))
