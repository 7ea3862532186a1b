"""Syllable nuclei and their vowels."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

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

VOWEL_BANDS_HZ = (180, 300, 470, 750, 1150, 1750, 2500, 3500)  # edge, centres, edge: overlapping
LOUDNESS = 0.3  # exponent of power within a band, near Stevens's: a weak formant shows beside F1
SONORANT_HZ = ((200, 1500), (2500, 8000))  # sonorants have more of the first than of the second
NEAR = 50  # frames from voicing within which sonorants count
WINDOW = 480  # samples: 30 ms, blind to 100 Hz: or glottal pulses near it would beat with HOP
TRANSFORM = 512
CHUNK = 4096  # frames transformed at a time
SMOOTHING = np.hanning(7)[1:-1] / np.hanning(7).sum()  # 50 ms
FLOOR_DB = 30.0  # under the loudest voiced frames
DIP_DB = 2.0  # between two nuclei
TIE_DB = 1e-9  # a frame
GAP = 7  # frames between two nuclei at least
VOWEL_SHARE, VOWEL_DB = 0.3, (1.5, 15.0)  # of its fall to the next valley: where a vowel ends
REACH = 40  # frames from its nucleus within which it ends

# Errors of the count, from EMO-DB's hand-marked syllables: scatter grows with the root of the
# count, and fast speech is undercounted by a share of it.
COUNT_SCATTER, COUNT_SHARE = 0.5, 0.08

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What syllables are seen in, every 10 ms of a take."""

    level_db: Floats  # of the vowel bands, together as loud as they sound
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
    chunks = [_seen(frames[:, i : i + CHUNK]) for i in range(0, max(counts), CHUNK)]
    vowel, low, high = torch.cat(chunks, dim=1).double().cpu().unbind(2)
    levels, sonorant = (10 / LOUDNESS * vowel.log10()).numpy(), (low > high).numpy()
    return [Envelope(levels[i, :count], sonorant[i, :count]) for i, count in enumerate(counts)]


def _seen(frames: Tensor) -> Tensor:
    """(batch, frames, samples) to (batch, frames, 3): mean loudness of the vowel bands, and the
    powers in SONORANT_HZ."""
    window = torch.hann_window(WINDOW, device=frames.device)
    power = torch.fft.rfft(frames * window, TRANSFORM).abs().square()
    vowels = power @ _triangles().to(frames.device)  # (batch, frames, bands)
    loudness = vowels.clamp(min=1e-20).pow(LOUDNESS).mean(2)
    return torch.stack([loudness, *(_band(power, edges) for edges in SONORANT_HZ)], 2)


@cache
def _triangles() -> Tensor:
    """(bins, bands): triangles over log frequency, so that no harmonic jumps from band to band."""
    octaves = np.log2(np.maximum(np.arange(TRANSFORM // 2 + 1), 1) * ANALYSIS_RATE / TRANSFORM)
    edges = np.log2(VOWEL_BANDS_HZ)
    rising = (octaves[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - octaves[:, None]) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.minimum(rising, falling).clip(0).astype(np.float32))


def _band(power: Tensor, edges: tuple[int, int]) -> Tensor:
    low, high = (round(hz / ANALYSIS_RATE * TRANSFORM) for hz in edges)
    return power[..., low:high].sum(-1)


def nuclei(envelope: Envelope, voiced: Mask, speech: Mask) -> Indices:
    """Frames of the syllable nuclei: voiced peaks of the smoothed level, parted by dips.

    After de Jong & Wempe (2009), Behavior Research Methods 41, with the level taken in the vowel
    bands only, each of them compressed, and the dip asked for on both sides. Nothing outside
    `speech` counts.
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
    """Vocalic intervals as frames (start, end): voiced, and before most of the fall to the valleys
    on both sides of the nucleus."""
    smooth, heard = envelope.smoothed(), envelope.heard(voiced)
    spans: list[tuple[int, int]] = []
    for before, at, after in _neighbours(found, len(smooth)):
        start = at - _extent(smooth[before:at][::-1], heard[before:at][::-1], smooth[at])
        end = at + 1 + _extent(smooth[at + 1 : after], heard[at + 1 : after], smooth[at])
        start = max(start, spans[-1][1] if spans else 0)
        if end > start:
            spans.append((int(start), int(end)))
    return spans


def _neighbours(found: Indices, frames: int) -> Iterator[tuple[int, int, int]]:
    """Every nucleus between the frames where its vowel can begin and must have ended."""
    walled = [0, *found.tolist(), frames]
    for before, at, after in zip(walled, walled[1:], walled[2:], strict=False):
        yield max(before, at - REACH), at, min(after, at + REACH)


def count_error(count: int) -> float:
    """Standard error of a number of nuclei."""
    return float(np.hypot(COUNT_SCATTER * count**0.5, COUNT_SHARE * count))


def _extent(level_db: Floats, heard: Mask, peak_db: float) -> int:
    """How many frames away from the nucleus still belong to its vowel."""
    if not len(level_db):
        return 0
    fall = float(np.clip(VOWEL_SHARE * (peak_db - level_db.min()), *VOWEL_DB))
    left = ~heard | (level_db < peak_db - fall)
    return int(left.argmax()) if left.any() else len(left)
