"""Family and version to a ready engine."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from importlib import import_module
from pathlib import Path

import torch

from models import graph, warming, weights
from models.engine import OFF, Engine, Task, Unavailable, fault_of
from models.results import Family, FamilyResult

# Where each family's engine class lives; imported only when asked for, so that a host pays
# for no more than it serves.
ENGINES: dict[Family, tuple[str, str]] = {
    "activity": ("models.activity", "ActivityEngine"),
    "pitch": ("models.pitch", "PitchEngine"),
    "timbre": ("models.timbre", "TimbreEngine"),
    "emotion": ("models.emotion", "EmotionEngine"),
    "clarity": ("models.clarity", "ClarityEngine"),
    "prosody": ("models.prosody", "ProsodyEngine"),
    "fluency": ("models.fluency", "FluencyEngine"),
    "transcript": ("models.transcript", "TranscriptEngine"),
}


def load(
    family: Family, version: str = "1", device: str = "cpu", sha256: str | None = None
) -> Engine:
    """The engine of that version, or WeightsUnavailable.

    With a digest: of exactly those weights, which ship under whatever version or come from the
    registry once; the engine calls itself by the version that was asked for.
    """
    module, name = ENGINES[family]
    loader: Callable[[str, str, str | None], Engine] = getattr(import_module(module), name).load
    return loader(version, device, sha256)


def load_or_unavailable(
    family: Family, version: str = "1", device: str = "cpu", sha256: str | None = None
) -> Engine:
    """A platform starts without a model; the family answers `model_unavailable`."""
    try:
        return load(family, version, device, sha256)
    except weights.WeightsUnavailable as error:
        return Unavailable(family, version, str(error))


def checked(engine: Engine) -> Engine:
    """The engine, warm: first calls pay for kernels and plans. Or what says why it is none, where
    it cannot answer."""
    [result] = answer(engine, [warming.task()])
    if (fault := fault_of(result)) is None:
        return engine
    return Unavailable(engine.family, engine.version.version, fault)


def load_all(
    families: Iterable[Family],
    *,
    transcript: str | Path | None = None,
    device: str | None = None,
    off: AbstractSet[Family] = frozenset(),
) -> dict[Family, Engine]:
    """The shipped engines of the families, and whisper's from the checkpoint that is named.

    Those that are turned `off` only say so.
    """
    where = device or best_device()
    versions = {"transcript": str(transcript or NO_CHECKPOINT)}
    return {
        family: Unavailable(family, "", OFF)
        if family in off
        else load_or_unavailable(family, versions.get(family, "1"), where)
        for family in families
    }


NO_CHECKPOINT = ""  # no whisper checkpoint was named


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def limit(threads: int, gpu_memory_fraction: float | None = None) -> None:
    """What this process may use. A GPU share is bookkeeping in Ray; here it is held."""
    torch.set_num_threads(threads)
    if gpu_memory_fraction and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpu_memory_fraction)


def answer(engine: Engine, tasks: Sequence[Task]) -> list[FamilyResult]:
    """graph.answer in whatever thread calls: inference mode is a thread's own."""
    with torch.inference_mode():
        return graph.answer(engine, tasks)
