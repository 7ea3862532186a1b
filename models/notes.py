"""From an F0 curve to the notes that were sung, their intonation, and the key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from models import music, vibrato
from models.results import Note

HOP_S = 0.01
SHORTEST = 8  # frames: 80 ms
CYCLE = 16  # frames: about one cycle of vibrato
GRID = 0.25  # semitones between the pitches that a note is tried at
FREE = 0.2  # semitones that a note may be off its pitch at no cost
FARTHEST = 1.0  # semitones: what is further off, such as another octave, costs no more
SLIDING = 0.5  # cost of a frame of a slide
BEGINNING, TO_SLIDE = 5.0, 3.0  # costs of a new note, of a slide
HINT = 0.5  # of a beginning's cost, saved where the energy dips
SLIDE = 15  # frames: a longer slide is heard as one, and belongs to no note
NEAR = 0.3  # semitones from its median, where...
NEAR_SHARE, SPOKEN_SHARE = 0.25, 0.6  # ...so much of a note must be, of one as short as syllables
SPOKEN = 35  # frames: hardly a syllable of speech stays on a pitch for longer
SLIDES = 0.8  # semitones: a straight line through a note that moves more makes it a glide
UNSTEADY = 1.5  # semitones from the median: a fifth of what is no note is further away
DIP_DB = 6.0  # a fall and rise in energy inside one pitch is a repeated note
SWAYING = 0.5  # of a dip within vibrato, which moves the harmonics through the formants
DIP_SPAN = 61  # frames around a dip in which its depth is taken
QUIET_DB = 25.0  # under a note's loudest moment: before its onset or after its end

SEEN_PERIODS, SEEN_S = 4.0, (0.016, 0.096)  # of the window behind an F0, and its least and most

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """A take's melody, every 10 ms. `midi` is NaN where unvoiced."""

    midi: Floats
    confidence: Floats
    energy_db: Floats


@dataclass(frozen=True, slots=True)
class Part:
    """Frames of a voiced run that hold a pitch, or slide."""

    start: int
    end: int
    slides: bool

    @property
    def length(self) -> int:
        return self.end - self.start


def find(f0_hz: Floats, confidence: Floats, energy_db: Floats, a4_hz: float) -> list[Note]:
    """The notes of an F0 curve (frames,), NaN where unvoiced. Glides and flutters are not notes."""
    with np.errstate(invalid="ignore"):
        curve = Curve(music.hz_to_midi(f0_hz, a4_hz), confidence, energy_db)
    return [_note(curve, start, end, a4_hz) for start, end in _stretches(curve)]


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
    """Notes of each voiced run: its steady parts, without what is lost under their loudness."""
    for start, end in runs(~np.isnan(curve.midi)):
        straight = vibrato.without(curve.midi[start:end], HOP_S)
        shaken = straight != curve.midi[start:end]
        dips = _dips(curve.energy_db[start:end]) * np.where(shaken, SWAYING, 1.0)
        for a, b in _steady_parts(straight, dips):
            first, last = _audible(curve.energy_db, start + a, start + b)
            if last - first >= SHORTEST and _is_steady(straight[first - start : last - start]):
                yield first, last


def _dips(energy_db: Floats) -> Floats:
    """(frames,): how deep the energy falls, in dB, at each of its minima; elsewhere 0."""
    depth = np.zeros(len(energy_db))
    found, shape = find_peaks(-energy_db, prominence=1.0, distance=SHORTEST, wlen=DIP_SPAN)
    depth[found] = shape["prominences"]
    return depth


def _steady_parts(midi: Floats, dips: Floats) -> list[tuple[int, int]]:
    """The notes on the cheapest way through a voiced run.

    A way of up to SLIDE frames is how a singer goes to a note: before the first and after the
    last it is the note's, between two its middle parts them. A longer one is no note's.
    """
    held = [part for part in _joined(_cheapest(midi, dips)) if not part.slides]
    if not held:
        return []
    cores = [_core(midi, part) for part in held]
    first, last = cores[0][0], cores[-1][1]
    start = 0 if first <= SLIDE else first
    spans = list[tuple[int, int]]()
    for index, after in enumerate(held[1:]):
        leaves, arrives = cores[index][1], cores[index + 1][0]
        if arrives - leaves <= SLIDE:
            leaves = arrives = _middle(midi, held[index].end, after.start)
        spans.append((start, leaves))
        start = arrives
    return [*spans, (start, len(midi) if len(midi) - last <= SLIDE else last)]


