"""How right an F0 curve is: the measures of Poliner et al. 2007, as mir_eval defines them."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 50.0  # cents

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of frames, and the median error of the frames that are rightly voiced, in cents."""

    overall: float  # OA: voicing and pitch right
    raw_pitch: float  # RPA: of truly voiced frames, pitch right whatever the voicing said
    raw_chroma: float  # RCA: the same but for octaves
    voicing_recall: float
    voicing_false_alarm: float
    octave_errors: float  # of the frames that are rightly voiced: chroma right and pitch wrong
    error_cents: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Frames counted; tallies of several takes add up."""

    frames: int
    sounding: int  # truly voiced
    settled: int  # voicing and pitch right
    pitch: int  # truly voiced, pitch right
    chroma: int  # truly voiced, pitch right but for octaves
    heard: int  # truly voiced and called so
    alarms: int  # called voiced and are not
    octaves: int  # heard, chroma right, pitch wrong

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def silent(self) -> int:
        return self.frames - self.sounding


NOTHING = Tally(0, 0, 0, 0, 0, 0, 0, 0)


def tally(guess_hz: Floats, voiced: Mask, truth_hz: Floats) -> Tally:
    """Count one take's frames; see `accuracy`."""
    known = ~np.isnan(truth_hz)
    guess, called, truth = guess_hz[known], voiced[known], truth_hz[known]
    sounding, cents = truth > 0, errors(guess, truth)
    pitch = np.abs(cents) < TOLERANCE  # never so where there is no truth or no guess
    chroma = np.abs(cents - 1200 * np.round(cents / 1200)) < TOLERANCE
    heard = sounding & called
    return Tally(
        frames=len(truth),
        sounding=int(sounding.sum()),
        settled=int((heard & pitch).sum() + (~sounding & ~called).sum()),
        pitch=int(pitch.sum()),
        chroma=int(chroma.sum()),
        heard=int(heard.sum()),
        alarms=int((~sounding & called).sum()),
        octaves=int((heard & chroma & ~pitch).sum()),
    )


def errors(guess_hz: Floats, truth_hz: Floats) -> Floats:
    """Of each frame, in cents; NaN where there is no truth or no guess."""
    both = (guess_hz > 0) & (truth_hz > 0)
    ratio = np.where(both, guess_hz, np.nan) / np.where(both, truth_hz, np.nan)
    return np.asarray(1200 * np.log2(ratio))


def accuracy(guess_hz: Floats, voiced: Mask, truth_hz: Floats) -> Accuracy:
    """Compare frame by frame.

    `truth_hz` is 0 where unvoiced and NaN where nobody knows: such a frame does not count.
    `guess_hz` is a guess in unvoiced frames too, or 0 for none.
    """
    found = tally(guess_hz, voiced, truth_hz)
    return Accuracy(
        overall=_share(found.settled, found.frames),
        raw_pitch=_share(found.pitch, found.sounding),
        raw_chroma=_share(found.chroma, found.sounding),
        voicing_recall=_share(found.heard, found.sounding),
        voicing_false_alarm=_share(found.alarms, found.silent),
        octave_errors=_share(found.octaves, found.heard),
        error_cents=median_error([errors(guess_hz, truth_hz)[voiced]]),
    )


def median_error(cents: Iterable[Floats]) -> float:
    """Over all frames of all takes that have an error; NaN where none has."""
    sizes = np.abs(np.concatenate([np.zeros(0), *cents]))
    sizes = sizes[~np.isnan(sizes)]
    return float(np.median(sizes)) if len(sizes) else float("nan")


def _share(part: int, whole: int) -> float:
    return part / max(1, whole)
