"""Registering: what ships gets a version, and database and registry learn of each other's."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database
from app.rollouts import changes
from app.rollouts.routing import Route
from app.settings import settings
from app.tables import Gate, ModelVersion, Rollout
from models import registry
from models import shipped as release
from models.registry import Aliases, Entry
from models.results import RESULT_TYPES, Family, schema_digest
from models.shipped import Shipped

RELEASE, REGISTRY = "release", "registry"  # who acts when nobody did
CONFIGURED = "configured"  # the whisper checkpoint that the operator named: it has no number
LOCK = 0x766F6361 << 8 | 2  # held by whoever gives numbers to versions

Sessions = async_sessionmaker[AsyncSession]


async def shipped(
    session: AsyncSession, off: AbstractSet[Family], hosts: Mapping[Family, str] | None = None
) -> dict[Family, str]:
    """What the shipped versions are called here; every family that serves has a rollout after it.

    Needs no registry and is safe to repeat. A release that replaces a shipped champion makes its
    own the champion; one that was trained here stays. `hosts`: the application that serves the
    shipped version, where it is not the version's own.
    """
    await session.execute(select(func.pg_advisory_xact_lock(LOCK)))
    labels = dict[Family, str]()
    for family, found in release.everything().items():
        if family not in off:
            labels[family] = await _label(session, found)
            host = (hosts or {}).get(family) or f"{family}--v{labels[family]}"
            await _champion(session, family, labels[family], host)
    if settings().transcript_model and "transcript" not in off:
        await _configured(session, (hosts or {}).get("transcript"))
    return labels


async def push_versions(sessions: Sessions) -> None:
    """Register what the registry does not have yet. Raises RegistryUnavailable."""
    async with database.outages(), sessions() as session:
        waiting = list(await session.scalars(select(ModelVersion).where(~ModelVersion.registered)))
    here = {found.sha256: found for found in release.everything().values()}
    for row in waiting:
        if found := here.get(row.sha256):
            number = await asyncio.to_thread(_register, found)
            async with database.outages(), sessions.begin() as session:
                await _renumber(session, found.family, {row.version: number})
                own = ModelVersion.family == found.family, ModelVersion.version == number
                await session.execute(update(ModelVersion).where(*own).values(registered=True))


async def pull_versions(sessions: Sessions) -> None:
    """Make the table hold what the registry holds. Raises RegistryUnavailable."""
    found = await asyncio.to_thread(registry.versions)
    entries = [entry for entry in found if entry.family in RESULT_TYPES]
    async with database.outages(), sessions.begin() as session:
        for family in {entry.family for entry in entries}:
            await _make_room(session, family, [e for e in entries if e.family == family])
        for entry in await _news(session, entries):
            await session.execute(_upserted(entry))
        await _forgotten(session, entries)


async def push_wish(row: Rollout) -> None:
    """Write the wish into the registry's aliases. Raises RegistryUnavailable."""
    wished = Aliases(
        champion=row.champion,
        challenger=row.challenger,
        percent=row.percent if row.challenger else 0.0,
        shadow=row.shadow,
        previous=row.previous,
    )
    await asyncio.to_thread(registry.write_aliases, row.family, wished)


async def read_aliases() -> Mapping[str, Aliases]:
    """What the registry wishes of every family that it knows. Raises RegistryUnavailable."""
    return await asyncio.to_thread(registry.aliases)


async def _label(session: AsyncSession, found: Shipped) -> str:
    """The number of the version with this digest; the next one if it is new."""
    rows = (
        await session.scalars(select(ModelVersion).where(ModelVersion.family == found.family))
    ).all()
    known = sorted(int(row.version) for row in rows if row.sha256 == found.sha256)
    if known:
        return str(known[0])
    label = str(max((int(row.version) for row in rows), default=0) + 1)
    session.add(
        ModelVersion(
            family=found.family,
            version=label,
            sha256=found.sha256,
            licence=found.licence,
            gate=Gate.shipped,
            schema_digest=schema_digest(found.family),
            memory_bytes=found.memory_bytes,
            metrics=dict(found.metrics),
            profile=dict(found.profile),
            card=found.card,
            registered=False,
        )
    )
    await session.flush()
    return label


async def _champion(session: AsyncSession, family: Family, label: str, host: str) -> None:
    row = await _rollout(session, family)
    if row is None:
        session.add(_first(family, label, host))
        return
    if row.champion == label:
        return
    before = await session.get(ModelVersion, (family, row.champion))
    if before is not None and before.gate != Gate.shipped:
        return
    reason = f"The release ships version {label} instead of {row.champion}."
    async with changes.recorded(session, row, RELEASE, "release", reason):
        row.route = {**row.route, "hosts": {**row.route["hosts"], label: host}}
        row.champion = label
        for column in ("challenger", "shadow", "previous"):
            if getattr(row, column) == label:
                setattr(row, column, None)


