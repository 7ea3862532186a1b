"""Scores: named measures against published ranges, 0 to 100. No torch here.

The ranges are those of the sources named; the lines drawn between and beyond them are ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Literal, cast

from models import utterance
from models.graph import Options
from models.results import (
    Absence,
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
SUNG_SHARE = 0.5  # of the voiced time in held notes makes a take song
FEWEST_NOTES = 3  # to judge intonation by
PRESENT_SHARE = 0.5  # of a score's weights that must have been measured


@dataclass(frozen=True, slots=True)
class Curve:
    """Points for a value: straight lines between (value, points), flat outside them."""

    anchors: tuple[tuple[float, float], ...]

    def points(self, value: float) -> float:
        if value <= self.anchors[0][0]:
            return self.anchors[0][1]
        for (left, low), (right, high) in pairwise(self.anchors):
            if value <= right:
                return low + (high - low) * (value - left) / (right - left)
        return self.anchors[-1][1]

    def error(self, value: float, standard_error: float) -> float:
        """Of the points: half of what they change over the value's own error bar."""
        above, below = self.points(value + standard_error), self.points(value - standard_error)
        peak = self.points(value)
        return max(abs(above - below) / 2, (abs(above - peak) + abs(below - peak)) / 2)

    def target(self, value: float) -> float:
        """The nearest value with full points."""
        best = max(points for _, points in self.anchors)
        full = [at for at, points in self.anchors if points == best]
        return min(full, key=lambda at: abs(at - value))


def curve(*anchors: tuple[float, float]) -> Curve:
    return Curve(anchors)


@dataclass(frozen=True, slots=True)
class Term:
    measure: str  # family.name, or one of DERIVED
    curve: Curve
    weight: float = 1.0
    extra: bool = False  # counts where it was measured, is not missed otherwise


@dataclass(frozen=True, slots=True)
class Dimension:
    """A score: the weighted mean of its terms' points, or the worst of them.

    Monotone in every measure; where a curve rises and falls again (pace), in the distance from
    the range in between.
    """

    terms: tuple[Term, ...]
    reference: str
    of: Literal["speech", "song", "any"] = "any"
    worst: bool = False


DIMENSIONS: Mapping[str, Dimension] = {
    "intonation": Dimension(
        (Term("pitch.notes_off_cents", curve((5, 100), (12, 75), (19, 50), (25, 10), (30, 0))),),
        "Mean distance of held notes from equal temperament at the take's own tuning (A4 asked "
        "for: {a4_hz:g} Hz). Singers' median error is 19 cents (Mauch, Frieler & Dixon 2014); "
        "chance gives 25; experts hear 20-25 as still in tune (Vurma & Ross 2006).",
        of="song",
    ),
    "pitch_stability": Dimension(
        (
            Term("pitch.notes_unsteady_cents", curve((10, 100), (20, 75), (50, 25), (90, 0))),
            Term("pitch.vibrato_regularity", curve((0, 0), (1, 100)), weight=0.5, extra=True),
        ),
        "Scatter of pitch inside held notes without vibrato: near 10 cents in trained voices, "
        "over 50 heard as unsteady (after Larrouy-Maestri & Pfordresher 2018); regularity of "
        "the vibrato where there is one (Prame 1994).",
        of="song",
    ),
    "voice_quality": Dimension(
        (
            Term("timbre.cpps_db", curve((3, 0), (9.33, 75), (14.45, 100)), weight=2),
            Term("timbre.hnr_db", curve((3, 0), (12, 65), (20, 100))),
            Term("timbre.jitter_local", curve((1.04, 100), (2.5, 70), (6, 0))),
            Term("timbre.shimmer_local", curve((3.81, 100), (10, 70), (22, 0))),
        ),
        "CPPS over 9.33 dB in running speech and 14.45 dB in sustained vowels (Murton, Hillman & "
        "Mehta 2020, Praat); HNR of 20 dB in healthy vowels (Boersma 1993); jitter under 1.04 % "
        "and shimmer under 3.81 % in sustained vowels (Deliyski 1993; running speech is rougher).",
    ),
    "resonance": Dimension(
        (Term("timbre.singers_formant_db", curve((-35, 0), (-20, 50), (-8, 100))),),
        "Energy at 2.4-3.2 kHz re 0-2 kHz: singers' ring against nonsingers' (Sundberg 1974; "
        "Omori et al. 1996). A matter of style: belongs to unamplified classical singing.",
        of="song",
    ),
    "expressiveness": Dimension(
        (Term("prosody.expressiveness", curve((0, 0), (1, 100))),),
        "Movement of pitch, loudness and accents: monotone near 1 semitone of standard deviation, "
        "lively from 4 (Traunmueller & Eriksson 1995; Hincks 2005).",
        of="speech",
    ),
    "pace": Dimension(
        (
            Term(
                "fluency.articulation_rate_sps",
                curve((1.5, 0), (3.3, 100), (5.5, 100), (8.5, 0)),
                weight=2,
            ),
            Term(
                "fluency.words_per_minute",
                curve((50, 0), (120, 100), (185, 100), (290, 0)),
                extra=True,
            ),
        ),
        "3.3-5.5 syllables a second, as readers and talkers of American English articulate "
        "(Jacewicz et al. 2009); 120-185 words a minute (after Tauroza & Allison 1990).",
        of="speech",
    ),
    "fluency": Dimension(
        (
            Term("fluency.phonation_ratio", curve((0.3, 0), (0.6, 55), (0.8, 100))),
            Term("fluency.pauses_per_minute", curve((15, 100), (28, 60), (55, 0))),
            Term("fluency.mean_length_of_run", curve((2, 0), (5, 55), (9, 100))),
            Term("fluency.pause_p90_s", curve((1.0, 100), (2.0, 50), (4.0, 0)), extra=True),
            Term("fluency.filler_rate", curve((1, 100), (6, 55), (20, 0)), extra=True),
            Term("fluency.repetition_rate", curve((1, 100), (4, 55), (12, 0)), extra=True),
        ),
        "Fluent native speech: phonation over 80 % of the time, about 15 pauses of 250 ms a "
        "minute, runs of 9 syllables (Kormos & Denes 2004; de Jong & Bosker 2013); up to 6 "
        "fillers a minute pass unnoticed (after Bortfeld et al. 2001).",
        of="speech",
    ),
    "clarity": Dimension(
        (
            Term("clarity.vowel_space_area_bark2", curve((1, 0), (5, 60), (10, 100))),
            Term("clarity.word_accuracy", curve((0.4, 0), (0.85, 60), (1, 100)), 2, extra=True),
            Term("clarity.word_confidence", curve((0.3, 0), (0.7, 60), (0.95, 100)), extra=True),
        ),
        "Larger vowel spaces are more intelligible (Bradlow, Torretta & Pisoni 1996); words as a "
        "recogniser understood them, where there is a transcript.",
        of="speech",
    ),
    "recording_quality": Dimension(
        (
            Term("clarity.snr_db", curve((0, 0), (10, 35), (20, 70), (35, 100))),
            Term("clarity.clipped_fraction", curve((0, 100), (0.001, 75), (0.01, 30), (0.05, 0))),
            Term("clarity.bandwidth_hz", curve((2000, 0), (3400, 40), (7000, 100)), extra=True),
            Term("clarity.t60_s", curve((0.3, 100), (0.6, 75), (1.2, 30), (2.5, 0)), extra=True),
            Term("clarity.intelligible_recording", curve((0, 0), (100, 100)), extra=True),
        ),
        "The worst of noise, clipping, bandwidth and reverberation: voice measures want 30 dB and "
        "more, are doubtful under 15 and withheld under 10 (after Deliyski, Shaw & Evans 2005); "
        "rooms under 0.6 s (ANSI S12.60).",
        worst=True,
    ),
}


