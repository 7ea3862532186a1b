"""Every family on every file, under changes that should not matter, and where nothing can be heard.

`python -m training.evaluation.robustness CORPORA` goes through all files instead of a sample.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from models import engines, graph
from models.audio import Audio
from models.engine import Engine
from models.results import Analysis, Family, FamilyResult, Reason
from training import changes, data, hard_takes
from training.evaluation.report import Section

PACKAGES = ("pyworld", "soxr")
CORPORA = (
    "librispeech_subset", "picovoice_intent", "ravdess", "emodb", "fsdd", "small_asr",
)  # fmt: skip
FAMILIES: tuple[Family, ...] = tuple(f for f in graph.FAMILIES if f != "transcript")
SAMPLE = 30  # files of a corpus
AT_ONCE = 16  # takes
CHANGED = {"librispeech_subset": 6, "picovoice_intent": 5, "ravdess": 5, "emodb": 4}  # clips

Engines = Mapping[Family, Engine]


def measure(corpora: Path) -> list[Section]:
    ready = engines.load_all(FAMILIES, device="cpu")
    return [
        every_file(corpora, ready, SAMPLE),
        under_changes(_some(corpora), ready),
        where_nothing_is_heard(_some(corpora), ready),
    ]


@dataclass(slots=True)
class Tally:
    """What became of a corpus."""

    files: int = 0
    seconds: float = 0.0
    spent_s: float = 0.0
    failed: list[str] = field(default_factory=list)
    families: Counter[str] = field(default_factory=Counter)  # 'family: reason' of whole families
    measures: Counter[str] = field(default_factory=Counter)  # 'family: reason' of single measures


def every_file(corpora: Path, ready: Engines, most: int | None = None) -> Section:
    """All clips of all corpora, or at most `most` of each, evenly spread."""
    section = Section(
        "Every family on every file",
        "Families but the transcript, takes in batches of "
        f"{AT_ONCE}. {f'A sample of {most} files a corpus' if most else 'All files'}: absences of "
        "whole families and of single measures, counted by reason. `failed` is an exception: "
        "there must be none.",
        ("", "files", "minutes", "failed", "families absent", "measures absent"),
    )
    for name in CORPORA:
        tally = Tally()
        for clips in _batches(_spread(data.corpus(corpora, name), most)):
            _count(tally, clips, ready)
        section.rows.append((
            name, tally.files, tally.seconds / 60, len(tally.failed),
            _counts(tally.families), _counts(tally.measures),
        ))  # fmt: skip
        section.notes += [f"{name}: {failure}" for failure in tally.failed]
    return section


def _spread(clips: Sequence[data.Clip], most: int | None) -> Sequence[data.Clip]:
    return clips if most is None else clips[:: max(1, len(clips) // most)][:most]


def _batches(clips: Sequence[data.Clip]) -> Iterator[Sequence[data.Clip]]:
    """Of like lengths, so that little is padded."""
    ordered = sorted(clips, key=lambda clip: clip.seconds)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


def _count(tally: Tally, clips: Sequence[data.Clip], ready: Engines) -> None:
    takes, started = [clip.audio() for clip in clips], time.perf_counter()
    analyses = graph.analyze(takes, ready, FAMILIES)
    tally.spent_s += time.perf_counter() - started
    tally.files += len(takes)
    tally.seconds += sum(take.seconds for take in takes)
    for clip, analysis in zip(clips, analyses, strict=True):
        for family in FAMILIES:
            result: FamilyResult = getattr(analysis, family)
            if result.absent:
                tally.families[f"{family} {result.absent.reason}"] += 1
                if result.absent.reason is Reason.failed:
                    tally.failed.append(f"{clip.path.name}: {result.absent.detail}")
            for reason in {absence.reason for absence in result.absences.values()}:
                if reason is not Reason.not_requested:
                    tally.measures[f"{family} {reason}"] += 1


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in counter.most_common()) or "none"


def _some(corpora: Path) -> list[Audio]:
    return [
        clip.audio()
        for name, count in CHANGED.items()
        for clip in _spread(data.corpus(corpora, name), count)
    ]


def under_changes(takes: Sequence[Audio], ready: Engines) -> Section:
    """METHODS' table of invariances on real clips."""
    section = Section(
        "Changes that should not matter",
        f"{len(takes)} real clips, each analysed before and after. The deviation of a measure is "
        "from what the change should make of it, in the unit of what is allowed; a take is off "
        "where that is further, and lost where the measure is there on one side only. F0 is the "
        "median over the frames that are voiced in both. WORLD's shift is held against WORLD "
        "without one; for rates under speed METHODS gives no tolerance: 2 % is ours.",
        ("change", "measure", "allowed", "median", "worst", "off", "lost", "of"),
    )
    before = graph.analyze(takes, ready, FAMILIES)
    for change in changes.CHANGES:
        old = before
        if change.compared is not changes.itself:
            old = graph.analyze([change.compared(take) for take in takes], ready, FAMILIES)
        new = graph.analyze([change.applied(take) for take in takes], ready, FAMILIES)
        for name, allowed in change.allowed.items():
            found = changes.deviations(change, name, zip(old, new, strict=True))
            section.rows.append((change.name, name, str(allowed), *_spreading(found, allowed.most)))
    section.rows.append(_alone(takes, before, ready))
    return section


