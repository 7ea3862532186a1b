"""Changes of a rollout's wish: the route follows, and history, audit log and watchers are told."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, events
from app.rollouts.routing import Route
from app.tables import Json, Rollout, RolloutEvent

TOPIC = "rollouts"  # rings at every change of any family
LONGEST_REASON = 2000  # characters
WISH = ("champion", "challenger", "percent", "shadow", "previous")


def topic_of(family: str) -> str:
    """Of the family's own events: its row's lock keeps them in order."""
    return f"{TOPIC}:{family}"


def route_of(row: Rollout, hosts: Mapping[str, str]) -> Route:
    """The wish, as far as its versions are warm; until the champion is, who answers now stays."""
    champion = row.champion if row.champion in hosts else row.route["champion"]
    return Route.wished(champion, hosts, row.challenger, row.percent, row.shadow)


@asynccontextmanager
async def recorded(
    session: AsyncSession, row: Rollout, actor_id: str, action: str, reason: str
) -> AsyncIterator[None]:
    """Around a change of the wish of a row that was got for update: one write, told everywhere."""
    before, reason = _shown(row), _plain(reason)
    yield
    row.route = route_of(row, row.route["hosts"]).model_dump(mode="json")
    row.generation += 1
    row.updated_at = await now(session)
    after = _shown(row)
    told: Json = {"reason": reason, "generation": row.generation, "after": after}
    session.add(
        RolloutEvent(
            family=row.family,
            actor_id=actor_id,
            action=action,
            reason=reason,
            before=before,
            after=after,
        )
    )
    audit.record(session, actor_id, f"rollout.{action}", topic_of(row.family), told)
    events.append(session, topic_of(row.family), action, {"actor_id": actor_id, **told})
    events.mention(session, TOPIC)
    await session.flush()


async def now(session: AsyncSession) -> datetime:
    """By the database's clock, which all replicas share."""
    found: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return found


def _plain(text: str) -> str:
    """Without what a database or a terminal stumbles over: reasons quote what models raised."""
    kept = "".join(c if c == "\n" or c.isprintable() else " " for c in text)
    return kept if len(kept) <= LONGEST_REASON else f"{kept[:LONGEST_REASON]} ..."


def _shown(row: Rollout) -> Json:
    return {name: getattr(row, name) for name in (*WISH, "limits", "route")}
