"""What can be done with a rollout: each change is one row, in effect once it is committed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import events, pages
from app.errors import AppError, Conflict, NotFound
from app.rollouts import changes, observed
from app.rollouts.admission import admit
from app.rollouts.changes import TOPIC, WISH, topic_of
from app.rollouts.observations import Seen
from app.rollouts.routing import Route
from app.rollouts.schemas import FIRST_PERCENT, Adjustment, RolloutIn
from app.security import User
from app.tables import Json, Rollout, RolloutEvent

RECONCILER = "reconciler"
REGISTRY = "registry"


async def every(session: AsyncSession) -> list[Rollout]:
    return list(await session.scalars(select(Rollout).order_by(Rollout.family)))


async def get(session: AsyncSession, family: str, *, for_update: bool = False) -> Rollout:
    query = select(Rollout).where(Rollout.family == family)
    if for_update:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = await session.scalar(query)
    if found is None:
        raise NotFound(f"Nothing serves {family} here, so it has no rollout.")
    return found


async def start(
    session: AsyncSession, actor: User, asked: RolloutIn, *, most_bytes: int | None = None
) -> Rollout:
    """Ask for a canary or a shadow; it takes effect once its version is warm."""
    async with _change(session, asked.family, actor.id, "start", asked.reason) as row:
        if current := row.challenger or row.shadow:
            raise Conflict(
                f"Version {current} of {row.family} is on trial already: promote it or roll it "
                "back first.",
                code="rollout_in_progress",
            )
        if asked.version == row.champion:
            raise Conflict(
                f"Version {asked.version} is the champion of {row.family} already.",
                code="already_champion",
            )
        await admit(session, row.family, asked.version, most_bytes)
        row.limits = asked.limits.model_dump(mode="json")
        row.started_at = await changes.now(session)
        _put_on_trial(row, asked.version, asked.percent if asked.mode == "canary" else None)
    return row


async def adjust(session: AsyncSession, actor: User, family: str, asked: Adjustment) -> Rollout:
    """Another share, other limits, or a canary instead of a shadow and the other way round."""
    async with _change(session, family, actor.id, "adjust", asked.reason, asked.generation) as row:
        version, mode = on_trial(row), asked.mode or ("canary" if row.challenger else "shadow")
        if mode == "shadow" and asked.percent is not None:
            raise Conflict(
                "A shadow answers nobody: make it a canary (mode) to give it a share.",
                code="shadow_has_no_percent",
            )
        percent = asked.percent if asked.percent is not None else _share(row)
        _put_on_trial(row, version, percent if mode == "canary" else None)
        if asked.limits is not None:
            row.limits = asked.limits.model_dump(mode="json")
    return row


async def promote(
    session: AsyncSession, actor: User, family: str, reason: str, *, generation: int | None = None
) -> Rollout:
    """The version on trial becomes the champion, the champion stays warm as `previous`."""
    async with _change(session, family, actor.id, "promote", reason, generation) as row:
        version = on_trial(row)
        if version not in row.route["hosts"]:
            raise Conflict(
                f"Version {version} of {family} is not warm yet: wait until `route.hosts` of the "
                "rollout names it.",
                code="not_warm",
            )
        row.champion, row.previous = version, row.champion
        _end_trial(row)
    return row


async def roll_back(
    session: AsyncSession,
    actor_id: str,
    family: str,
    reason: str,
    *,
    generation: int | None = None,
) -> Rollout:
    """Drop what is on trial; where nothing is, champion and previous change places.

    Who decides on what he saw before says of which generation that was: twice by mistake would
    be two steps back.
    """
    async with _change(session, family, actor_id, "rollback", reason, generation) as row:
        if row.challenger or row.shadow:
            _end_trial(row)
        elif row.previous is None:
            raise Conflict(
                f"{family} has nothing on trial and no previous version to go back to.",
                code="nothing_to_roll_back",
            )
        else:
            row.champion, row.previous = row.previous, row.champion
    return row


async def retire(
    session: AsyncSession, actor: User, family: str, reason: str, *, generation: int | None = None
) -> Rollout:
    """The previous version need not be kept warm any more: the instant way back is closed."""
    async with _change(session, family, actor.id, "retire", reason, generation) as row:
        if row.previous is None:
            raise Conflict(f"{family} keeps no previous version warm.", code="nothing_to_retire")
        row.previous = None
    return row


async def give_up(session: AsyncSession, family: str, version: str, reason: str) -> Rollout:
    """The version does not start, so it is wanted no more. Safe to repeat.

    A champion gives way to who answers now, else to `previous`; the only version there is stays.
    """
    row = await get(session, family, for_update=True)
    now = row.route["champion"]
    stand_in = now if now != version else row.previous
    if version not in _wanted(row) or (version == row.champion and stand_in is None):
        return row
    async with _change(session, family, RECONCILER, "give_up", reason) as row:
        if version in (row.challenger, row.shadow):
            _end_trial(row)
        if version == row.champion and stand_in is not None:
            row.champion = stand_in
        if row.previous in (version, row.champion):
            row.previous = None
    return row


async def adopt(
    session: AsyncSession,
    family: str,
    champion: str | None,
    challenger: str | None,
    percent: float,
    shadow: str | None,
    previous: str | None,
    *,
    most_bytes: int | None = None,
) -> Rollout:
    """Take the registry's aliases, which somebody changed there, for the wish.

    What must not be is refused in the history, and the wish counts as changed: so it will be
    pushed over the aliases. Versions must have been mirrored before.
    """
    row = await get(session, family, for_update=True)
    share = percent if challenger else 0.0
    named: Json = dict(zip(WISH, (champion, challenger, share, shadow, previous), strict=True))
    try:
        await _admit_wish(session, row, named, most_bytes)
    except AppError as error:
        async with _change(session, family, REGISTRY, "refuse", error.detail) as row:
            return row
    async with _change(session, family, REGISTRY, "adopt", "changed in the registry") as row:
        if (challenger, shadow) != (row.challenger, row.shadow):
            on_trial = challenger or shadow
            row.started_at = await changes.now(session) if on_trial else None
        for column, value in named.items():
            setattr(row, column, value)
    row.pushed = row.generation
    return row


async def _admit_wish(
    session: AsyncSession, row: Rollout, named: Json, most_bytes: int | None
) -> None:
    """Raises AppError with what is wrong with it."""
    champion, trials = named["champion"], [named["challenger"], named["shadow"]]
    if champion is None:
        raise Conflict("The registry names no champion.")
    if champion in trials or (trials[0] is not None and trials[0] == trials[1]):
        raise Conflict("The registry gives one version two parts.")
    if not 0 <= named["percent"] <= 100:
        raise Conflict(f"The registry's percent is {named['percent']:g}.")
    named_there = filter(None, (champion, *trials, named["previous"]))
    for version in sorted(set(named_there) - _wanted(row)):
        await admit(session, row.family, version, most_bytes)


async def reroute(session: AsyncSession, row: Rollout, route: Route) -> None:
    """Who answers now: no change of the wish. The row must have been got for update."""
    row.route = route.model_dump(mode="json")
    row.updated_at = await changes.now(session)
    events.append(session, topic_of(row.family), "route", {"route": row.route})
    events.mention(session, TOPIC)
    await session.flush()


async def history(
    session: AsyncSession, family: str, limit: int, cursor: str | None
) -> tuple[list[RolloutEvent], str | None]:
    """Newest first, and the cursor of the next page."""
    query = select(RolloutEvent).where(RolloutEvent.family == family)
    return await pages.counted(session, RolloutEvent, query, limit, cursor)


async def window(session: AsyncSession, family: str, version: str, seconds: float) -> Seen:
    """What was observed of the version in the latest seconds."""
    start = func.clock_timestamp() - timedelta(seconds=seconds)
    return await observed.since(session, family, version, start)


@asynccontextmanager
async def _change(
    session: AsyncSession,
    family: str,
    actor_id: str,
    action: str,
    reason: str,
    generation: int | None = None,
) -> AsyncIterator[Rollout]:
    """The family's row to change, of that generation if one is given. Raises Conflict."""
    row = await get(session, family, for_update=True)
    if generation not in (None, row.generation):
        raise Conflict(
            f"The rollout of {family} has changed since you looked: look again, then decide.",
            code="rollout_changed",
        )
    async with changes.recorded(session, row, actor_id, action, reason):
        yield row


def _wanted(row: Rollout) -> set[str]:
    named = (row.champion, row.challenger, row.shadow, row.previous)
    return {version for version in named if version is not None}


def on_trial(row: Rollout) -> str:
    """The challenger or shadow. Raises Conflict where there is none."""
    version = row.challenger or row.shadow
    if version is None:
        raise Conflict(
            f"Nothing is on trial for {row.family}: POST /v1/rollouts starts a rollout.",
            code="no_rollout",
        )
    return version


def _put_on_trial(row: Rollout, version: str, percent: float | None) -> None:
    """With a share as the challenger, without one as the shadow."""
    row.challenger, row.shadow = (None, version) if percent is None else (version, None)
    row.percent = percent or 0.0


def _share(row: Rollout) -> float:
    return row.percent if row.challenger else FIRST_PERCENT


def _end_trial(row: Rollout) -> None:
    row.challenger, row.shadow, row.percent, row.started_at = None, None, 0.0, None
