"""How near to Praat's our measures of real voices are, with openSMILE beside."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE, Audio
from models.engine import Engine, Task
from models.results import Timbre
from models.spectrum import BIN_HZ
from training import data
from training.data import Clip
from training.evaluation import instruments
from training.evaluation.instruments import Floats
from training.evaluation.report import Section
from training.evaluation.timbre_truth import as_pitch, medians, values

CORPORA = {"librispeech_subset": 24, "ravdess": 20, "emodb": 8, "picovoice_intent": 20}
LONGEST_S = 6
DRAWS = 500  # of a bootstrap
STILL = 10 ** (-90 / 20)  # of the peak: digital silence, which a mean over all frames would count
RELATIVE = ("jitter", "shimmer", "spectral_centroid", "bandwidth")


@dataclass(frozen=True, slots=True)
class Goal:
    """Tolerances: of the median, of 95 % and of the correlation over takes; None where none."""

    median: float | None = None
    most: float | None = None
    r: float | None = None

    def __str__(self) -> str:
        parts = [("median", self.median), ("95 %", self.most), ("r", self.r)]
        return ", ".join(f"{name} {value:g}" for name, value in parts if value is not None) or "-"

    def reached(self, median: float, most: float, r: float) -> str:
        if str(self) == "-":
            return "-"
        near = (self.median is None or median <= self.median) and (
            self.most is None or most <= self.most
        )
        return "yes" if near and (self.r is None or r >= self.r) else "no"


FRAME_GOALS = {
    "hnr_db": Goal(0.1, 0.5),
    "f1_hz": Goal(5, 30),
    "f2_hz": Goal(5, 30),
    "f3_hz": Goal(5, 30),
    "f4_hz": Goal(),
}
TENTH = Goal(0.1)
TAKE_GOALS = {
    "jitter_local": Goal(0.05, r=0.97),
    "shimmer_local": Goal(0.05, r=0.97),
    "cpps_db": TENTH,
    "hnr_db": TENTH,
    "intensity_db": TENTH,
    "alpha_ratio_db": TENTH,
    "hammarberg_index_db": TENTH,
    "singers_formant_db": TENTH,
}


@dataclass(frozen=True, slots=True)
class Take:
    """One take by each instrument; `frames`: ours and Praat's where both know."""

    speaker: str
    corpus: str
    frames: Mapping[str, tuple[Floats, Floats]]
    ours: Mapping[str, float]
    praats: Mapping[str, float]
    smiles: Mapping[str, float]


def sample(corpora: Path) -> list[Clip]:
    """One clip a speaker, spread over the corpora; Picovoice's clips do not say whose they are."""
    chosen = []
    for name, count in CORPORA.items():
        by: dict[str, list[Clip]] = defaultdict(list)
        for clip in data.corpus(corpora, name):
            by[clip.speaker or clip.path.name].append(clip)
        speakers = sorted(by)
        places = np.linspace(0, len(speakers) - 1, min(count, len(speakers))).astype(int)
        picked = [by[speakers[place]] for place in places]
        chosen += [clips[7 * i % len(clips)] for i, clips in enumerate(picked)]
    return chosen


def heard(clips: Iterable[Clip], timbre: Engine) -> list[Take]:
    """Those in which our engine finds voice enough."""
    smile = instruments.OpenSmile()
    takes = [_take(clip, timbre, smile) for clip in clips]
    return [take for take in takes if take]


def _take(clip: Clip, timbre: Engine, smile: instruments.OpenSmile) -> Take | None:
    samples = instruments.whole_frames(_sounding(clip.audio().samples.astype(np.float64)))
    praat = instruments.Praat(samples)
    f0, audio = praat.f0_hz(), Audio(samples.astype(np.float32), ANALYSIS_RATE)
    [ours] = timbre.analyze_batch([Task(audio, {"pitch": as_pitch(f0)})])
    if not isinstance(ours, Timbre) or ours.absent:
        return None
    voiced = np.isfinite(f0)
    formants = praat.formants(float(ours.conditions["formant_ceiling_hz"] or 0))
    formants[~voiced] = np.nan
    hnr = np.where(voiced, praat.hnr_db(), np.nan)
    theirs = [hnr, *formants[..., 0].T]
    curves = (ours.hnr_db, ours.f1_hz, ours.f2_hz, ours.f3_hz, ours.f4_hz)
    return Take(
        clip.speaker or clip.path.name,
        clip.corpus,
        {n: _both(c, t) for n, c, t in zip(FRAME_GOALS, curves, theirs, strict=True)},
        values(ours),
        _praats(praat, voiced, formants, hnr),
        smile(audio),
    )


def _sounding(samples: Floats) -> Floats:
    """Without digital silence at its ends."""
    loud = np.flatnonzero(np.abs(samples) > STILL * np.abs(samples).max(initial=0.0))
    first, last = (loud[0], loud[-1] + 1) if len(loud) else (0, 0)
    return samples[first : min(last, first + LONGEST_S * ANALYSIS_RATE)]


def _both(ours: Sequence[float | None], theirs: Floats) -> tuple[Floats, Floats]:
    mine = np.array([np.nan if value is None else value for value in ours])
    known = np.isfinite(mine) & np.isfinite(theirs)
    return mine[known], theirs[known]


