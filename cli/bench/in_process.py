"""(a) The whole graph in this process on one thread, beside Praat and openSMILE."""

import time
from collections.abc import Callable

import torch

from cli.bench import takes
from models import engines, graph
from models.audio import Audio
from models.engine import Engine
from models.results import Family
from training.evaluation.report import Section

TAKES = 24
FAMILIES: tuple[Family, ...] = tuple(f for f in graph.FAMILIES if f != "transcript")


def measure() -> Section:
    torch.set_num_threads(1)
    chosen = takes.some(TAKES)
    ready = engines.load_all(FAMILIES, device="cpu")
    graph.analyze(chosen.audios[:1], ready, FAMILIES)  # warm
    section = Section(
        "(a) Whole graph in process, one thread, no transcript",
        f"{chosen.origin}, {chosen.seconds:.0f} s of audio. Real-time factor: seconds of computing "
        "per second of audio; the ratio is the peers' time over ours, so above 1 we are quicker.",
        ("what", "real-time factor", "x real time"),
    )
    together = _seconds(lambda: graph.analyze(chosen.audios, ready, FAMILIES))
    alone = _seconds(lambda: [graph.analyze([take], ready, FAMILIES) for take in chosen.audios])
    _row(section, "ours, one batch", together, chosen.seconds)
    _row(section, "ours, one by one", alone, chosen.seconds)
    _by_family(section, chosen.audios, ready, chosen.seconds)
    _peers(section, chosen, alone)
    return section


def _by_family(
    section: Section, audios: list[Audio], ready: dict[Family, Engine], seconds: float
) -> None:
    analyses = graph.analyze(audios, ready, FAMILIES)
    for family in FAMILIES:
        spent = sum(analysis.timing[family] for analysis in analyses)
        _row(section, f"- of which {family}", spent, seconds)


def _peers(section: Section, chosen: takes.Takes, ours: float) -> None:
    try:
        from training.evaluation import instruments

        smile = instruments.OpenSmile()
        smile(chosen.audios[0])
        by_praat = _seconds(lambda: [instruments.praats_report(take) for take in chosen.audios])
    except ImportError as error:
        section.notes.append(f"No peer was measured: {error.name} is not installed.")
        return
    by_smile = _seconds(lambda: [smile(take) for take in chosen.audios])
    _row(section, "Praat: F0, formants, HNR, CPPS, jitter, shimmer", by_praat, chosen.seconds)
    _row(section, "openSMILE: eGeMAPS functionals", by_smile, chosen.seconds)
    section.notes.append(
        f"Praat and openSMILE over ours: **{(by_praat + by_smile) / ours:.2f}**. They give "
        "voice quality and spectrum; ours adds activity, notes, expression, clarity, prosody, "
        "fluency, scores and feedback."
    )


def _row(section: Section, what: str, seconds: float, audio: float) -> None:
    section.rows.append((what, seconds / audio, audio / seconds))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
