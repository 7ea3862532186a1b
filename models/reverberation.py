"""Reverberation time, guessed from how fast speech dies away. No torch here."""

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft

RATE = 16_000
SIZE, HOP = 256, 64  # samples: levels every 4 ms
EDGES_HZ = (250, 500, 1000, 2000, 4000)
WINDOW = 20  # levels a decay is fitted over: 80 ms
STRAIGHT_DB = 1.5  # scatter around the line at most
OVER_FLOOR_DB = 15.0  # that the end of a decay must stay above the noise
STEEP = 0.05  # the steepest of decays: speech that stopped, so that the room is heard
FEWEST = 30  # decays needed
AT_ONCE = 15_000  # levels: a minute

# From the steepest decays to T60, fitted on read speech in simulated rooms of 0.15 to 1.5 s.
GAIN, POWER = 4.577, 1.994

Floats = NDArray[np.float64]


def t60_s(samples: Floats) -> float | None:
    """Seconds to fall by 60 dB, within some 30 %; None if too little of the take dies away.

    After the decay-rate distributions of Wen, Habets & Naylor (2008): speech sounds end faster
    than a room, so in a room no band falls faster than the room lets it.
    """
    slopes = [_slopes(part) for part in _parts(samples)]
    steep = np.concatenate([np.empty(0), *slopes])
    if len(steep) < FEWEST:
        return None
    rate = -float(np.quantile(steep, STEEP))  # dB/s
    return float(GAIN * (60.0 / rate) ** POWER)


def _parts(samples: Floats) -> list[Floats]:
    step = AT_ONCE * HOP
    return [samples[i : i + step] for i in range(0, len(samples), step)]


def _slopes(samples: Floats) -> Floats:
    """Slopes in dB/s of the straight falls of each octave band."""
    if len(samples) < SIZE + WINDOW * HOP:
        return np.empty(0)
    frames = sliding_window_view(samples, SIZE)[::HOP] * np.hanning(SIZE)
    power = np.abs(rfft(frames.astype(np.float32), axis=1)) ** 2
    edges = [round(hz * SIZE / RATE) for hz in EDGES_HZ]
    bands = [power[:, a:b].sum(1) for a, b in pairwise(edges)]
    return np.concatenate(
        [_falls(10 * np.log10(band / (band.max() + 1e-30) + 1e-10)) for band in bands]
    )


def _falls(db: Floats) -> Floats:
    windows = sliding_window_view(db, WINDOW)
    place = np.arange(WINDOW) - (WINDOW - 1) / 2
    slope = windows @ place / (place @ place)  # dB a level
    scatter = np.sqrt(np.maximum(windows.var(1) - slope**2 * (place @ place) / WINDOW, 0.0))
    floor = np.quantile(db, 0.05)
    fit = (slope < 0) & (scatter < STRAIGHT_DB) & (windows[:, -1] > floor + OVER_FLOOR_DB)
    steep = fit & (slope * WINDOW < -4.0)  # falls by 4 dB at least: no wavering vowel
    return np.asarray(slope[steep] * RATE / HOP)
