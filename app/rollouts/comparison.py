"""Comparison: the version on trial beside the champion, since the trial began."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.rollouts import changes, observed, service
from app.rollouts.guardrails import Limits, judge
from app.rollouts.schemas import Comparison, Difference, Side
from app.tables import Rollout


async def compare(session: AsyncSession, family: str) -> Comparison:
    """Raises Conflict where nothing is on trial."""
    row = await service.get(session, family)
    version, since = service.on_trial(row), row.started_at or row.updated_at
    champion = await observed.since(session, family, row.champion, since)
    trial = await observed.since(session, family, version, since)
    return Comparison.model_validate(
        {
            "family": family,
            "mode": "canary" if row.challenger else "shadow",
            "since": since,
            "champion": Side.of(row.champion, champion),
            "trial": Side.of(version, trial),
            "compared": trial.compared,
            "unlike": trial.unlike,
            "scores": Difference.all_of(trial.scores),
            "measures": Difference.all_of(trial.measures),
            "objection": await _objection(session, row, version, since),
        }
    )


async def _objection(
    session: AsyncSession, row: Rollout, version: str, since: datetime
) -> str | None:
    """What the guardrails have against the version now."""
    limits = Limits.model_validate(row.limits)
    start = max(since, await changes.now(session) - timedelta(seconds=limits.window_s))
    trial = await observed.since(session, row.family, version, start)
    champion = await observed.since(session, row.family, row.champion, start)
    return judge(limits, trial, champion)
