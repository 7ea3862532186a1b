"""Burying: what a retraining whose driver died has left open is closed, and its copies go."""

import asyncio
import shutil
from pathlib import Path

from sqlalchemy import literal, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database
from app.settings import Settings
from app.tables import Job, JobState, Json
from training import tracking

ENDED = (JobState.failed, JobState.cancelled)
BURIED: Json = {"buried": True}


def workplace(settings: Settings, job_id: str) -> Path:
    """Where a job's material and checkpoints lie; on a cluster `home` is seen by every worker."""
    return settings.home.resolve() / "retraining" / job_id


def bury(job_id: str, settings: Settings) -> list[str]:
    """After a driver that died: its run becomes FAILED, its copies of recordings go.

    Safe to repeat; the ids of the runs that were still open. Raises RegistryUnavailable.
    """
    shutil.rmtree(workplace(settings, job_id), ignore_errors=True)
    return tracking.bury(job_id)


async def bury_all(sessions: async_sessionmaker[AsyncSession], settings: Settings) -> list[str]:
    """Every retraining that ended without a result and was not seen to yet; their ids.

    Raises RegistryUnavailable, and then they are found again.
    """
    unseen = ~Job.progress.has_key("buried")
    query = select(Job.id).where(Job.kind == "retraining", Job.state.in_(ENDED), unseen)
    async with database.outages(), sessions() as session:
        dead = list(await session.scalars(query))
    for job_id in dead:
        await asyncio.to_thread(bury, job_id, settings)
        seen = update(Job).where(Job.id == job_id)
        marked = seen.values(progress=Job.progress.op("||")(literal(BURIED, JSONB)))
        async with database.outages(), sessions.begin() as session:
            await session.execute(marked)
    return dead
