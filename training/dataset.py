"""What a retraining learns from and is judged by: clips of many sources, split, on record."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.shipped import file_digest
from training import data, licences
from training.data import Clip

RECORDINGS = "recordings"  # the corpus of users' takes; its speakers are their owners
HELD_OUT = 0.15  # of the speakers
TRAIN, APART = "train", "held_out"


@dataclass(frozen=True, slots=True)
class Entry:
    """One clip on record."""

    clip: str
    sha256: str
    source: str  # the corpus
    speaker: str
    sex: str
    split: str
    licence: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a version learnt from or was judged by, and what was left out and why."""

    clips: Sequence[Entry]
    synthesis: bool
    left_out: dict[str, int] = field(default_factory=dict)  # clips by reason
    base: str | None = None  # version whose weights were the start

    @property
    def digest(self) -> str:
        """The same for the same material, wherever it lay."""
        text = json.dumps(self.as_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def licence(self, *others: str) -> str:
        """The strictest of the material's and the others'."""
        return licences.strictest({*(one.licence for one in self.clips), *others})


@dataclass(frozen=True, slots=True)
class Dataset:
    split: data.Split
    manifest: Manifest


def gathered(
    corpora: Path,
    names: Iterable[str],
    recordings: Path | None = None,
    *,
    synthesis: bool = True,
    left_out: dict[str, int] | None = None,
    base: str | None = None,
) -> Dataset:
    """The named folders under `corpora` and the folder of consented recordings, as one dataset.

    Raises FileNotFoundError for a folder without labels.csv, or a clip that is not there.
    """
    clips = data.corpora(corpora, names)
    if recordings:
        clips += data.corpus(recordings.parent, recordings.name)
    digests = {clip.path: file_digest(clip.path) for clip in clips}
    split, dropped = _split(clips, digests)
    entries = [
        _entry(clip, digests[clip.path], name)
        for name, part in ((TRAIN, split.train), (APART, split.held_out))
        for clip in part
    ]
    counted = Counter(left_out or {}) + dropped
    manifest = Manifest(sorted(entries, key=lambda e: e.sha256), synthesis, dict(counted), base)
    return Dataset(split, manifest)


def _split(clips: Sequence[Clip], digests: dict[Path, str]) -> tuple[data.Split, Counter[str]]:
    """No speaker on both sides: not by name, not unnamed, and not under two names.

    A clip whose speaker is unknown could be of somebody who is held out from its corpus, and one
    sound under two names shows that the two are one.
    """
    apart = _apart(clips)
    held_out = [clip for clip in clips if _key(clip) in apart]
    heard = {digests[clip.path] for clip in held_out}
    doubles = {_key(c) for c in clips if digests[c.path] in heard and c.speaker} - apart
    corpora = {corpus for corpus, _ in apart}
    train, dropped = list[Clip](), Counter[str]()
    for clip in clips:
        if _key(clip) in apart:
            continue
        if not clip.speaker and clip.corpus in corpora:
            dropped["unknown speaker of a corpus with held-out speakers"] += 1
        elif _key(clip) in doubles or digests[clip.path] in heard:
            dropped["also heard from a held-out speaker"] += 1
        else:
            train.append(clip)
    return data.Split(train, held_out), dropped


def _apart(clips: Sequence[Clip]) -> set[tuple[str, str]]:
    """Corpora as `data.by_speaker` splits them, and as the shipped weights were judged by.

    Owners of recordings by their names' digest: whoever is held out once always is, however many
    come and go, so that no later champion has learnt from them.
    """
    named = data.by_speaker([c for c in clips if c.corpus != RECORDINGS], HELD_OUT).held_out
    owners = {clip.speaker for clip in clips if clip.corpus == RECORDINGS}
    return {_key(clip) for clip in named} | {
        (RECORDINGS, owner) for owner in owners if _share(owner) < HELD_OUT
    }


def _share(owner: str) -> float:
    """Even in 0..1, and the same for ever."""
    return hashlib.sha256(owner.encode()).digest()[0] / 256


def _key(clip: Clip) -> tuple[str, str]:
    return clip.corpus, clip.speaker


def _entry(clip: Clip, digest: str, split: str) -> Entry:
    return Entry(
        clip=clip.path.stem,
        sha256=digest,
        source=clip.corpus,
        speaker=clip.speaker,
        sex=clip.gender,
        split=split,
        licence=licences.known(clip.licence),
        seconds=clip.seconds,
    )
