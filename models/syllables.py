"""Syllable nuclei and their vowels."""

from dataclasses import dataclass

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

BANDS_HZ = (
    (300, 2000),  # where vowels stand out most: without voicing bars, without frication
    (200, 1500),  # what sonorants have more of...
    (2500, 8000),  # ...than of this
)
NEAR = 50  # frames from voicing within which sonorants count
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
COUNT_SCATTER, COUNT_SHARE = 0.5, 0.07

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What syllables are seen in, every 10 ms of a take."""

    level_db: Floats  # of the vowel band
    sonorant: Mask  # more sound below 1.5 kHz than over 2.5 kHz: no fricative

    def __len__(self) -> int:
        return len(self.level_db)

    def smoothed(self) -> Floats:
        half = len(SMOOTHING) // 2
        return np.convolve(np.pad(self.level_db, half, mode="edge"), SMOOTHING, "valid")

    def heard(self, voiced: Mask) -> Mask:
        """Frames that can be a vowel: voiced, or sonorant near voicing that a tracker missed."""
        near = binary_dilation(voiced, iterations=NEAR)
        return np.asarray(binary_dilation(voiced) | (self.sonorant & near))


def envelopes(samples: Tensor, lengths: Tensor) -> list[Envelope]:
    """The envelope of every take of a padded batch (batch, samples) at 16 kHz."""
    counts = frame_counts(lengths).tolist()
    if not counts:
        return []
    padded = torch.nn.functional.pad(without_offset(samples, lengths), (WINDOW // 2, WINDOW))
    frames = padded.unfold(1, WINDOW, HOP)[:, : max(counts)]  # (batch, frames, samples), a view
    chunks = [_bands(frames[:, i : i + CHUNK]) for i in range(0, max(counts), CHUNK)]
    vowel, low, high = torch.cat(chunks, dim=1).clamp(min=1e-20).cpu().unbind(2)
    levels, sonorant = (10 * vowel.double().log10()).numpy(), (low > high).numpy()
    return [Envelope(levels[i, :count], sonorant[i, :count]) for i, count in enumerate(counts)]


def _bands(frames: Tensor) -> Tensor:
    """(batch, frames, samples) to the power in each of BANDS_HZ (batch, frames, bands)."""
    window = torch.hann_window(WINDOW, device=frames.device)
    power = torch.fft.rfft(frames * window, TRANSFORM).abs().square()
    edges = [[round(hz / ANALYSIS_RATE * TRANSFORM) for hz in band] for band in BANDS_HZ]
    return torch.stack([power[..., low:high].sum(-1) for low, high in edges], dim=2)


def nuclei(envelope: Envelope, voiced: Mask, speech: Mask) -> Indices:
    """Frames of the syllable nuclei: voiced peaks of the smoothed level, parted by dips.

    After de Jong & Wempe (2009), Behavior Research Methods 41, with the level taken in the vowel
    band only and the dip asked for on both sides. Nothing outside `speech` counts.
    """
    heard = envelope.heard(voiced) & speech
    if not heard.any():
        return np.zeros(0, np.intp)
    floor = np.quantile(envelope.level_db[heard], 0.99) - FLOOR_DB
    smooth = np.maximum(envelope.smoothed(), floor)
    walled = np.pad(smooth, 1, constant_values=floor)  # so that the first frame can be a peak
    walled += TIE_DB * np.arange(len(walled))  # or equal ripples of one vowel would all be peaks
    peaks = find_peaks(walled, prominence=DIP_DB, distance=GAP)[0] - 1
    return np.asarray(peaks[heard[peaks]], np.intp)


def vowels(envelope: Envelope, voiced: Mask, found: Indices) -> list[tuple[int, int]]:
    """Vocalic intervals as frames (start, end): voiced and near the level of their nucleus."""
    smooth, heard = envelope.smoothed(), envelope.heard(voiced)
    spans: list[tuple[int, int]] = []
    for nucleus in found:
        start = nucleus - _extent(smooth[:nucleus][::-1], heard[:nucleus][::-1], smooth[nucleus])
        end = nucleus + 1 + _extent(smooth[nucleus + 1 :], heard[nucleus + 1 :], smooth[nucleus])
        if spans and start < spans[-1][1]:
            start = spans[-1][1]
        if end > start:
            spans.append((int(start), int(end)))
    return spans


def count_error(count: int) -> float:
    """Standard error of a number of nuclei."""
    return float(np.hypot(COUNT_SCATTER * count**0.5, COUNT_SHARE * count))


def _extent(level_db: Floats, heard: Mask, peak_db: float) -> int:
    """How many frames away from the nucleus still belong to its vowel."""
    left = ~heard[:40] | (level_db[:40] < peak_db - VOWEL_DB)
    return int(left.argmax()) if left.any() else len(left)
