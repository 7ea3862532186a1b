"""Fresh weights heard by the engine that is to serve them: its results on their own material."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch

from models import engines, graph, profiles, registry
from models.engine import Engine, Unavailable
from models.results import Family, FamilyResult
from models.weights import WeightsUnavailable
from training.data import Clip

FRESH = "0"  # what it calls itself before it has a number
MOST = 60  # clips: enough for the bins of a profile
AT_ONCE = 8


def profile(family: Family, weights: Path, clips: Sequence[Clip]) -> dict[str, Any]:
    """How its results are spread (models.profiles.Profile); empty without clips.

    Raises WeightsUnavailable where the engine cannot serve them.
    """
    needed = [other for other in graph.closure([family]) if other not in (family, "transcript")]
    ready = engines.load_all(needed, device="cpu") | {family: _engine(family, weights)}
    every = max(1, len(clips) // MOST)
    found = list[FamilyResult]()
    for at in range(0, min(len(clips), MOST * every), AT_ONCE * every):
        takes = [clip.audio() for clip in clips[at : at + AT_ONCE * every : every]]
        with torch.inference_mode():
            answers = graph.analyze(takes, ready, [family])
        found += [cast(FamilyResult, getattr(answer, family)) for answer in answers]
    return profiles.profile(found).model_dump() if found else {}


def _engine(family: Family, weights: Path) -> Engine:
    """As any host would load it: by its digest, from where fetched versions are kept."""
    engine = engines.checked(engines.load(family, FRESH, "cpu", registry.keep(weights)))
    if isinstance(engine, Unavailable):
        raise WeightsUnavailable(engine.why)
    return engine