def _praats(
    praat: instruments.Praat, voiced: NDArray[np.bool_], formants: Floats, hnr: Floats
) -> dict[str, float]:
    found = praat.perturbations() | medians(formants[voiced])
    found |= _shape(praat.mean_power())
    found["cpps_db"] = praat.cpps_db()
    found["hnr_db"] = float(np.nanmean(hnr))
    found["intensity_db"] = float(np.nanmean(praat.intensity_db()[voiced]))
    return found


def _shape(power: Floats) -> dict[str, float]:
    """The definitions of METHODS, of the long-term spectrum of Praat's own windowed frames."""
    hz = np.arange(len(power)) * BIN_HZ

    def band(low: float, high: float) -> Floats:
        return power[(hz >= low) & (hz < high)]

    def over(one: float, other: float) -> float:
        return float(10 * np.log10(one / other))

    return {
        "alpha_ratio_db": over(band(50, 1000).sum(), band(1000, 5000).sum()),
        "hammarberg_index_db": over(band(0, 2000).max(), band(2000, 5000).max()),
        "singers_formant_db": over(band(2400, 3200).sum(), band(0, 2000).sum()),
        "spectral_centroid_hz": float((hz * power).sum() / power.sum()),
    }


def by_frame(takes: Sequence[Take]) -> Section:
    section = Section(
        "Agreement with Praat, frame by frame",
        "Real speech of LibriSpeech, RAVDESS, EMO-DB and Picovoice, one take a speaker, both on "
        "the F0 that Praat found, frames that are voiced by it, without digital silence at the "
        "ends. Formants: Praat by its own resampling at the ceiling ours chose, untracked; ours "
        "tracked by Viterbi. In brackets: 95 % bootstrap interval of the median over speakers.",
        ("measure", "frames", "median difference", "95 % within", "r", "tolerance", "reached"),
    )
    for name, goal in FRAME_GOALS.items():
        apart = {take.speaker: np.abs(np.subtract(*take.frames[name])) for take in takes}
        ours, theirs = (np.concatenate([take.frames[name][i] for take in takes]) for i in (0, 1))
        section.rows.append(_row(name, ours, theirs, apart, goal))
    return section


def by_take(takes: Sequence[Take]) -> Section:
    section = Section(
        "Agreement with Praat, take by take",
        "The same takes. Jitter, shimmer, bandwidths and centroid: difference relative to "
        "Praat's. Spectral measures: of the summed power of Praat's windowed voiced frames. "
        "openSMILE's eGeMAPS means rest on its own F0 and definitions; its two columns are its "
        "median difference from Praat and its correlation with it.",
        (
            *("measure", "takes", "median difference", "95 % within", "r", "tolerance", "reached"),
            *("openSMILE's difference", "openSMILE's r"),
        ),
    )
    for name in takes[0].praats if takes else ():
        known = [take for take in takes if name in take.ours and np.isfinite(take.praats[name])]
        ours, theirs = (np.array([t[name] for t in rows]) for rows in _columns(known))
        apart = _apart(name, ours, theirs)
        each = {take.speaker: apart[i : i + 1] for i, take in enumerate(known)}
        goal = TAKE_GOALS.get(name, Goal())
        row = _row(name, ours, theirs, each, goal, relative=_relative(name))
        section.rows.append([*row, *_smiles(name, known)])
    return section


def _columns(takes: Sequence[Take]) -> tuple[list[Mapping[str, float]], list[Mapping[str, float]]]:
    return [take.ours for take in takes], [take.praats for take in takes]


def _relative(name: str) -> bool:
    return any(word in name for word in RELATIVE) and not name.endswith("_db")


def _apart(name: str, ours: Floats, theirs: Floats) -> Floats:
    return np.abs(ours / theirs - 1 if _relative(name) else ours - theirs)


def _row(
    name: str,
    ours: Floats,
    theirs: Floats,
    by_speaker: Mapping[str, Floats],
    goal: Goal,
    *,
    relative: bool = False,
) -> list[object]:
    apart = np.concatenate([*by_speaker.values(), np.empty(0)])
    median, most = float(np.median(apart)), float(np.quantile(apart, 0.95))
    low, high = _interval([row for row in by_speaker.values() if len(row)])
    r = float(np.corrcoef(ours, theirs)[0, 1])
    unit = "" if not relative else " (relative)"
    stated = f"{median:.3g} ({low:.3g}-{high:.3g})"
    reached = goal.reached(median, most, r)
    return [name + unit, len(apart), stated, most, f"{r:.4f}", str(goal), reached]


def _interval(by_speaker: Sequence[Floats]) -> tuple[float, float]:
    """Where the median of all falls in 95 % of the draws of as many speakers."""
    rng, count = np.random.default_rng(0), len(by_speaker)
    drawn = rng.integers(count, size=(DRAWS, count)) if count else np.empty((0, 0), int)
    middles = [float(np.median(np.concatenate([by_speaker[i] for i in row]))) for row in drawn]
    low, high = np.percentile(middles or [np.nan], [2.5, 97.5])
    return float(low), float(high)


def _smiles(name: str, takes: Sequence[Take]) -> list[object]:
    known = [take for take in takes if name in take.smiles]
    if not known:
        return ["-", "-"]
    smiles = np.array([take.smiles[name] for take in known])
    theirs = np.array([take.praats[name] for take in known])
    r = float(np.corrcoef(smiles, theirs)[0, 1])
    return [float(np.median(_apart(name, smiles, theirs))), f"{r:.2f}"]
