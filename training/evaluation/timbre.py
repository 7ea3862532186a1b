"""Voice quality: agreement with Praat on real voices, planted truth, and speed."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from models import engines
from models.audio import Audio
from models.engine import Engine, Task
from models.results import Family
from training.evaluation import (
    instruments,
    intervals,
    planted_voices,
    timbre_agreement,
    timbre_truth,
)
from training.evaluation.report import Section

PACKAGES = ("praat-parselmouth", "opensmile")
NEEDED: tuple[Family, ...] = ("pitch", "timbre")
TIMED = 12  # takes
GOAL = 5.0  # times faster than Praat and openSMILE

Way = Callable[[Audio], object]


def measure(corpora: Path) -> list[Section]:
    torch.set_num_threads(1)
    ready = engines.load_all(NEEDED, device="cpu")
    timbre, pitch = ready["timbre"], timbre_truth.available(ready["pitch"])
    try:
        instruments.OpenSmile()
        instruments.Praat(np.ones(instruments.RATE))
    except ImportError as error:
        return [_missing(error)]
    clips = timbre_agreement.sample(corpora)
    takes = timbre_agreement.heard(clips, timbre)
    return [
        timbre_agreement.by_frame(takes),
        timbre_agreement.by_take(takes),
        timbre_truth.measure(planted_voices.every(), timbre, pitch),
        _speed([clip.audio() for clip in clips[:TIMED]], timbre, pitch),
    ]


def _missing(error: ImportError) -> Section:
    section = Section("Praat and openSMILE", "There is nothing to compare with.", ("peer", "state"))
    section.rows.append((error.name or "a peer", "missing"))
    return section


def _speed(takes: Sequence[Audio], timbre: Engine, pitch: Engine | None) -> Section:
    section = Section(
        "Speed for the same measures",
        f"{len(takes)} LibriSpeech takes one by one on one thread, each by all in turn, so that "
        "what else the machine does slows all alike; processor time. Praat: F0, pulses, jitter, "
        "shimmer, HNR, formants, CPPS, intensity; openSMILE: eGeMAPS functionals. The ratio is "
        "their time together over ours (95 % interval over takes).",
        ("what", "real-time factor", "Praat + openSMILE over ours", "goal", "reached"),
    )
    peers: dict[str, Way] = {
        "Praat": instruments.praats_report,
        "openSMILE": instruments.OpenSmile(),
    }
    ours = _ours(takes, timbre, pitch)
    spent = _spent({**peers, **ours}, takes)
    seconds = sum(take.seconds for take in takes)
    theirs = np.sum([spent[name] for name in peers], axis=0)
    for name, each in spent.items():
        row: list[object] = [name, float(np.sum(each)) / seconds, "-", "-", "-"]
        if name in ours:
            pairs = {str(i): pair for i, pair in enumerate(zip(theirs, each, strict=True))}
            ratio = intervals.of_ratio(pairs)
            row[2:] = [str(ratio), f"at least {GOAL:g}", "yes" if ratio.value >= GOAL else "no"]
        section.rows.append(row)
    if not pitch:
        section.notes.append("Ours with our own F0: missing, the pitch weights are not there.")
    return section


def _ours(takes: Sequence[Audio], timbre: Engine, pitch: Engine | None) -> dict[str, Way]:
    known = {
        id(take): timbre_truth.as_pitch(instruments.Praat(take.samples.astype(np.float64)).f0_hz())
        for take in takes
    }
    ways: dict[str, Way] = {
        "ours, F0 given": lambda take: timbre.analyze_batch(
            [Task(take, {"pitch": known[id(take)]})]
        )
    }
    if pitch:
        ways["ours with our F0"] = lambda take: timbre.analyze_batch(
            [Task(take, {"pitch": pitch.analyze_batch([Task(take)])[0]})]
        )
    return ways


def _spent(ways: dict[str, Way], takes: Sequence[Audio]) -> dict[str, list[float]]:
    """Seconds of processor by way and take, after one take to warm up."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for take in (takes[0], *takes):
        for name, way in ways.items():
            started = time.process_time()
            way(take)
            spent[name].append(time.process_time() - started)
    return {name: each[1:] for name, each in spent.items()}
