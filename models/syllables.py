"""Syllable nuclei and their vowels."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.signal import find_peaks
from torch import Tensor

from models.audio import ANALYSIS_RATE
from models.loudness import without_offset
from models.spectra import HOP, frame_counts
from models.utterance import Floats, Mask

BAND_HZ = (300.0, 2000.0)  # vowels stand out most: without voicing bars, without frication
WINDOW = 480  # samples: 30 ms, blind to 100 Hz: or glottal pulses near it would beat with HOP
TRANSFORM = 512
CHUNK = 4096  # frames transformed at a time
SMOOTHING = np.hanning(9)[1:-1] / np.hanning(9).sum()  # 70 ms
FLOOR_DB = 30.0  # under the loudest voiced frames
DIP_DB = 0.8  # between two nuclei
TIE_DB = 1e-9  # a frame
GAP = 6  # frames between two nuclei at least
VOWEL_DB = 3.0  # a vowel lasts while the level stays this close to its nucleus

# Errors of the count, from EMO-DB's hand-marked syllables: scatter grows with the root of the
# count, and fast speech is undercounted by a share of it.
COUNT_SCATTER, COUNT_SHARE = 0.46, 0.08

Indices = NDArray[np.intp]


def levels(samples: Tensor, lengths: Tensor) -> list[Floats]:
    """Level of the vowel band in dB, every 10 ms, of every take of a padded batch at 16 kHz."""
    counts = frame_counts(lengths).tolist()
    if not counts:
        return []
    padded = torch.nn.functional.pad(without_offset(samples, lengths), (WINDOW // 2, WINDOW))
    frames = padded.unfold(1, WINDOW, HOP)[:, : max(counts)]  # (batch, frames, samples), a view
    window = torch.hann_window(WINDOW, device=samples.device)
    bins = slice(*(round(hz / ANALYSIS_RATE * TRANSFORM) for hz in BAND_HZ))
    power = torch.cat(
        [
            torch.fft.rfft(chunk * window, TRANSFORM)[..., bins].abs().square().sum(-1)
            for chunk in (frames[:, i : i + CHUNK] for i in range(0, max(counts), CHUNK))
        ],
        dim=1,
    )
    rows = (10 * power.clamp(min=1e-20).log10()).double().cpu().numpy()
    return [row[:count] for row, count in zip(rows, counts, strict=True)]


def nuclei(level_db: Floats, voiced: Mask, speech: Mask) -> Indices:
    """Frames of the syllable nuclei: voiced peaks of the smoothed level, parted by dips.

    After de Jong & Wempe (2009), Behavior Research Methods 41, with the level taken in the vowel
    band only and the dip asked for on both sides. Nothing outside `speech` counts.
    """
    heard = binary_dilation(voiced, iterations=1) & speech
    if not heard.any():
        return np.zeros(0, np.intp)
    floor = np.quantile(level_db[heard], 0.99) - FLOOR_DB
    smooth = np.maximum(_smoothed(level_db), floor)
    walled = np.pad(smooth, 1, constant_values=floor)  # so that the first frame can be a peak
    walled += TIE_DB * np.arange(len(walled))  # or equal ripples of one vowel would all be peaks
    peaks = find_peaks(walled, prominence=DIP_DB, distance=GAP)[0] - 1
    return np.asarray(peaks[heard[peaks]], np.intp)


def vowels(level_db: Floats, voiced: Mask, found: Indices) -> list[tuple[int, int]]:
    """Vocalic intervals as frames (start, end): voiced and near the level of their nucleus."""
    smooth = _smoothed(level_db)
    spans: list[tuple[int, int]] = []
    for nucleus in found:
        start = nucleus - _extent(smooth[:nucleus][::-1], voiced[:nucleus][::-1], smooth[nucleus])
        end = nucleus + 1 + _extent(smooth[nucleus + 1 :], voiced[nucleus + 1 :], smooth[nucleus])
        if spans and start < spans[-1][1]:
            start = spans[-1][1]
        if end > start:
            spans.append((int(start), int(end)))
    return spans


def count_error(count: int) -> float:
    """Standard error of a number of nuclei."""
    return float(np.hypot(COUNT_SCATTER * count**0.5, COUNT_SHARE * count))


def _smoothed(level_db: Floats) -> Floats:
    half = len(SMOOTHING) // 2
    return np.convolve(np.pad(level_db, half, mode="edge"), SMOOTHING, "valid")


def _extent(level_db: Floats, voiced: Mask, peak_db: float) -> int:
    """How many frames away from the nucleus still belong to its vowel."""
    left = ~voiced[:40] | (level_db[:40] < peak_db - VOWEL_DB)
    return int(left.argmax()) if left.any() else len(left)
