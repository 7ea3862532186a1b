"""Scores: results against the table of dimensions, 0 to 100. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import cast

from models import utterance
from models.dimensions import DIMENSIONS, Dimension, Term
from models.engine import Options
from models.norms import smallest_real_change, within_person_sd
from models.results import (
    Absence,
    Activity,
    Family,
    FamilyResult,
    Measure,
    Note,
    Pitch,
    Reason,
    Score,
    Span,
)

Results = Mapping[Family, FamilyResult]

HELD_S = 0.25  # a shorter note is passed through, not held
STEADY_CENTS = 60.0  # a wider one without vibrato is a glide of speech
SUNG_S = 1.0  # in held notes, and...
SUNG_SHARE = 0.6  # ... of the voiced time in held notes makes a take song
FEWEST_NOTES = 3  # to judge intonation by
PRESENT_SHARE = 0.5  # of a score's weights that must have been measured


def score(
    results: Results, options: Options, dimensions: Mapping[str, Dimension] = DIMENSIONS
) -> dict[str, Score]:
    """Every dimension's score. Absent, never 0, where what it rests on was not measured."""
    song = is_song(results)
    return {
        name: _score(name, dimension, results, options, song)
        for name, dimension in dimensions.items()
    }


def read(results: Results, path: str) -> Measure | Absence:
    """The measure of that name, or why there is none."""
    family, _, name = path.partition(".")
    result = results.get(cast(Family, family))
    if result is None:
        return Absence(reason=Reason.not_requested, detail=f"Needs {family}.")
    if result.absent is not None:
        return result.absent
    if path in DERIVED:
        return DERIVED[path](cast(Pitch, result))
    missing = Absence(reason=Reason.not_requested, detail=f"{family} has no {name} of this take.")
    return result.measures.get(name) or result.absences.get(name) or missing


def held_notes(pitch: Pitch) -> list[Note]:
    """Notes that are long and still enough to have been sung on purpose."""
    return [
        note
        for note in pitch.notes
        if note.end_s - note.start_s >= HELD_S
        and (note.vibrato is not None or note.stability_cents <= STEADY_CENTS)
    ]


def notes_without_vibrato(pitch: Pitch) -> list[Note]:
    """Those long enough to be held, however still: leaving the restless out would flatter them."""
    return [n for n in pitch.notes if n.vibrato is None and n.end_s - n.start_s >= HELD_S]


def off_cents(note: Note, offset: float) -> float:
    """From the nearest semitone of the take's own tuning, -50..50."""
    return (note.cents - offset + 50) % 100 - 50


def tuning_offset(pitch: Pitch) -> float:
    """The take's own tuning re its A4, in cents; 0 where it was not measured."""
    found = pitch.measures.get("tuning_offset_cents")
    return found.value if found else 0.0


def is_song(results: Results) -> bool | None:
    """Whether held notes fill the take: a song, or a vowel held. None where pitch cannot tell."""
    pitch = results.get("pitch")
    if not isinstance(pitch, Pitch) or not pitch.voiced_s:
        return None
    held_s = sum(note.end_s - note.start_s for note in held_notes(pitch))
    return held_s >= max(SUNG_SHARE * pitch.voiced_s, SUNG_S)


def _score(
    name: str, dimension: Dimension, results: Results, options: Options, song: bool | None
) -> Score:
    reference = dimension.reference.format(a4_hz=options.a4_hz)
    taken = [(term, read(results, term.measure)) for term in dimension.terms]
    found = [(term, measure) for term, measure in taken if isinstance(measure, Measure)]
    refusal = _nobody(dimension, results) or _refusal(dimension, taken, song)
    if refusal is not None:
        uses = [term.measure for term in dimension.terms if not term.extra]
        return Score(
            value=None, absent=refusal, uses=uses, reference=reference, ignores=dimension.ignores
        )
    spoken_s = _spoken_s(results)
    value, error = _combined(dimension, found, song, spoken_s)
    sung = song and dimension.voice  # takes of speech say nothing of how song varies
    return Score(
        value=value,
        standard_error=error,
        smallest_real_change=None if sung else smallest_real_change(name, spoken_s),
        uses=[term.measure for term, _ in found],
        reference=reference,
        ignores=dimension.ignores,
        evidence_s=_merged([measure for _, measure in found]),
    )


def _spoken_s(results: Results) -> float:
    activity = results.get("activity")
    spans = activity.speech_s if isinstance(activity, Activity) else []
    return sum(end - start for start, end in spans)


