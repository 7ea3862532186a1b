"""Following the database: what the rollouts say is what a conductor's version table holds."""

import asyncio
import logging
from collections.abc import Mapping
from typing import cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database
from app.errors import DatabaseDown
from app.rollouts.routing import Route
from app.tables import Rollout
from deployments.versions import VersionTable
from models.results import Family

POLL_S = 0.3  # a change is in effect everywhere within a second

log = logging.getLogger(__name__)


async def routes(sessions: async_sessionmaker[AsyncSession]) -> Mapping[Family, Route]:
    """The routes in effect. Raises DatabaseDown."""
    async with database.outages(), sessions() as session:
        rows = await session.execute(select(Rollout.family, Rollout.route))
        return {cast(Family, family): Route.model_validate(route) for family, route in rows}


async def follow(table: VersionTable, sessions: async_sessionmaker[AsyncSession]) -> None:
    """Until cancelled. While the database is away, the table stays as it is."""
    while True:
        try:
            table.update(await routes(sessions))
        except DatabaseDown:
            pass
        except Exception:  # it must go on: nobody else would follow
            log.exception("The routes cannot be read.")
        await asyncio.sleep(POLL_S)
