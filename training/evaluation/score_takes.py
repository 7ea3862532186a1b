"""Takes through the graph, for whatever is asked of their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import engines, graph, scores
from models.audio import Audio
from models.engine import Engine, Options
from models.results import Advice, Family, FamilyResult, Measure, Score
from training import data
from training.data import Clip

ORDINARY = ("librispeech_subset", "picovoice_intent")  # people who do not act
FAMILIES: tuple[Family, ...] = ("activity", "pitch", "timbre", "clarity", "prosody", "fluency")
BATCH = 16  # takes

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Take:
    """What the graph said of one recording."""

    seconds: float
    results: Mapping[Family, FamilyResult]
    scores: Mapping[str, Score]
    feedback: Sequence[Advice]
    speaker: str = ""
    asked: tuple[str, ...] = ()  # label, sentence and intensity, where the corpus says them
    repetition: str = ""

    def value(self, name: str) -> float | None:
        """Of a score, or of 'family.measure'."""
        if name in self.scores:
            return self.scores[name].value
        found = scores.read(self.results, name)
        return found.value if isinstance(found, Measure) else None


def loaded() -> dict[Family, Engine]:
    """The shipped engines of the families that scores rest on."""
    return engines.load_all(FAMILIES, device="cpu")


def heard(sounds: Sequence[Audio], using: Mapping[Family, Engine]) -> list[Take]:
    """One take a sound, in batches."""
    takes: list[Take] = []
    for start in range(0, len(sounds), BATCH):
        part = sounds[start : start + BATCH]
        for analysis in graph.analyze(part, using, FAMILIES, Options()):
            results = {family: getattr(analysis, family) for family in FAMILIES}
            seconds = analysis.audio.duration_s
            takes.append(Take(seconds, results, analysis.scores, analysis.feedback))
    return takes


def of_clips(clips: Sequence[Clip], using: Mapping[Family, Engine]) -> list[Take]:
    """One take a clip; a clip whose speaker is unknown counts as a speaker of its own."""
    takes: list[Take] = []
    for start in range(0, len(clips), BATCH):
        part = clips[start : start + BATCH]
        found = heard([clip.audio() for clip in part], using)
        takes += [
            replace(
                take,
                speaker=clip.speaker or clip.path.stem,
                asked=(clip.label, clip.transcript, clip.extra.get("intensity", "")),
                repetition=clip.extra.get("rep", ""),
            )
            for clip, take in zip(part, found, strict=True)
        ]
    return takes


def corpus(root: Path, name: str, using: Mapping[Family, Engine]) -> list[Take]:
    return of_clips(data.corpus(root, name), using)


def values(takes: Sequence[Take], name: str) -> Floats:
    """(takes that have it,)"""
    found = [take.value(name) for take in takes]
    return np.array([value for value in found if value is not None], np.float64)