def _nobody(dimension: Dimension, results: Results) -> Absence | None:
    """A hum or a flute has a pitch too, but nobody to be scored."""
    activity = results.get("activity")
    return activity.absent if dimension.voice and activity is not None else None


def _refusal(
    dimension: Dimension, taken: Sequence[tuple[Term, Measure | Absence]], song: bool | None
) -> Absence | None:
    if dimension.of == "speech" and song:
        detail = f"Held notes fill over {SUNG_SHARE:.0%} of the voiced time: this is song."
        return Absence(reason=Reason.no_speech, detail=detail)
    if dimension.of == "song" and song is False:
        detail = f"Held notes fill under {SUNG_SHARE:.0%} of the voiced time: this is speech."
        return Absence(reason=Reason.insufficient_voiced_audio, detail=detail)
    core = [(term, answer) for term, answer in taken if not term.extra]
    present = sum(term.weight for term, answer in core if isinstance(answer, Measure))
    if present >= PRESENT_SHARE * sum(term.weight for term, _ in core):
        return None
    return next(answer for _, answer in core if isinstance(answer, Absence))


def _combined(
    dimension: Dimension,
    found: Sequence[tuple[Term, Measure]],
    song: bool | None,
    spoken_s: float,
) -> tuple[float, float | None]:
    """Points and their standard error, from the measures whose error is known."""
    points = [term.curve(song).points(measure.value) for term, measure in found]
    errors = [_error(term, measure, song, spoken_s) for term, measure in found]
    if dimension.worst:
        lowest = min(range(len(points)), key=points.__getitem__)
        return points[lowest], errors[lowest]
    total = sum(term.weight for term, _ in found)
    shares = [term.weight / total for term, _ in found]
    value = sum(share * each for share, each in zip(shares, points, strict=True))
    known = [share * e for share, e in zip(shares, errors, strict=True) if e is not None]
    return min(value, 100.0), sum(e * e for e in known) ** 0.5 if known else None  # after rounding


def _error(term: Term, measure: Measure, song: bool | None, spoken_s: float) -> float | None:
    """In points. Where a measure states no error, what takes of speech vary by stands in."""
    known = measure.standard_error
    if known is None and not song:
        known = within_person_sd(term.measure, spoken_s)
    return None if known is None else term.curve(song).error(measure.value, known)


def _merged(measures: Sequence[Measure]) -> list[Span]:
    spans = sorted(span for measure in measures for span in measure.evidence_s)
    return utterance.evidence(utterance.runs(spans, gap_s=0.0))


def _notes_off(pitch: Pitch) -> Measure | Absence:
    notes = held_notes(pitch)
    if len(notes) < FEWEST_NOTES:
        return _too_few_notes(len(notes), FEWEST_NOTES, "held notes")
    offset = tuning_offset(pitch)
    off = [abs(off_cents(note, offset)) for note in notes]
    return _over_notes(fmean(off), off, "cents", notes)


def _notes_unsteady(pitch: Pitch) -> Measure | Absence:
    notes = notes_without_vibrato(pitch)
    if not notes:
        return _too_few_notes(0, 1, "notes without vibrato")
    scatter = [note.stability_cents for note in notes]
    return _over_notes(median(scatter), scatter, "cents", notes)


def _vibrato_regularity(pitch: Pitch) -> Measure | Absence:
    notes = [note for note in held_notes(pitch) if note.vibrato is not None]
    if not notes:
        return _too_few_notes(0, 1, "held notes with vibrato")
    regular = [note.vibrato.regularity for note in notes if note.vibrato is not None]
    return _over_notes(median(regular), regular, "1", notes)


def _over_notes(value: float, each: Sequence[float], unit: str, notes: Sequence[Note]) -> Measure:
    mean, count = fmean(each), len(each)
    scatter = sum((one - mean) ** 2 for one in each) / max(count - 1, 1)
    return Measure(
        value=value,
        unit=unit,
        confidence=fmean(note.confidence for note in notes),
        standard_error=(scatter / count) ** 0.5 if count > 1 else None,
        evidence_s=utterance.evidence([(note.start_s, note.end_s) for note in notes]),
    )


def _too_few_notes(found: int, needed: int, what: str) -> Absence:
    detail = f"Found {found} {what} of {HELD_S} s; {needed} needed."
    return Absence(reason=Reason.insufficient_voiced_audio, detail=detail)


DERIVED: Mapping[str, Callable[[Pitch], Measure | Absence]] = {
    "pitch.notes_off_cents": _notes_off,
    "pitch.notes_unsteady_cents": _notes_unsteady,
    "pitch.vibrato_regularity": _vibrato_regularity,
}
