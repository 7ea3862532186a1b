"""Syllables that somebody marked, and who finds them: our engine, de Jong & Wempe's script."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.audio import Audio
from models.results import Span
from training import data

LAST_S = 1.98  # EMO-DB's clips are cut at 2.0 s
NEAR_S = 0.02  # a nucleus this far outside its unit still counts
FEWEST = 3
SOUNDING = set("aeiouyäöümnlr")  # a unit without any of these is no syllable: 't', 'g', pauses

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Marked:
    """A recording up to its last whole unit, and the units."""

    speaker: str
    audio: Audio
    units_s: list[Span]

    @property
    def rate(self) -> float:
        return len(self.units_s) / (self.units_s[-1][1] - self.units_s[0][0])

    def inside(self, nuclei_s: Sequence[float]) -> list[float]:
        """The nuclei among the units, for what lies before and after was not marked."""
        first, last = self.units_s[0][0] - NEAR_S, self.units_s[-1][1] + NEAR_S
        return [at for at in nuclei_s if first <= at < last]


def emodb(corpora: Path, every: int = 1) -> Iterator[Marked]:
    """The clips with at least three units that end before the cut."""
    for clip in data.corpus(corpora, "emodb")[::every]:
        file = clip.path.parents[1] / "labels" / "silb" / f"{clip.path.stem}.silb"
        units = _units(file) if file.exists() else []
        if len(units) < FEWEST:
            continue
        audio = clip.audio()
        end = int((units[-1][1] + NEAR_S) * audio.sample_rate)
        yield Marked(clip.speaker, Audio(audio.samples[:end], audio.sample_rate), units)


def _units(file: Path) -> list[Span]:
    lines = [line.split() for line in file.read_text("latin1").splitlines()]
    rows = [(float(line[0]), line[1]) for line in lines if len(line) == 2]
    return [
        (start, end)
        for (start, label), (end, _) in pairwise(rows)
        if SOUNDING & set(label.casefold()) and end <= LAST_S
    ]


def hits(nuclei_s: Sequence[float], units_s: Sequence[Span]) -> int:
    """How many units have a nucleus of their own."""
    free, found = sorted(nuclei_s), 0
    for start, end in units_s:
        own = next((at for at in free if start - NEAR_S <= at < end + NEAR_S), None)
        if own is not None:
            free.remove(own)
            found += 1
    return found


def de_jong_wempe(audio: Audio, silence_db: float, dip_db: float) -> list[float]:
    """Nuclei by the Praat script (de Jong & Wempe 2009), done anew on Praat's own functions:
    peaks of intensity over the threshold, followed by a dip, voiced."""
    import parselmouth

    sound = parselmouth.Sound(audio.samples.astype(np.float64), audio.sample_rate)
    intensity = sound.to_intensity(50.0, subtract_mean=True)
    level, times = intensity.values[0], intensity.xs()
    threshold = max(np.quantile(level, 0.99) + silence_db, level.min())
    inner = level[1:-1]
    tops = 1 + np.flatnonzero((inner > level[:-2]) & (inner >= level[2:]) & (inner > threshold))
    ends = [*tops[1:].tolist(), len(level) - 1]
    kept = [
        a for a, b in zip(tops, ends, strict=True) if level[a] - level[a : b + 1].min() > dip_db
    ]
    pitch = sound.to_pitch_ac(0.02, 30.0, 4, False, 0.03, 0.25, 0.01, 0.35, 0.25, 450.0)
    return [float(times[i]) for i in kept if np.isfinite(pitch.get_value_at_time(times[i]))]
