"""From an F0 curve to the notes that were sung, their intonation, and the key."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, medfilt

from models import music, vibrato
from models.results import Note

HOP_S = 0.01
SHORTEST = 8  # frames: 80 ms
AHEAD = 16  # frames: about one cycle of vibrato, which therefore never ends a note
LEAVES = 0.5  # semitones: a pitch this far from the note's centre may have left it
LEFT = 0.6  # semitones: it has if the next cycle stays this far on average
SLIDES = 0.8  # semitones: a straight line through a note that moves more makes it a glide
UNSTEADY = 1.1  # semitones: standard deviation of what is no note; wide vibrato stays under
DIP_DB = 6.0  # a fall and rise in energy inside one pitch is a repeated note
QUIET_DB = 25.0  # under a note's loudest moment: before its onset or after its end

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """A take's melody, every 10 ms. `midi` is NaN where unvoiced."""

    midi: Floats
    confidence: Floats
    energy_db: Floats


def find(f0_hz: Floats, confidence: Floats, energy_db: Floats, a4_hz: float) -> list[Note]:
    """The notes of an F0 curve (frames,), NaN where unvoiced. Glides and flutters are not notes."""
    with np.errstate(invalid="ignore"):
        curve = Curve(music.hz_to_midi(f0_hz, a4_hz), confidence, energy_db)
    return [
        _note(curve, start, end, a4_hz)
        for start, end in _stretches(curve)
        if _is_steady(curve.midi[start:end])
    ]


def intonation(notes: Sequence[Note]) -> float:
    """The take's own tuning offset in cents from the equal-tempered grid at its A4."""
    return music.tuning_offset_cents(*_weighted(notes))


def key(notes: Sequence[Note]) -> tuple[str, float]:
    """The key (Krumhansl-Schmuckler) with its correlation, at the take's own tuning."""
    midi, weights = _weighted(notes)
    return music.key(midi - music.tuning_offset_cents(midi, weights) / 100, weights)


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Starts and ends of the stretches that are True."""
    edges = np.diff(mask.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _weighted(notes: Sequence[Note]) -> tuple[Floats, Floats]:
    midi = np.array([note.midi for note in notes])
    return midi, np.array([note.end_s - note.start_s for note in notes])


def _stretches(curve: Curve) -> Iterator[tuple[int, int]]:
    """Candidate notes: voiced runs cut where energy dips, then where pitch leaves its centre."""
    for start, end in runs(~np.isnan(curve.midi)):
        for a, b in _between_dips(curve.energy_db[start:end]):
            for c, d in _plateaus(curve.midi[start + a : start + b]):
                first, last = _audible(curve.energy_db, start + a + c, start + a + d)
                if last - first >= SHORTEST:
                    yield first, last


def _between_dips(energy_db: Floats) -> list[tuple[int, int]]:
    """Parts of a voiced run that were struck anew."""
    dips, _ = find_peaks(-energy_db, prominence=DIP_DB, distance=SHORTEST)
    edges = [0, *dips.tolist(), len(energy_db)]
    return list(itertools.pairwise(edges))


def _plateaus(midi: Floats) -> Iterator[tuple[int, int]]:
    """Stretches around one centre each: hysteresis on pitch, one step a note."""
    smooth = medfilt(midi, 5) if len(midi) >= 5 else midi
    ahead = _mean_ahead(smooth)
    start = 0
    while len(midi) - start >= SHORTEST:
        centre = float(ahead[start])
        for _ in range(3):
            end = start + _leaving(smooth[start:], ahead[start:], centre)
            centre = float(np.median(smooth[start:end]))
        yield start, end
        start = end


def _leaving(smooth: Floats, ahead: Floats, centre: float) -> int:
    """Frames until the pitch is gone for good from the centre, counted after the shortest note."""
    gone = (np.abs(smooth - centre) > LEAVES) & (np.abs(ahead - centre) > LEFT)
    gone[: SHORTEST // 2] = False
    return int(np.argmax(gone)) if gone.any() else len(smooth)


def _mean_ahead(values: Floats) -> Floats:
    """Mean over the next AHEAD frames, or what is left of them."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    starts = np.arange(len(values))
    ends = np.minimum(starts + AHEAD, len(values))
    return np.asarray((total[ends] - total[starts]) / (ends - starts))


def _audible(energy_db: Floats, start: int, end: int) -> tuple[int, int]:
    """The stretch without a start or an end that is lost under its own loudness."""
    part = energy_db[start:end]
    loud = np.flatnonzero(part > part.max() - QUIET_DB)
    return start + int(loud[0]), start + int(loud[-1]) + 1


def _is_steady(midi: Floats) -> bool:
    line = np.polyfit(np.linspace(-0.5, 0.5, len(midi)), midi, 1)
    return bool(abs(line[0]) < SLIDES and np.std(midi) < UNSTEADY)


def _note(curve: Curve, start: int, end: int, a4_hz: float) -> Note:
    midi = curve.midi[start:end]
    trembling = vibrato.find(midi, HOP_S)
    centre = _centre(midi, trembling)
    nearest, cents = music.nearest(centre)
    straight = uniform_filter1d(midi, AHEAD, mode="nearest") if trembling else midi
    spread = 1.4826 * float(np.median(np.abs(straight - np.median(straight))))
    return Note(
        start_s=max(0.0, (start - 0.5) * HOP_S),
        end_s=(end - 0.5) * HOP_S,
        name=music.name(nearest),
        midi=centre,
        f0_hz=music.midi_to_hz(centre, a4_hz),
        cents=cents,
        stability_cents=100 * spread,
        confidence=float(np.clip(curve.confidence[start:end].mean(), 0, 1)),
        vibrato=trembling,
    )


def _centre(midi: Floats, trembling: object) -> float:
    """The median pitch; of a note with vibrato, of the pitch averaged over its cycles."""
    if trembling is None:
        return float(np.median(midi))
    return float(np.median(uniform_filter1d(midi, AHEAD, mode="nearest")))