def score(results: Results, options: Options) -> dict[str, Score]:
    """Every dimension's score. Absent, never 0, where what it rests on was not measured."""
    song = _is_song(results)
    return {name: _score(each, results, options, song) for name, each in DIMENSIONS.items()}


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


def off_cents(note: Note, offset: float) -> float:
    """From the nearest semitone of the take's own tuning, -50..50."""
    return (note.cents - offset + 50) % 100 - 50


def tuning_offset(pitch: Pitch) -> float:
    """The take's own tuning re its A4, in cents; 0 where it was not measured."""
    found = pitch.measures.get("tuning_offset_cents")
    return found.value if found else 0.0


def _is_song(results: Results) -> bool | None:
    """None where pitch cannot tell."""
    pitch = results.get("pitch")
    if not isinstance(pitch, Pitch) or not pitch.voiced_s:
        return None
    held_s = sum(note.end_s - note.start_s for note in held_notes(pitch))
    return held_s >= SUNG_SHARE * pitch.voiced_s


def _score(dimension: Dimension, results: Results, options: Options, song: bool | None) -> Score:
    reference = dimension.reference.format(a4_hz=options.a4_hz)
    taken = [(term, read(results, term.measure)) for term in dimension.terms]
    found = [(term, measure) for term, measure in taken if isinstance(measure, Measure)]
    refusal = _refusal(dimension, taken, song)
    if refusal is not None:
        uses = [term.measure for term in dimension.terms if not term.extra]
        return Score(value=None, absent=refusal, uses=uses, reference=reference)
    value, error = _combined(dimension, found)
    return Score(
        value=value,
        standard_error=error,
        uses=[term.measure for term, _ in found],
        reference=reference,
        evidence_s=_merged([measure for _, measure in found]),
    )


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
    dimension: Dimension, found: Sequence[tuple[Term, Measure]]
) -> tuple[float, float | None]:
    """Points and their standard error, from the measures that have one."""
    points = [term.curve.points(measure.value) for term, measure in found]
    errors = [
        None
        if measure.standard_error is None
        else term.curve.error(measure.value, measure.standard_error)
        for term, measure in found
    ]
    if dimension.worst:
        lowest = min(range(len(points)), key=points.__getitem__)
        return points[lowest], errors[lowest]
    total = sum(term.weight for term, _ in found)
    shares = [term.weight / total for term, _ in found]
    value = sum(share * each for share, each in zip(shares, points, strict=True))
    known = [share * e for share, e in zip(shares, errors, strict=True) if e is not None]
    return value, sum(e * e for e in known) ** 0.5 if known else None


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
    notes = [note for note in held_notes(pitch) if note.vibrato is None]
    if not notes:
        return _too_few_notes(0, 1, "held notes without vibrato")
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