async def _configured(session: AsyncSession, host: str | None) -> None:
    """Whisper's checkpoint: the operator's own, so it stays out of the registry."""
    values = {
        "family": "transcript",
        "version": CONFIGURED,
        "sha256": "",  # known to the host alone, which reads it
        "licence": "MIT",
        "gate": Gate.shipped,
        "schema_digest": schema_digest("transcript"),
        "memory_bytes": 0,
        "tags": {"checkpoint": settings().transcript_model},
    }
    kept = insert(ModelVersion).values(values)
    await session.execute(
        kept.on_conflict_do_update(
            index_elements=["family", "version"], set_={"tags": kept.excluded.tags}
        )
    )
    if await _rollout(session, "transcript") is None:
        session.add(_first("transcript", CONFIGURED, host or f"transcript--v{CONFIGURED}"))


def _first(family: Family, label: str, host: str) -> Rollout:
    route = Route(champion=label, hosts={label: host})
    return Rollout(family=family, champion=label, route=route.model_dump(mode="json"))


async def _rollout(session: AsyncSession, family: str) -> Rollout | None:
    query = select(Rollout).where(Rollout.family == family).with_for_update()
    return cast(Rollout | None, await session.scalar(query))


def _register(found: Shipped) -> str:
    with tempfile.TemporaryDirectory() as folder:
        for path in found.files:
            shutil.copy(path, folder)
        return registry.register(
            found.family,
            Path(folder),
            sha256=found.sha256,
            licence=found.licence,
            gate=Gate.shipped,
            gate_reason=None,
            schema_digest=schema_digest(found.family),
            memory_bytes=found.memory_bytes,
            metrics=found.metrics,
            profile=found.profile,
            card=found.card,
            run_id=None,
            code_digest=found.code_digest,
            data_digest=found.data_digest,
        )


async def _make_room(session: AsyncSession, family: str, entries: Sequence[Entry]) -> None:
    """Versions that wait for their number take the registry's, or one that it has not given."""
    query = select(ModelVersion).where(ModelVersion.family == family, ~ModelVersion.registered)
    taken = {entry.version for entry in entries}
    numbers = {entry.facts.sha256: entry.version for entry in entries}
    moved, free = dict[str, str](), max(map(int, taken))
    for row in await session.scalars(query.order_by(ModelVersion.version)):
        if row.sha256 in numbers:
            moved[row.version] = numbers[row.sha256]
        elif row.version in taken:
            free += 1
            moved[row.version] = str(free)
    await _renumber(session, family, moved)


async def _renumber(session: AsyncSession, family: str, numbers: Mapping[str, str]) -> None:
    """Versions and the rollouts that name them, under other numbers; answers go on meanwhile."""
    moved = {old: new for old, new in numbers.items() if old != new}
    if not moved:
        return
    of_these = ModelVersion.family == family, ModelVersion.version.in_(moved)
    kept = [dict(row) for row in (await session.execute(_columns().where(*of_these))).mappings()]
    await session.execute(delete(ModelVersion).where(*of_these))
    for values in kept:
        values["version"] = moved[values["version"]]
        await session.execute(insert(ModelVersion).values(values).on_conflict_do_nothing())
    row = await _rollout(session, family)
    if row is None or not moved.keys() & {row.champion, row.challenger, row.shadow, row.previous}:
        return
    told = ", ".join(f"{old} is {new}" for old, new in moved.items())
    async with changes.recorded(session, row, REGISTRY, "renumber", f"In the registry {told}."):
        hosts = {moved.get(version, version): host for version, host in row.route["hosts"].items()}
        champion = row.route["champion"]
        row.route = {**row.route, "hosts": hosts, "champion": moved.get(champion, champion)}
        for column in ("champion", "challenger", "shadow", "previous"):
            version = getattr(row, column)
            setattr(row, column, moved.get(version, version))


async def _news(session: AsyncSession, entries: Sequence[Entry]) -> list[Entry]:
    """Those that the table has not, or not so: facts never change, tags do."""
    of = ModelVersion
    rows = await session.execute(select(of.family, of.version, of.sha256, of.tags, of.registered))
    known = {(family, version): rest for family, version, *rest in rows}
    return [
        e for e in entries if known.get((e.family, e.version)) != [e.facts.sha256, e.tags, True]
    ]


def _columns() -> Select[Any]:
    return select(ModelVersion.__table__)


def _upserted(entry: Entry) -> Insert:
    facts = entry.facts
    values = {
        "family": entry.family,
        "version": entry.version,
        "sha256": facts.sha256,
        "licence": facts.licence,
        "gate": facts.gate,
        "gate_reason": facts.gate_reason,
        "schema_digest": facts.schema_digest,
        "memory_bytes": facts.memory_bytes,
        "metrics": facts.metrics,
        "profile": facts.profile,
        "tags": entry.tags,
        "card": facts.card,
        "registered": True,
    }
    kept = insert(ModelVersion).values({**values, "created_at": entry.created_at})
    return kept.on_conflict_do_update(index_elements=["family", "version"], set_=values)


async def _forgotten(session: AsyncSession, entries: Sequence[Entry]) -> None:
    """What a registry that was made anew has lost, and we still have, is to be pushed again."""
    there = {(entry.family, entry.facts.sha256) for entry in entries}
    here = {(found.family, found.sha256) for found in release.everything().values()}
    for family, sha256 in here - there:
        lost = update(ModelVersion).where(
            ModelVersion.family == family, ModelVersion.sha256 == sha256
        )
        await session.execute(lost.values(registered=False))
