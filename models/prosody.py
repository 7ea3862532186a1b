"""Prosody: melody, loudness and rhythm of speech."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from models import loudness, melody, syllables, utterance, weights
from models.engine import Task
from models.loudness import Loudness
from models.melody import Melody
from models.results import (
    Absence,
    Activity,
    Family,
    FamilyResult,
    Measure,
    Pitch,
    Prosody,
    Reason,
    Span,
    Version,
    absent,
)
from models.spectra import batch
from models.syllables import Envelope, Indices
from models.utterance import HOP_S, Answers, Floats

SHORTEST_VOICED_S = 1.0
LEAST_FOR_EBU_RANGE_S = 20.0  # Tech 3342 warns against short takes
FEWEST_VOWEL_PAIRS = 10
MOMENTARY_S = loudness.MOMENTARY_HOPS * loudness.HOP_S
FEWEST_LEVELS = 6  # momentary ones: of a phrase of a second
RHYTHM_CONFIDENCE = 0.4  # vowels are cut by level, not by a phonetician


@dataclass(frozen=True, slots=True)
class Term:
    """A share of the expressiveness: 0 at `none` and below, 1 at `full` and above."""

    measure: str
    share: float
    none: float
    full: float

    def reached(self, value: float) -> float:
        return min(max((value - self.none) / (self.full - self.none), 0.0), 1.0)


# Pitch movement carries most of what listeners call lively (Hincks 2005; Traunmueller & Eriksson
# 1995); a monotone reader has a standard deviation near 1 semitone, an actor 5 and more.
EXPRESSIVENESS = (
    Term("f0_sd_semitones", 0.6, 1.0, 5.0),
    Term("loudness_range_db", 0.2, 4.0, 20.0),
    Term("accent_density", 0.2, 0.2, 2.0),
)


class ProsodyEngine:
    """Describes the melody of phrases (speech between pauses of 250 ms), its loudness, its rhythm.

    F0 is in semitones re the speaker's own median, so that voices compare. Loudness is EBU R128.
    nPVI of vowels and %V: Grabe & Low (2002); Ramus, Nespor & Mehler (1999).
    """

    family: Family = "prosody"

    def __init__(self, version: Version, device: str) -> None:
        self.version = version
        self._device = device

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu", sha256: str | None = None) -> Self:
        return cls(weights.of_code("prosody", version, sha256), device)

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        samples, lengths = batch([task.audio for task in tasks], self._device)
        loud, seen = loudness.measure(samples, lengths), syllables.envelopes(samples, lengths)
        return [self._analyze(*each) for each in zip(tasks, loud, seen, strict=True)]

    def _analyze(self, task: Task, loud: Loudness, envelope: Envelope) -> FamilyResult:
        if refusal := utterance.refusal(task):
            return absent("prosody", refusal.reason, refusal.detail, self.version)
        activity = cast(Activity, task.needs["activity"])
        pitch = cast(Pitch, task.needs["pitch"])
        curve = melody.read(activity, pitch, len(envelope))
        voiced_s = HOP_S * int(curve.voiced.sum())
        if voiced_s < SHORTEST_VOICED_S:
            detail = f"{voiced_s:.2f} s of voiced speech; {SHORTEST_VOICED_S} s are needed."
            return absent("prosody", Reason.insufficient_voiced_audio, detail, self.version)
        return self._described(curve, loud, envelope)

    def _described(self, curve: Melody, loud: Loudness, envelope: Envelope) -> Prosody:
        phrases = [melody.phrase(curve, span) for span in curve.phrases]
        answers = (
            melody.spread(curve)
            | melody.movement(phrases)
            | melody.accents(curve)
            | _dynamics(loud, curve.phrases)
            | _rhythm(curve, envelope)
        )
        answers |= _expressiveness(answers)
        return Prosody(
            version=self.version,
            conditions={
                "voiced_s": round(HOP_S * int(curve.voiced.sum()), 3),
                "phrases": len(phrases),
                "pause_threshold_s": utterance.PAUSE_S,
                "contour_tolerance_semitones": melody.TOLERANCE_SEMITONES,
            },
            measures={k: v for k, v in answers.items() if isinstance(v, Measure)},
            absences={k: v for k, v in answers.items() if isinstance(v, Absence)},
            phrases=phrases,
            contour=melody.stylise(curve.semitones),
            loudness_lufs=_audible(loud.momentary_lufs()),
        )


def _dynamics(loud: Loudness, phrases: list[Span]) -> Answers:
    momentary = loud.momentary_lufs()
    heard = utterance.inside(phrases, len(momentary), loudness.HOP_S) & np.isfinite(momentary)
    spans, spoken = utterance.evidence(phrases), momentary[heard]
    answers: Answers = {}
    if spoken.size:
        low, high = np.quantile(spoken, (0.05, 0.95))
        error = 2.99 * float(spoken.std()) / (spoken.size / loudness.MOMENTARY_HOPS) ** 0.5
        answers["loudness_range_db"] = Measure(
            value=float(high - low), unit="dB", standard_error=error, evidence_s=spans
        )
    answers["loudness_slope_db_per_s"] = _loudness_slope(momentary, heard, phrases)
    return answers | _broadcast(loud)


def _loudness_slope(
    momentary: Floats, heard: NDArray[np.bool_], phrases: list[Span]
) -> Measure | Absence:
    """Mean slope within phrases of a second and more, weighted by their length."""
    slopes, lasting, used = [], [], []
    for start, end in phrases:
        whole = (start + MOMENTARY_S / 2, end - MOMENTARY_S / 2)  # no window reaches into a pause
        part = utterance.inside([whole], len(momentary), loudness.HOP_S) & heard
        frames = np.flatnonzero(part)
        if len(frames) >= FEWEST_LEVELS:
            slopes.append(melody.slope(np.asarray(frames * loudness.HOP_S), momentary[frames]))
            lasting.append(end - start)
            used.append((start, end))
    if not used:
        return utterance.too_few(0, 1, "phrases of 1 s")
    mean = float(np.average(slopes, weights=lasting))
    error = float(np.std(slopes) / (len(used) - 1) ** 0.5) if len(used) > 1 else None
    spans = utterance.evidence(used)
    return Measure(value=mean, unit="dB/s", standard_error=error, evidence_s=spans)


def _broadcast(loud: Loudness) -> Answers:
    """EBU R128 of the whole take; depends on its level, as a broadcaster's meter does."""
    integrated, lasting = loud.integrated_lufs(), len(loud.energy) * loudness.HOP_S
    short_term, ebu_range = loud.short_term_lufs(), loud.range_lu()
    quiet = Absence(reason=Reason.silence, detail=f"Nothing over {loudness.ABSOLUTE_GATE} LUFS.")
    short = Absence(reason=Reason.too_short, detail=f"{lasting:.1f} s of sound.")
    answers: Answers = {
        "loudness_integrated_lufs": quiet,
        "loudness_short_term_max_lufs": short,
        "loudness_range_lu": short,
    }
    if integrated is not None:
        answers["loudness_integrated_lufs"] = Measure(value=integrated, unit="LUFS")
    if short_term.size and np.isfinite(short_term.max()):
        top = int(short_term.argmax())
        answers["loudness_short_term_max_lufs"] = Measure(
            value=float(short_term[top]),
            unit="LUFS",
            evidence_s=[(top * loudness.HOP_S, (top + loudness.SHORT_TERM_HOPS) * loudness.HOP_S)],
        )
    if ebu_range is not None and lasting >= LEAST_FOR_EBU_RANGE_S:
        answers["loudness_range_lu"] = Measure(value=ebu_range, unit="LU")
    return answers


