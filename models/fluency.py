"""Fluency: rates, runs and pauses of speech, with its words where they were transcribed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self, cast

import numpy as np

from models import syllables, utterance, weights
from models.engine import Task
from models.results import (
    Absence,
    Activity,
    Family,
    FamilyResult,
    Fluency,
    Measure,
    Pitch,
    Reason,
    Span,
    Transcript,
    Version,
    Word,
    absent,
)
from models.spectra import batch
from models.syllables import Envelope, Indices
from models.utterance import HOP_S, Answers, Floats

WINDOW_S, STEP_S = 5.0, 1.0  # of the rolling articulation rate
FEWEST_WINDOWS, FEWEST_FOR_P90 = 3, 5
SHORTEST_FOR_RUNS_S = 5.0  # one sentence has no pauses because it is one sentence
FILLERS = {  # 'um' and 'er' are words in German, so each language has its own
    "en": frozenset({"um", "uh", "uhm", "umm", "er", "erm", "hm", "hmm", "mm", "mhm"}),
    "de": frozenset({"äh", "ähm", "öh", "öhm", "hm", "hmm", "mhm", "eh"}),
    "fr": frozenset({"euh", "heu", "hm", "hmm", "ben"}),
    "es": frozenset({"eh", "em", "ehm", "mmm", "hm"}),
}
STEADY_S = 0.3  # a filled pause is a vowel held this long...
STEADY_SEMITONES_PER_S = 6.0  # ...on an almost level pitch...
STEADY_DB = 6.0  # ...and level...
BESIDE_S = 0.12  # ...next to a gap or an edge of speech
OF_SPEECH = (  # and of no song, whose pace is the music's
    "speech_rate_sps",
    "articulation_rate_sps",
    "mean_length_of_run",
    "pace_variation",
    "filled_pauses_per_minute",
    "words_per_minute",
    "filler_rate",
    "repetition_rate",
)
WORD_MEASURES = ("words_per_minute", "filler_rate", "repetition_rate")
UNITS = {"words_per_minute": "1/min", "filler_rate": "1/min", "repetition_rate": "%"}


@dataclass(frozen=True, slots=True)
class Speech:
    """What the rates are taken from."""

    runs_s: list[Span]
    nuclei_s: Floats

    @property
    def total_s(self) -> float:
        """From the first to the last sound, so that silence around the take does not count."""
        return self.runs_s[-1][1] - self.runs_s[0][0]

    @property
    def phonation_s(self) -> float:
        return sum(end - start for start, end in self.runs_s)

    @property
    def pauses_s(self) -> list[Span]:
        return [(before[1], after[0]) for before, after in pairwise(self.runs_s)]


class FluencyEngine:
    """Times syllables and pauses; reads words from a transcript when the take has one.

    Rates as in de Jong & Wempe (2009) and de Jong & Bosker (2013): articulation rate is syllables
    over phonation time, speech rate syllables over the time from first to last sound, and only
    gaps of 250 ms and more are pauses. Song has pauses and no rates.
    """

    family: Family = "fluency"

    def __init__(self, version: Version, device: str) -> None:
        self.version = version
        self._device = device

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu", sha256: str | None = None) -> Self:
        return cls(weights.of_code("fluency", version, sha256), device)

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        envelopes = syllables.envelopes(*batch([task.audio for task in tasks], self._device))
        return [self._analyze(*each) for each in zip(tasks, envelopes, strict=True)]

    def _analyze(self, task: Task, envelope: Envelope) -> FamilyResult:
        if refusal := utterance.refusal(task):
            return absent("fluency", refusal.reason, refusal.detail, self.version)
        activity = cast(Activity, task.needs["activity"])
        pitch = cast(Pitch, task.needs["pitch"])
        f0 = utterance.voicing(pitch, len(envelope))
        speech = utterance.inside(activity.speech_s, len(envelope))
        found = syllables.nuclei(envelope, ~np.isnan(f0), speech)
        if not len(found):
            detail = "No voiced peak of loudness in the speech."
            return absent("fluency", Reason.no_syllables, detail, self.version)
        filled = _filled_pauses(f0, envelope.level_db, found, activity.speech_s)
        said = Speech(utterance.runs(activity.speech_s), np.asarray(found * HOP_S))
        if utterance.is_song(pitch):
            return self._described(said, _pauses(said) | _sung(said), [])
        answers = _rates(said) | _pauses(said) | _pace_variation(said)
        return self._described(
            said, answers | _filled_rate(said, filled) | _words(task, said), filled
        )

    def _described(self, speech: Speech, answers: Answers, filled: list[Span]) -> Fluency:
        return Fluency(
            version=self.version,
            conditions={
                "pause_threshold_s": utterance.PAUSE_S,
                "syllable_dip_db": syllables.DIP_DB,
                "syllables": len(speech.nuclei_s),
                "speech_s": round(speech.total_s, 3),
                "phonation_s": round(speech.phonation_s, 3),
            },
            measures={k: v for k, v in answers.items() if isinstance(v, Measure)},
            absences={k: v for k, v in answers.items() if isinstance(v, Absence)},
            syllables_s=[float(s) for s in speech.nuclei_s],
            filled_pauses_s=filled,
        )


def _rates(speech: Speech) -> Answers:
    count, error = len(speech.nuclei_s), syllables.count_error(len(speech.nuclei_s))
    long, short = speech.total_s >= SHORTEST_FOR_RUNS_S, _short(speech)
    spans = utterance.evidence(speech.runs_s)

    def per(amount: float, unit: str) -> Measure:
        return Measure(
            value=count / amount, unit=unit, standard_error=error / amount, evidence_s=spans
        )

    return {
        "speech_rate_sps": per(speech.total_s, "1/s"),
        "articulation_rate_sps": per(speech.phonation_s, "1/s"),
        "mean_length_of_run": per(len(speech.runs_s), "syllables") if long else short,
        "phonation_ratio": _phonation(speech),
    }


def _sung(speech: Speech) -> Answers:
    """Of the rates, only how much of the time there is a voice."""
    detail = "Held notes fill the voice: this is song, and its pace is the music's."
    absence = Absence(reason=Reason.no_speech, detail=detail)
    return {**dict.fromkeys(OF_SPEECH, absence), "phonation_ratio": _phonation(speech)}


def _phonation(speech: Speech) -> Measure:
    spans = utterance.evidence(speech.runs_s)
    return Measure(value=speech.phonation_s / speech.total_s, unit="1", evidence_s=spans)


def _short(speech: Speech) -> Absence:
    detail = f"{speech.total_s:.1f} s of speech; {SHORTEST_FOR_RUNS_S:.0f} s are needed."
    return Absence(reason=Reason.too_short, detail=detail)


def _pauses(speech: Speech) -> Answers:
    pauses = speech.pauses_s
    lengths, count = np.array([end - start for start, end in pauses]), len(pauses)
    minutes, spans = speech.total_s / 60, utterance.evidence(pauses)
    answers: Answers = {
        "pauses_per_minute": Measure(
            value=count / minutes,
            unit="1/min",
            standard_error=max(count, 1) ** 0.5 / minutes,  # of a Poisson count
            evidence_s=spans or utterance.evidence(speech.runs_s),
        ),
        "pause_mean_s": utterance.too_few(count, 1, "pauses"),
        "pause_p90_s": utterance.too_few(count, FEWEST_FOR_P90, "pauses"),
    }
    if speech.total_s < SHORTEST_FOR_RUNS_S:
        answers["pauses_per_minute"] = _short(speech)
    if count:
        error = float(lengths.std(ddof=1) / count**0.5) if count > 1 else None
        answers["pause_mean_s"] = Measure(
            value=float(lengths.mean()), unit="s", standard_error=error, evidence_s=spans
        )
    if count >= FEWEST_FOR_P90:
        answers["pause_p90_s"] = Measure(
            value=float(np.quantile(lengths, 0.9)), unit="s", evidence_s=spans
        )
    return answers


def _pace_variation(speech: Speech) -> Answers:
    """Coefficient of variation of the articulation rate over rolling windows of 5 s."""
    first, last = speech.runs_s[0][0], speech.runs_s[-1][1]
    starts = np.arange(first, last - WINDOW_S + 1e-9, STEP_S)
    runs = np.array(speech.runs_s)
    overlap = np.minimum(runs[:, 1], starts[:, None] + WINDOW_S) - np.maximum(
        runs[:, 0], starts[:, None]
    )
    phonation = overlap.clip(min=0).sum(1)  # (windows,)
    edges = np.searchsorted(speech.nuclei_s, np.stack((starts, starts + WINDOW_S)))
    spoken = phonation > WINDOW_S / 2
    count = int(spoken.sum())
    if count < FEWEST_WINDOWS:
        return {"pace_variation": utterance.too_few(count, FEWEST_WINDOWS, "windows of 5 s")}
    rates = (edges[1] - edges[0])[spoken] / phonation[spoken]
    spans = utterance.evidence(speech.runs_s)
    error = float(rates.std() / rates.mean() / (2 * count / WINDOW_S) ** 0.5)
    return {
        "pace_variation": Measure(
            value=100 * float(rates.std() / rates.mean()),
            unit="%",
            standard_error=100 * error,  # windows overlap: one in five is independent
            evidence_s=spans,
        )
    }


def _words(task: Task, speech: Speech) -> Answers:
    transcript = task.needs.get("transcript")
    if not isinstance(transcript, Transcript):
        missing = Absence(reason=Reason.not_requested, detail="Needs a transcript.")
        return dict.fromkeys(WORD_MEASURES, missing)
    if transcript.absent:
        return dict.fromkeys(WORD_MEASURES, transcript.absent)
    words = transcript.words
    if not words:
        missing = Absence(reason=Reason.no_speech, detail="The transcript has no words.")
        return dict.fromkeys(WORD_MEASURES, missing)
    return _word_rates(words, FILLERS.get(transcript.language or "en", FILLERS["en"]), speech)


def _word_rates(words: list[Word], known: frozenset[str], speech: Speech) -> Answers:
    minutes = speech.total_s / 60
    fillers = [word for word in words if _plain(word) in known]
    repeats = _repeats([word for word in words if _plain(word) not in known])
    sure = float(np.mean([word.probability for word in words]))
    said = {
        # whisper leaves many fillers and repeats out, so what it does hear is a lower bound
        "words_per_minute": ((len(words) - len(fillers)) / minutes, sure, words),
        "filler_rate": (len(fillers) / minutes, 0.4 * sure, fillers),
        "repetition_rate": (100 * len(repeats) / len(words), 0.5 * sure, repeats),
    }
    return {
        name: Measure(value=value, unit=UNITS[name], confidence=confidence, evidence_s=_spans(at))
        for name, (value, confidence, at) in said.items()
    }


def _spans(words: Sequence[Word]) -> list[Span]:
    return utterance.evidence(utterance.runs([(word.start_s, word.end_s) for word in words]))


def _plain(word: Word) -> str:
    return word.word.strip().strip(".,;:!?…\"'()-").casefold()


def _repeats(words: list[Word]) -> list[Word]:
    """Words said again at once, alone or as the second half of a repeated pair."""
    plain = [_plain(word) for word in words]
    again = {i for i in range(1, len(plain)) if plain[i] and plain[i] == plain[i - 1]}
    for i in range(3, len(plain)):
        if plain[i - 1 : i + 1] == plain[i - 3 : i - 1]:
            again |= {i - 1, i}
    return [words[i] for i in sorted(again)]


def _filled_rate(speech: Speech, filled: list[Span]) -> Answers:
    minutes = speech.total_s / 60
    rate = Measure(
        value=len(filled) / minutes,
        unit="1/min",
        confidence=0.3,  # a drawn-out last vowel looks the same
        standard_error=max(len(filled), 1) ** 0.5 / minutes,
        evidence_s=utterance.evidence(filled or speech.runs_s),
    )
    return {"filled_pauses_per_minute": rate}


def _filled_pauses(
    f0: Floats, level_db: Floats, found: Indices, speech_s: Sequence[Span]
) -> list[Span]:
    """Vowels held still beside a gap: 'uh'. A drawn-out last vowel looks the same."""
    ends = np.array([edge for span in utterance.runs(speech_s, BESIDE_S) for edge in span])
    spans = []
    for start, end in _steady(f0, level_db):
        beside = np.abs(ends[:, None] - (start, end)).min() < BESIDE_S
        inside = ((found * HOP_S >= start) & (found * HOP_S < end)).sum()
        if beside and inside <= 1:
            spans.append((start, end))
    return spans


def _steady(f0: Floats, level_db: Floats) -> list[Span]:
    """Stretches of 0.3 s and more in which neither pitch nor level moves much."""
    reach = 5  # frames to each side
    if len(f0) <= 2 * reach:
        return []
    semitones = 12 * np.log2(f0)
    turn = np.abs(semitones[2 * reach :] - semitones[: -2 * reach]) / (2 * reach * HOP_S)
    swell = np.abs(level_db[2 * reach :] - level_db[: -2 * reach])
    still = np.pad((turn < STEADY_SEMITONES_PER_S) & (swell < STEADY_DB / 2), reach)
    edges = np.flatnonzero(np.diff(np.pad(still, 1).astype(np.int8)))
    return [
        ((start - reach) * HOP_S, (end + reach - 1) * HOP_S)
        for start, end in edges.reshape(-1, 2)
        if (end - start + 2 * reach) * HOP_S >= STEADY_S
        and np.isfinite(f0[start - reach : end + reach]).all()
        and np.ptp(level_db[start - reach : end + reach]) < STEADY_DB
    ]
