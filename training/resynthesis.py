"""Real speech made to follow an F0 contour we choose, so that its truth is exact (WORLD)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyworld
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from models.audio import ANALYSIS_RATE

PERIOD = 5.0  # ms between WORLD frames: two to a frame of ours
LOWEST, HIGHEST = 55.0, 650.0  # Hz: searched for in real speech
SHORTEST = 12  # WORLD frames: a shorter voiced run is left out
SILENT = 1 - 1e-12  # aperiodicity of a frame that is all noise

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Speech:
    """A clip taken apart, every 5 ms. `octaves` is log2 of the F0 in Hz, smooth; 0 if unvoiced."""

    octaves: Floats  # (frames,)
    envelope: Floats  # (frames, bins)
    aperiodicity: Floats  # (frames, bins)
    doubtful: Mask  # (frames,): one estimate of F0 hears a voice here and the other does not

    @property
    def voiced(self) -> Mask:
        return self.octaves > 0

    def stretched(self, factor: float) -> "Speech":
        """Said more slowly by `factor`."""
        index = np.arange(0, len(self.octaves) - 1, 1 / factor).astype(int)
        return Speech(
            self.octaves[index],
            self.envelope[index],
            self.aperiodicity[index],
            self.doubtful[index],
        )

    def warped(self, factor: float) -> "Speech":
        """Formants moved by `factor`: a smaller or larger speaker."""
        bins = self.envelope.shape[1]
        index = np.clip(np.arange(bins) / factor, 0, bins - 1).astype(int)
        return replace(
            self, envelope=self.envelope[:, index], aperiodicity=self.aperiodicity[:, index]
        )


Tracker = Callable[[Floats, Floats], Floats]  # sound at 16 kHz and times in s to F0, 0: unvoiced
AGREED = 1 / 12  # octaves


def analyse(samples: NDArray[np.floating], second: Tracker | None = None) -> Speech:
    """Take a 16 kHz clip apart; voiced only where two estimates of F0 agree.

    Harvest is the first. The second is the waveform's own periodicity, or another tracker.
    """
    sound = np.asarray(samples, np.float64)
    sound = 0.7 * sound / (np.abs(sound).max() + 1e-9)
    rough, times = pyworld.harvest(sound, ANALYSIS_RATE, LOWEST, HIGHEST, PERIOD)
    f0 = pyworld.stonemask(sound, rough, times, ANALYSIS_RATE)
    envelope = pyworld.cheaptrick(sound, f0, times, ANALYSIS_RATE, f0_floor=LOWEST)
    aperiodicity = pyworld.d4c(sound, f0, times, ANALYSIS_RATE, threshold=0.0)
    agreed = _near(f0, second(sound, times)) if second else _periodic(sound, f0, times)
    trusted = (f0 > 0) & _loud(sound, times, 35.0) & agreed
    octaves = _smooth(f0, trusted)
    doubtful = (octaves == 0) & (f0 > 0) & _loud(sound, times, 50.0)
    return Speech(octaves, envelope, aperiodicity, doubtful)


def synthesise(speech: Speech, f0_hz: Floats) -> Floats:
    """The speech with this F0 at every 5 ms (0: noise); peak 0.7."""
    aperiodicity = speech.aperiodicity.copy()
    aperiodicity[f0_hz <= 0] = SILENT
    sound = pyworld.synthesize(
        f0_hz, np.ascontiguousarray(speech.envelope), aperiodicity, ANALYSIS_RATE, PERIOD
    )
    return np.asarray(0.7 * sound / (np.abs(sound).max() + 1e-9))


def _loud(sound: Floats, times: Floats, range_db: float) -> Mask:
    window = np.full(320, 1 / 320)
    power = np.convolve(sound**2, window, "same")
    at = np.minimum((times * ANALYSIS_RATE).astype(int), len(sound) - 1)
    level = 10 * np.log10(power[at] + 1e-18)
    return np.asarray(level > level.max() - range_db)


def _near(f0: Floats, other: Floats) -> Mask:
    apart = np.log2(np.maximum(f0, 1.0)) - np.log2(np.maximum(other, 1.0))
    return np.asarray((other > 0) & (np.abs(apart) < AGREED))


def _periodic(sound: Floats, f0: Floats, times: Floats, least: float = 0.5) -> Mask:
    """The waveform repeats after the stated period, and not as well after half of it."""
    period = np.where(f0 > 0, ANALYSIS_RATE / np.maximum(f0, LOWEST), 0).round().astype(int)
    centre = (times * ANALYSIS_RATE).astype(int)
    once = _likeness(sound, centre, period)
    half = _likeness(sound, centre, period // 2)
    return np.asarray((once > least) & (half < once - 0.02))


def _likeness(sound: Floats, centre: NDArray[np.int_], lag: NDArray[np.int_]) -> Floats:
    """Normalised correlation of the 30 ms before and after half the lag, at each centre."""
    width, room = 480, 1000
    padded = np.pad(sound, room)
    start = centre + room - (width + lag) // 2
    first = padded[start[:, None] + np.arange(width)]
    second = padded[(start + lag)[:, None] + np.arange(width)]
    power = np.sum(first**2, 1) * np.sum(second**2, 1)
    return np.asarray(np.sum(first * second, 1) / np.sqrt(power + 1e-12))


def _smooth(f0: Floats, trusted: Mask) -> Floats:
    """log2 F0 without the estimator's own jumps; 0 where it cannot be trusted."""
    octaves = np.where(trusted, np.log2(np.maximum(f0, 1.0)), 0.0)
    _bridge(octaves)
    smooth = np.zeros_like(octaves)
    for start, end in runs(octaves > 0):
        if end - start < SHORTEST:
            continue
        line = median_filter(octaves[start:end], 13, mode="nearest")
        line = gaussian_filter1d(line, 2.4, mode="nearest")
        steady = np.abs(np.gradient(line)) * 1200 < 30
        for a, b in runs(steady):
            if b - a >= SHORTEST:
                smooth[start + a : start + b] = line[a:b]
    return smooth


def _bridge(octaves: Floats, longest: int = 6) -> None:
    """Fill gaps of up to 30 ms between like values, in place."""
    for start, end in runs(octaves == 0):
        inside = start > 0 and end < len(octaves) and end - start <= longest
        if inside and abs(octaves[start - 1] - octaves[end]) < 0.1:
            line = np.linspace(octaves[start - 1], octaves[end], end - start + 2)
            octaves[start:end] = line[1:-1]


def runs(mask: Mask) -> list[tuple[int, int]]:
    """Starts and ends of the stretches that are True."""
    edges = np.diff(np.r_[0, mask.astype(int), 0])
    starts, ends = np.where(edges == 1)[0], np.where(edges == -1)[0]
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
