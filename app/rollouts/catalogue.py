"""The catalogue: every family's versions, with the aliases that its rollout gives them."""

from typing import get_args

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import NotFound
from app.rollouts import service
from app.rollouts.schemas import Alias, FamilyOut, VersionOut, VersionWithCard
from app.tables import ModelVersion, Rollout
from models.graph import FAMILIES

ALIASES: tuple[Alias, ...] = get_args(Alias)


async def families(session: AsyncSession) -> list[FamilyOut]:
    """In the graph's order, each with its versions, newest first."""
    wishes = {row.family: row for row in await service.every(session)}
    rows = sorted(await session.scalars(select(ModelVersion)), key=_age, reverse=True)
    return [
        FamilyOut(
            family=family,
            versions=[
                VersionOut.of(row, aliases_of(row, wishes.get(family)))
                for row in rows
                if row.family == family
            ],
        )
        for family in FAMILIES
    ]


async def version(session: AsyncSession, family: str, name: str) -> VersionWithCard:
    found = await session.get(ModelVersion, (family, name))
    if found is None:
        raise NotFound(f"{family} has no version {name}: GET /v1/models lists those it has.")
    wish = await session.get(Rollout, family)
    return VersionWithCard.of(found, aliases_of(found, wish))


def aliases_of(row: ModelVersion, wish: Rollout | None) -> list[Alias]:
    return [alias for alias in ALIASES if wish and getattr(wish, alias) == row.version]


def _age(row: ModelVersion) -> tuple[int, str]:
    """Numbers count up; what has no number is older than all of them."""
    return (int(row.version) if row.version.isdecimal() else -1, row.version)
