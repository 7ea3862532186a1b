"""Articulation: how far vowels lie apart, and how speech is modulated. No torch here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.spatial import ConvexHull, QhullError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTLIER = 4.61  # squared Mahalanobis distance that 90 % of a normal cloud lie within
STEADY = 0.08  # F1 and F2 move by less than this share a frame: a vowel's middle, no glide
CORNER = 0.05  # share of the frames that stand for a corner vowel
SYLLABIC_HZ = (2.0, 16.0)
SEGMENT = 400  # levels: 4 s of the modulation spectrum
RATE_HZ = 100.0  # of levels
DYNAMICS_DB = 40.0  # levels further under the loudest one are taken as that


@dataclass(frozen=True, slots=True)
class Vowels:
    """Formants of vowel-like frames, in Hz."""

    f1: Floats
    f2: Floats


def bark(hz: Floats) -> Floats:
    """Critical-band rate (Traunmueller 1990)."""
    return np.asarray(26.81 * hz / (1960 + hz) - 0.53)


def steady(f1: Floats, f2: Floats) -> Mask:
    """(frames,): F1 and F2 are known there and hardly move from and to the next frame."""
    moves = np.maximum(np.abs(np.diff(np.log(f1))), np.abs(np.diff(np.log(f2))))
    still = np.nan_to_num(moves, nan=np.inf) < STEADY
    return np.asarray(np.append(still, False) & np.append(False, still))


def typical(f1: Floats, f2: Floats) -> Vowels:
    """Without the frames in which a formant was surely mistaken for another."""
    points = np.stack([bark(f1), bark(f2)], 1)
    spread = np.cov(points.T) + 1e-6 * np.eye(2)
    away = points - points.mean(0)
    distance = np.einsum("ij,jk,ik->i", away, np.linalg.inv(spread), away)
    kept = distance < OUTLIER
    return Vowels(f1[kept], f2[kept])


def area_bark2(vowels: Vowels) -> float | None:
    """Area of the convex hull of F1 and F2; None where they do not span one."""
    points = np.stack([bark(vowels.f1), bark(vowels.f2)], 1)
    try:
        return float(ConvexHull(points).volume)  # of a plane figure: its area
    except (QhullError, ValueError):
        return None


def vowel_articulation_index(vowels: Vowels) -> float:
    """(F2 of i + F1 of a) / (F1 of i + F1 of u + F2 of u + F2 of a), after Skodda et al. 2011.

    Without a transcript the corner vowels are the extremes of the cloud: i has F2 furthest over
    F1, a the highest F1, u the lowest F1 and F2 together.
    """
    z1, z2 = bark(vowels.f1), bark(vowels.f2)
    count = max(1, int(CORNER * len(z1)))
    i, a, u = (np.argsort(key)[-count:] for key in (z2 - z1, z1, -(z1 + z2)))
    f1, f2 = vowels.f1, vowels.f2
    below = f1[i].mean() + f1[u].mean() + f2[u].mean() + f2[a].mean()
    return float((f2[i].mean() + f1[a].mean()) / below)


def modulation(power: Floats) -> tuple[float, float] | None:
    """Depth and peak (Hz) of the level's modulation at 2-16 Hz; None under a second.

    Depth is the RMS, in dB, of the part of the level (dB, its quiet end cut off) in that band.
    """
    if len(power) < RATE_HZ or not power.max(initial=0.0) > 0:
        return None
    db = 10 * np.log10(power / power.max() + 10 ** (-DYNAMICS_DB / 10))
    size = min(SEGMENT, len(db))
    starts = np.linspace(0, len(db) - size, max(1, round(2 * len(db) / size) - 1)).astype(int)
    window = np.hanning(size)
    parts = np.stack([db[start : start + size] for start in starts])
    spectra = np.abs(rfft((parts - parts.mean(1, keepdims=True)) * window, axis=1)) ** 2
    mean = 2 * spectra.mean(0) / (size * (window**2).sum())
    hz = np.arange(len(mean)) * RATE_HZ / size
    band = (hz >= SYLLABIC_HZ[0]) & (hz <= SYLLABIC_HZ[1])
    return float(np.sqrt(mean[band].sum())), float(hz[band][mean[band].argmax()])


def consonant_vowel_contrast_db(power: Floats, vowel: Mask, consonant: Mask) -> float:
    """Median level of the vowels over that of the unvoiced consonants."""
    levels = 10 * np.log10(power + 1e-12 * power.max())
    return float(np.median(levels[vowel]) - np.median(levels[consonant]))
