"""Corpora on disk: labels.csv to clips, split by speaker and never by file."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from models.audio import ANALYSIS_RATE, Audio


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled recording of a corpus."""

    path: Path
    corpus: str
    speaker: str  # empty where the corpus does not say
    gender: str
    label: str
    transcript: str
    seconds: float
    licence: str
    shippable: bool  # weights trained on it may ship under their own licence
    extra: dict[str, str] = field(default_factory=dict)
    language: str = ""  # ISO 639-1; empty where the corpus does not say

    def audio(self) -> Audio:
        """The recording, mono at 16 kHz."""
        samples, rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        return Audio(np.ascontiguousarray(samples.mean(axis=1)), rate).at(ANALYSIS_RATE)


@dataclass(frozen=True, slots=True)
class Split:
    train: list[Clip]
    held_out: list[Clip]  # no speaker of these is in train


def corpus(root: Path, name: str) -> list[Clip]:
    """The clips of `root/name/labels.csv`, in its order; raises FileNotFoundError if missing."""
    folder = root / name
    with (folder / "labels.csv").open(newline="") as opened:
        return [_clip(folder, row) for row in csv.DictReader(opened)]


def corpora(root: Path, names: Iterable[str]) -> list[Clip]:
    return [clip for name in names for clip in corpus(root, name)]


def by_speaker(clips: Sequence[Clip], held_out: float = 0.15) -> Split:
    """Hold out the last share of each corpus's speakers, in the order of their names.

    Clips whose speaker is unknown could share one with any other, so they are only trained on.
    """
    kept_apart = {
        key
        for name in {clip.corpus for clip in clips}
        for key in _last(_speakers(clips, name), held_out)
    }
    apart = [clip for clip in clips if _key(clip) in kept_apart]
    return Split([clip for clip in clips if _key(clip) not in kept_apart], apart)


def folds(clips: Sequence[Clip], count: int) -> list[Split]:
    """`count` splits of the clips; each speaker is held out exactly once."""
    speakers = sorted({_key(clip) for clip in clips})
    parts = [set(speakers[start::count]) for start in range(count)]
    return [
        Split(
            [clip for clip in clips if _key(clip) not in part],
            [clip for clip in clips if _key(clip) in part],
        )
        for part in parts
    ]


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    return Clip(
        path=folder / row["file"],
        corpus=folder.name,
        speaker=row["speaker"],
        gender=row["gender"],
        label=row["label"],
        transcript=row["transcript"],
        seconds=float(row["duration_s"]),
        licence=row["licence"],
        shippable=row["train_ok"].startswith("yes"),
        extra=json.loads(row["extra"] or "{}"),
        language=row.get("language") or "",
    )


def _key(clip: Clip) -> tuple[str, str]:
    return clip.corpus, clip.speaker


def _speakers(clips: Sequence[Clip], name: str) -> list[tuple[str, str]]:
    return sorted({_key(clip) for clip in clips if clip.corpus == name and clip.speaker})


def _last(speakers: list[tuple[str, str]], share: float) -> list[tuple[str, str]]:
    count = round(share * len(speakers))
    return speakers[len(speakers) - count :]
