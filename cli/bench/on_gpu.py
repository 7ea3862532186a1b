"""(e) On a GPU: hours of audio a second at each batch size, beside the card's own copy rate."""

import time

import torch

from cli.bench import takes
from models import engines, graph
from models.audio import Audio
from models.engine import Engine, Task
from models.results import Family, FamilyResult
from training.evaluation.report import Section

SIZES = (1, 4, 16, 64, 256)
FAMILIES: tuple[Family, ...] = tuple(f for f in graph.FAMILIES if f != "transcript")
COPY_BYTES = 1 << 28


def measure() -> Section:
    section = Section(
        "(e) Engines on a GPU",
        "Utterances of 2 to 8 s. Hours of audio a second of wall time, by batch size; last, the "
        "largest batch's samples a second over what the host-to-device copy can bring.",
        ("family", *(f"batch {size}" for size in SIZES), "of copy ceiling"),
    )
    if not torch.cuda.is_available():
        section.notes.append("No GPU was at hand for this run: nothing was measured.")
        return section
    section.notes.append(f"{torch.cuda.get_device_name()}, torch {torch.__version__}.")
    ceiling = _copied_samples_a_second()
    audios = (takes.some(16).audios * (SIZES[-1] // 16))[: SIZES[-1]]
    ready = engines.load_all(FAMILIES, device="cuda")
    known: list[dict[Family, FamilyResult]] = [{} for _ in audios]
    for family in graph.closure(FAMILIES):
        rates = [_rate(ready[family], audios[:size], known) for size in SIZES]
        tasks = _tasks(family, audios, known)
        for mine, result in zip(known, ready[family].analyze_batch(tasks), strict=True):
            mine[family] = result
        best = rates[-1] * 3600 * 16_000 / ceiling
        section.rows.append((family, *rates, best))
    return section


def _tasks(
    family: Family, audios: list[Audio], known: list[dict[Family, FamilyResult]]
) -> list[Task]:
    inputs = graph.inputs_of(family, FAMILIES)
    return [
        Task(audio, {need: mine[need] for need in inputs})
        for audio, mine in zip(audios, known, strict=False)
    ]


def _rate(engine: Engine, audios: list[Audio], known: list[dict[Family, FamilyResult]]) -> float:
    """Hours of audio a second, warm."""
    tasks = _tasks(engine.family, audios, known)
    engine.analyze_batch(tasks)
    torch.cuda.synchronize()
    started = time.perf_counter()
    engine.analyze_batch(tasks)
    torch.cuda.synchronize()
    return sum(a.seconds for a in audios) / 3600 / (time.perf_counter() - started)


def _copied_samples_a_second() -> float:
    host = torch.empty(COPY_BYTES // 4, dtype=torch.float32, pin_memory=True)
    device = host.to("cuda")
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(8):
        device.copy_(host, non_blocking=True)
    torch.cuda.synchronize()
    return 8 * host.numel() / (time.perf_counter() - started)
