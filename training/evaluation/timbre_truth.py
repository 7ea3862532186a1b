"""Our errors beside Praat's and openSMILE's where the truth of a voice was planted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from models.engine import Engine, Task, Unavailable
from models.results import Pitch, Timbre
from training.evaluation import instruments, intervals
from training.evaluation.instruments import Floats
from training.evaluation.planted_voices import Planted
from training.evaluation.report import Section

SAME, OWN, PRAAT, SMILE = "ours, Praat's F0", "ours, our F0", "Praat", "openSMILE"
NOISE_SHARE = 0.02  # of Praat's error: less apart than that is as close

Answers = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    planted: Planted
    answers: Mapping[str, Answers]  # by instrument


def measure(voices: Iterable[Planted], timbre: Engine, pitch: Engine | None) -> Section:
    smile = instruments.OpenSmile()
    cases = [_heard(planted, timbre, pitch, smile) for planted in voices]
    who = [SAME, *([OWN] if pitch else []), PRAAT, SMILE]
    section = Section(
        "Planted truth",
        "Source-filter voices with known glottal pulses, added white noise, tract and source; mean "
        "absolute error over voices (95 % interval). In the first column ours is given the F0 that "
        "Praat found, so that only what follows differs; openSMILE uses its own. Praat's formants "
        "are untracked, at the ceiling ours chose; openSMILE's H1-H2 and H1-A3 are uncorrected.",
        ("measure", "voices", *who, "goal", "reached"),
    )
    for name in dict.fromkeys(name for case in cases for name in case.planted.truth):
        section.rows.append(_row(name, cases, who))
    if not pitch:
        section.notes.append("Our own F0: missing, the pitch weights are not there.")
    return section


def as_pitch(f0_hz: Floats) -> Pitch:
    hz = [float(f) if np.isfinite(f) else None for f in f0_hz]
    return Pitch(f0_hz=hz, confidence=[1.0] * len(hz))


def values(result: object) -> Answers:
    """The measures that were taken."""
    assert isinstance(result, Timbre)
    return {name: measure.value for name, measure in result.measures.items()}


def _heard(
    planted: Planted, timbre: Engine, pitch: Engine | None, smile: instruments.OpenSmile
) -> Case:
    praat = instruments.Praat(planted.samples)
    [same] = timbre.analyze_batch([Task(planted.audio, {"pitch": as_pitch(praat.f0_hz())})])
    answers = {
        SAME: values(same),
        PRAAT: _praats(praat, planted, same),
        SMILE: smile(planted.audio),
    }
    if pitch:
        [curve] = pitch.analyze_batch([Task(planted.audio)])
        answers[OWN] = values(timbre.analyze_batch([Task(planted.audio, {"pitch": curve})])[0])
    return Case(planted, answers)


def _praats(praat: instruments.Praat, planted: Planted, same: object) -> Answers:
    assert isinstance(same, Timbre)
    voiced = np.isfinite(praat.f0_hz())
    if planted.what == "perturbation":
        return praat.perturbations()
    if planted.what == "noise":
        return {"hnr_db": float(np.nanmean(praat.hnr_db()[voiced]))}
    if planted.what == "formants":
        ceiling = same.conditions["formant_ceiling_hz"]
        return medians(praat.formants(float(ceiling or 0))[voiced])
    return {}


def medians(formants: Floats) -> dict[str, float]:
    """Of F1-F4 and their bandwidths, by our names."""
    middle = np.nanmedian(formants, axis=0)
    named = {f"f{i}_hz": float(row[0]) for i, row in enumerate(middle, 1)}
    return named | {f"f{i}_bandwidth_hz": float(row[1]) for i, row in enumerate(middle, 1)}


def _row(name: str, cases: list[Case], who: list[str]) -> list[object]:
    asked = [case for case in cases if name in case.planted.truth]
    errors = {one: errors_of(name, asked, one) for one in who}
    cells = [str(intervals.of_mean(errors[one])) if errors[one] else "-" for one in who]
    ours, theirs = _mean(errors[SAME]), _mean(errors[PRAAT])
    rival = theirs if errors[PRAAT] else _mean(errors[SMILE])
    goal = f"at most {rival:.3g}"
    return [name, len(asked), *cells, goal, "yes" if ours <= (1 + NOISE_SHARE) * rival else "no"]


def errors_of(name: str, cases: Iterable[Case], who: str) -> dict[str, float]:
    """Absolute errors by voice, where that instrument answered."""
    found = {
        str(number): abs(case.answers[who][name] - case.planted.truth[name])
        for number, case in enumerate(cases)
        if name in case.answers.get(who, {})
    }
    return {voice: error for voice, error in found.items() if np.isfinite(error)}


def _mean(errors: Mapping[str, float]) -> float:
    return float(np.mean(list(errors.values()))) if errors else float("nan")


def available(engine: Engine) -> Engine | None:
    return None if isinstance(engine, Unavailable) else engine
