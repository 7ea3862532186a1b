"""Admission: which versions may be rolled out, and what to do about the others."""

from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Unprocessable
from app.tables import Gate, ModelVersion
from models.results import Family, schema_digest

ALGORITHMS = frozenset({"timbre", "prosody", "fluency"})  # no weights: code that ships with us
GiB = 1024**3


async def admit(
    session: AsyncSession, family: str, version: str, most_bytes: int | None
) -> ModelVersion:
    """The version, if it may answer for the family. Raises Unprocessable.

    `most_bytes`: of device memory (settings.rollout_memory_bytes).
    """
    if family in ALGORITHMS:
        raise Unprocessable(
            f"{family} is an algorithm without weights: it changes with the release of the "
            "platform, so install that instead.",
            code="algorithm_family",
        )
    found = await session.get(ModelVersion, (family, version))
    if found is None:
        raise Unprocessable(
            f"{family} has no version {version}: GET /v1/models lists those it has.",
            code="unknown_version",
        )
    _check(found, most_bytes)
    return found


def _check(found: ModelVersion, most_bytes: int | None) -> None:
    named = f"Version {found.version} of {found.family}"
    if found.gate == Gate.failed:
        why = found.gate_reason or "it was not better than the champion"
        raise Unprocessable(
            f"{named} did not pass its gate ({why}): retrain it.", code="gate_failed"
        )
    if found.schema_digest != schema_digest(cast(Family, found.family)):
        raise Unprocessable(
            f"{named} writes results of another shape than this release reads: retrain it with "
            "this release, or install the release that it was made with.",
            code="schema_differs",
        )
    if most_bytes is not None and found.memory_bytes > most_bytes:
        raise Unprocessable(
            f"{named} needs {found.memory_bytes / GiB:.2f} GiB of device memory and "
            f"{most_bytes / GiB:.2f} GiB are free for it: raise VOCALITY_ROLLOUT_MEMORY_BYTES if "
            "the device has more, or give the family a larger one.",
            code="memory_exceeded",
        )