def _alone(takes: Sequence[Audio], mates: Sequence[Analysis], ready: Engines) -> tuple[object, ...]:
    """Each take by itself against the same take in a batch, over all measures of all families."""
    every = changes.Allowed(0.001, "%")
    found = list[float | changes.Lost]()
    for take, mate in zip(takes, mates, strict=True):
        [alone] = graph.analyze([take], ready, FAMILIES)
        names = {f"{f}.{name}" for f in FAMILIES for a in (alone, mate) for name in _measured(a, f)}
        change = changes.Change("", changes.itself, dict.fromkeys(names, every))
        for name in names:
            found += changes.deviations(change, name, [(alone, mate)])
    return ("batch-mates, padding", "all measures", str(every), *_spreading(found, every.most))


def _measured(analysis: Analysis, family: Family) -> list[str]:
    result: FamilyResult = getattr(analysis, family)
    return list(result.measures)


def _spreading(found: Sequence[float | changes.Lost], most: float) -> tuple[object, ...]:
    """Median, worst, how many are off, how many are lost, of how many."""
    known = [abs(one) for one in found if isinstance(one, float)]
    lost = sum(isinstance(one, changes.Lost) for one in found)
    if not known:
        return ("", "", 0, lost, lost)
    off = sum(one > most for one in known)
    return (float(np.median(known)), max(known), off, lost, len(known) + lost)


def where_nothing_is_heard(takes: Sequence[Audio], ready: Engines) -> Section:
    section = Section(
        "Where little can be heard",
        "What each family answers where there is no voice, too little of it, or too much beside "
        "it: its reason if it is absent, otherwise how many of its measures it gives, and the "
        "reasons of those that it does not.",
        ("take", *FAMILIES),
    )
    made = hard_takes.make(takes[0], takes[1])
    for name, analysis in zip(
        made, graph.analyze(list(made.values()), ready, FAMILIES), strict=True
    ):
        section.rows.append((name, *(_answered(getattr(analysis, f)) for f in FAMILIES)))
    return section


def _answered(result: FamilyResult) -> str:
    if result.absent:
        return f"**{result.absent.reason}**"
    reasons = {str(absence.reason) for absence in result.absences.values()} - {"not_requested"}
    return f"{len(result.measures)}" + (f" ({', '.join(sorted(reasons))})" if reasons else "")


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(
        every_file(Path(sys.argv[1]), engines.load_all(FAMILIES, device="cpu")).markdown()
    )