def _rhythm(curve: Melody, envelope: Envelope) -> Answers:
    speech = utterance.inside(curve.phrases, len(envelope))
    found: Indices = syllables.nuclei(envelope, curve.voiced, speech)
    vowels = np.array(syllables.vowels(envelope, curve.voiced, found)).reshape(-1, 2) * HOP_S
    lasting = vowels[:, 1] - vowels[:, 0]
    ends = np.array([end for _, end in curve.phrases])
    same = np.diff(np.searchsorted(ends, vowels[:, 0])) == 0  # no pause between the two
    if same.sum() < FEWEST_VOWEL_PAIRS:
        missing = utterance.too_few(int(same.sum()), FEWEST_VOWEL_PAIRS, "pairs of vowels")
        return {"npvi_v": missing, "percent_v": missing}
    unlike = (2 * np.abs(np.diff(lasting)) / (lasting[1:] + lasting[:-1]))[same]
    spoken_s = sum(end - start for start, end in curve.phrases)
    spans = utterance.evidence(curve.phrases)

    def rhythm(value: float, unit: str, error: float | None) -> Measure:
        return Measure(
            value=value,
            unit=unit,
            confidence=RHYTHM_CONFIDENCE,
            standard_error=error,
            evidence_s=spans,
        )

    return {
        "npvi_v": rhythm(100 * float(unlike.mean()), "1", 100 * _error(unlike)),
        "percent_v": rhythm(100 * float(lasting.sum()) / spoken_s, "%", None),
    }


def _error(values: Floats) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


def _expressiveness(answers: Answers) -> Answers:
    """0..1: weighted sum of how far each term of EXPRESSIVENESS has come from none to full."""
    taken = {name: answer for name, answer in answers.items() if isinstance(answer, Measure)}
    terms = [term for term in EXPRESSIVENESS if term.measure in taken]
    shares = np.array([term.share for term in terms]) / sum(term.share for term in terms)
    reached = [term.reached(taken[term.measure].value) for term in terms]
    errors = [(taken[term.measure].standard_error or 0) / (term.full - term.none) for term in terms]
    return {
        "expressiveness": Measure(
            value=float(shares @ reached),
            unit="1",
            standard_error=float(np.linalg.norm(shares * errors)),
            evidence_s=taken[terms[0].measure].evidence_s,
        )
    }


def _audible(momentary: Floats) -> list[float | None]:
    return [float(level) if level > loudness.ABSOLUTE_GATE else None for level in momentary]
