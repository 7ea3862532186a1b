"""Hertz, MIDI numbers, cents and note names: the only conversions between them. No torch here."""

import math
import re
from typing import overload

import numpy as np
from numpy.typing import NDArray

A4 = 440.0  # Hz
A4_MIDI = 69
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# Krumhansl & Kessler 1982: how well each pitch class fits a key, from its tonic upwards.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

Floats = NDArray[np.float64]


@overload
def hz_to_midi(hz: float, a4_hz: float = A4) -> float: ...
@overload
def hz_to_midi(hz: Floats, a4_hz: float = A4) -> Floats: ...
def hz_to_midi(hz: float | Floats, a4_hz: float = A4) -> float | Floats:
    """A fractional MIDI number, 69 at A4."""
    midi = A4_MIDI + 12 * np.log2(np.asarray(hz, np.float64) / a4_hz)
    return float(midi) if midi.ndim == 0 else midi


@overload
def midi_to_hz(midi: float, a4_hz: float = A4) -> float: ...
@overload
def midi_to_hz(midi: Floats, a4_hz: float = A4) -> Floats: ...
def midi_to_hz(midi: float | Floats, a4_hz: float = A4) -> float | Floats:
    hz = a4_hz * 2 ** ((np.asarray(midi, np.float64) - A4_MIDI) / 12)
    return float(hz) if hz.ndim == 0 else hz


def cents_between(hz: float, reference_hz: float) -> float:
    """How far `hz` is above the reference."""
    return 1200 * math.log2(hz / reference_hz)


def nearest(midi: float) -> tuple[int, float]:
    """The equal-tempered note nearest to a fractional MIDI number, and the cents from it."""
    note = math.floor(midi + 0.5)
    return note, 100 * (midi - note)


def name(midi: int) -> str:
    """'A4' for 69: sharps, octaves counted from C."""
    return f"{NAMES[midi % 12]}{midi // 12 - 1}"


def parse(text: str) -> int:
    """The MIDI number of a name such as 'A4', 'c#3' or 'Bb2'; raises ValueError."""
    found = re.fullmatch(r"([A-Ga-g])([#b♯♭]?)(-?\d)", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a note: write it like A4, C#3 or Bb2.")
    letter, accidental, octave = found.groups()
    step = {"#": 1, "♯": 1, "b": -1, "♭": -1, "": 0}[accidental]
    return 12 * (int(octave) + 1) + NAMES.index(letter.upper()) + step


def tuning_offset_cents(midi: Floats, weights: Floats) -> float:
    """The shift of the equal-tempered grid that fits the notes best, -50..50 (circular mean)."""
    angle = np.angle(np.sum(weights * np.exp(2j * np.pi * midi)))
    return float(100 * angle / (2 * np.pi))


def key(midi: Floats, weights: Floats) -> tuple[str, float]:
    """The key whose profile fits the notes best, such as 'A minor', and the correlation.

    Krumhansl 1990 (Krumhansl-Schmuckler): pitch classes by duration against 24 profiles.
    """
    classes = np.bincount(np.round(midi).astype(int) % 12, weights, 12)
    fits = {
        f"{NAMES[tonic]} {mode}": _correlation(np.roll(classes, -tonic), profile)
        for mode, profile in (("major", MAJOR), ("minor", MINOR))
        for tonic in range(12)
    }
    best = max(fits, key=lambda candidate: fits[candidate])
    return best, fits[best]


def _correlation(classes: Floats, profile: tuple[float, ...]) -> float:
    if np.ptp(classes) == 0:
        return 0.0
    return float(np.corrcoef(classes, profile)[0, 1])