def _core(midi: Floats, part: Part) -> tuple[int, int]:
    """From the first to the last frame of a note that is at its pitch."""
    held = midi[part.start : part.end]
    off = np.abs(held - np.median(held))
    near = np.flatnonzero(off <= max(NEAR, off.min()))  # a median may lie where no frame is
    return part.start + int(near[0]), part.start + int(near[-1]) + 1


def _middle(midi: Floats, end: int, start: int) -> int:
    """The frame at which a voice is halfway between one note's end and the next one's start."""
    if start == end:
        return end
    way = midi[end:start]
    return end + int(np.argmin(np.abs(way - (midi[end - 1] + midi[start]) / 2)))


def _joined(parts: Sequence[Part]) -> list[Part]:
    """With all that is too short for a note a slide, and slides that meet made one."""
    joined = list[Part]()
    for part in parts:
        slides = part.slides or part.length < SHORTEST
        if slides and joined and joined[-1].slides:
            joined[-1] = Part(joined[-1].start, part.end, True)
        else:
            joined.append(Part(part.start, part.end, slides))
    return joined


def _cheapest(midi: Floats, dips: Floats) -> list[Part]:
    """Viterbi over pitches held and one state for slides.

    A held pitch costs what the voice is away from it, a slide costs something a frame, and so
    does every beginning: less where the energy dips. A deep dip begins the same pitch anew.
    """
    held = np.arange(np.floor(midi.min()), np.ceil(midi.max()) + GRID, GRID)
    cost = np.full((len(midi), len(held) + 1), SLIDING)
    cost[:, :-1] = np.clip(np.abs(midi[:, None] - held) - FREE, 0, FARTHEST)
    entry = np.full((len(midi), len(held) + 1), TO_SLIDE)
    entry[:, :-1] = BEGINNING * (1 - HINT * np.minimum(dips / DIP_DB, 1))[:, None]
    begins, before = np.zeros(cost.shape, np.bool_), np.zeros(cost.shape, np.intp)
    score, same = cost[0], np.arange(len(held) + 1)
    for t in range(1, len(midi)):
        best = int(score.argmin())
        arriving = score[best] + entry[t]
        begins[t] = arriving < score
        before[t] = np.where(begins[t], best, same)
        score = np.minimum(arriving, score) + cost[t]
        if dips[t] >= DIP_DB:
            begins[t] = True
    return _traced(begins, before, int(score.argmin()))


def _traced(begins: NDArray[np.bool_], before: NDArray[np.intp], state: int) -> list[Part]:
    parts, end, slide = list[Part](), len(begins), begins.shape[1] - 1
    for t in range(len(begins) - 1, 0, -1):
        if begins[t, state]:
            parts.append(Part(t, end, state == slide))
            end, state = t, int(before[t, state])
    return [Part(0, end, state == slide), *reversed(parts)]


def _audible(energy_db: Floats, start: int, end: int) -> tuple[int, int]:
    """The stretch without a start or an end that is lost under its own loudness."""
    part = energy_db[start:end]
    loud = np.flatnonzero(part > part.max() - QUIET_DB)
    return start + int(loud[0]), start + int(loud[-1]) + 1


def _is_steady(midi: Floats) -> bool:
    """Whether it holds a pitch, between a way to it and a way from it."""
    near = np.abs(midi - np.median(midi)) <= NEAR
    if near.mean() < (SPOKEN_SHARE if len(midi) < SPOKEN else NEAR_SHARE):
        return False
    first, last = np.flatnonzero(near)[[0, -1]]
    core = midi[first : last + 1]
    line = np.polyfit(np.linspace(-0.5, 0.5, len(core)), core, 1)
    astray = np.percentile(np.abs(core - np.median(core)), 80)  # a slip of an octave may be
    return bool(abs(line[0]) < SLIDES and astray < UNSTEADY)


def _note(curve: Curve, start: int, end: int, a4_hz: float) -> Note:
    midi = curve.midi[start:end]
    middle_hz = music.midi_to_hz(float(np.median(midi)), a4_hz)
    trembling = vibrato.find(midi, HOP_S, _window_s(middle_hz))
    centre = _centre(midi, trembling)
    nearest, cents = music.nearest(centre)
    straight = uniform_filter1d(midi, CYCLE, mode="nearest") if trembling else midi
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


def _window_s(f0_hz: float) -> float:
    """About the length of the window through which refinement sees a pitch of this height."""
    return float(np.clip(SEEN_PERIODS / f0_hz, *SEEN_S))


def _centre(midi: Floats, trembling: object) -> float:
    """The median pitch; of a note with vibrato, of the pitch averaged over its cycles."""
    if trembling is None:
        return float(np.median(midi))
    return float(np.median(uniform_filter1d(midi, CYCLE, mode="nearest")))
