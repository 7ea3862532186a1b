"""Other ways to judge a recording: minimum statistics, and a package's blind reverberation time."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d
from scipy.signal import lfilter, stft

from models import conditions
from models.audio import ANALYSIS_RATE

SMOOTHED = 0.85  # of the last frame's periodogram
STARTING = 10  # frames that the smoothing takes to settle
LOOK_S = 1.5  # the noise is the least within this
BIAS = 2.5  # by which the least lies under the mean at that smoothing, measured on white noise

Floats = NDArray[np.floating]


def minimum_statistics_db(samples: Floats) -> float:
    """Signal-to-noise ratio with the noise tracked in each bin by its minima (Martin 2001).

    With one smoothing constant and one factor for the bias; the voice is in the frames that have
    twice the noise. Minus infinity where none has.
    """
    sound = np.asarray(samples, np.float64) - np.mean(samples)
    _, _, bins = stft(sound, ANALYSIS_RATE, nperseg=512, noverlap=384)
    power = np.abs(bins) ** 2
    smooth = lfilter([1 - SMOOTHED], [1, -SMOOTHED], power, axis=1)
    steps = round(LOOK_S * ANALYSIS_RATE / 128)
    noise = BIAS * minimum_filter1d(smooth[:, STARTING:], steps, axis=1).sum(0)
    loud = power.sum(0)[STARTING:]
    voice = loud[loud > 2 * noise]
    if not len(voice):
        return float(-np.inf)
    rest = float(noise.mean())
    return float(10 * np.log10((voice.mean() - rest) / max(rest, 1e-12 * loud.max())))


def blind_rt60() -> Callable[[Floats], float] | None:
    """The package's estimate in seconds at its own settings; None where it is not installed."""
    try:
        package: Any = importlib.import_module("blind_rt60")
    except ImportError:
        return None

    def estimate(samples: Floats) -> float:
        found = package.BlindRT60()(np.asarray(samples, np.float64), conditions.RATE)
        return float(found) if found is not None and np.isfinite(found) else float("nan")

    return estimate
