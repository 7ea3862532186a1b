"""Brings versions as weights on the disk, where learning starts from or is compared with them."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from app.jobs.retraining import RetrainingIn
from app.settings import Settings
from app.tables import ModelVersion, Rollout
from deployments.hand import Hand
from models import weights, whisper_checkpoints
from models.results import Family
from models.whisper_checkpoints import SOURCES, Checkpoint
from training import tensors
from training.tensors import WHISPER, Kept

SHIPPED = "1"  # the champion where nothing was ever rolled out


@dataclass(frozen=True, slots=True)
class Known:
    """A version, its weights in a file of ours."""

    version: str
    sha256: str
    licence: str
    memory_bytes: int  # 0 where nobody measured
    path: Path


async def champion(family: Family, hand: Hand, folder: Path) -> Known:
    """What a fresh version must be better than. Raises WeightsUnavailable."""
    async with hand.transaction() as session:
        rollout = await session.get(Rollout, family)
    version = rollout.champion if rollout else SHIPPED
    return await _known(family, version, hand, folder / "champion")


async def base(wanted: RetrainingIn, hand: Hand, folder: Path, best: Known) -> Known | None:
    """Where learning starts; a checkpoint is never learnt from scratch."""
    if wanted.base is None:
        return best if wanted.family == "transcript" else None
    return await _known(wanted.family, wanted.base, hand, folder / "base")


async def _known(family: Family, version: str, hand: Hand, place: Path) -> Known:
    async with hand.transaction() as session:
        row = await session.get(ModelVersion, (family, version))
    sha256 = row.sha256 if row else None
    if family == "transcript":
        found = await asyncio.to_thread(_checkpoint, version, sha256, hand.settings)
        kept, stated = tensors.of_whisper(found.model, found.model.dims), found.version
        path = place.with_suffix(WHISPER)
    else:
        own = await asyncio.to_thread(weights.load, family, version, sha256=sha256)
        kept, stated = Kept(own.tensors, own.metadata), own.version
        path = place.with_suffix(".safetensors")
    await asyncio.to_thread(tensors.write, path, kept, stated.licence)
    memory = row.memory_bytes if row else 0
    return Known(version, stated.sha256, stated.licence, memory, path)


def _checkpoint(version: str, sha256: str | None, settings: Settings) -> Checkpoint:
    """A registered one, one by whisper's own name, or the one that the operator configured."""
    if sha256 and version.isdigit():
        return whisper_checkpoints.load_exact("transcript", version, sha256)
    return whisper_checkpoints.load(
        version if version in SOURCES else settings.transcript_model or ""
    )
