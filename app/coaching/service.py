"""Coaching: who may look at whose takes, by an invitation that the singer accepts and may end."""

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, clock, ids, mail, pages
from app.coaching import sight
from app.errors import Conflict, NotFound, Unprocessable
from app.security import User
from app.settings import Settings
from app.tables import Account, Coaching
from app.users import accounts
from app.users.me import profile

GOOD_FOR = timedelta(days=30)  # an invitation that nobody answers
MOST_OPEN = 100  # invitations of one coach that wait for an answer
SUBJECT = "An invitation from a coach"
LETTER = """{coach} asks to be your coach.

If you accept, they can listen to your takes and read their analyses, and change nothing, until one
of you ends it. To answer, sign in with this e-mail address at:
{url}

If you do not know them, do nothing: the invitation runs out by itself after {days} days.
"""


def _open() -> ColumnElement[bool]:
    """Waits for its answer."""
    unanswered = Coaching.accepted_at.is_(None) & Coaching.ended_at.is_(None)
    return unanswered & (Coaching.created_at > clock.now() - GOOD_FOR)


def visible_to(user: User) -> Select[Coaching]:
    """Every query of coachings starts here: those of the coach and of the one who is invited."""
    invited = select(Account.email_key).where(Account.id == user.id).scalar_subquery()
    asked = Coaching.singer_id.is_(None) & (Coaching.email_key == invited)
    return select(Coaching).where(
        or_(Coaching.coach_id == user.id, Coaching.singer_id == user.id, asked)
    )


async def invite(session: AsyncSession, settings: Settings, user: User, email: str) -> Coaching:
    """By e-mail. It is not told whether anybody here has that address."""
    coach = await profile.own(session, user, for_update=True)  # one at a time: none goes twice
    key = accounts.email_key(email)
    if key == coach.email_key:
        raise Unprocessable("You cannot coach yourself.", code="yourself")
    await _refuse_twice(session, coach, key)
    row = Coaching(id=ids.new("inv"), coach_id=coach.id, email_key=key)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    body = LETTER.format(coach=_signed(coach), url=settings.base_url, days=GOOD_FOR.days)
    mail.write(session, email, SUBJECT, body)
    _note(session, user, "invite", row)
    return row


async def _refuse_twice(session: AsyncSession, coach: Account, key: str) -> None:
    theirs = select(Coaching.email_key).where(Coaching.coach_id == coach.id)
    waiting = set(await session.scalars(theirs.where(_open())))
    accepted = set(await session.scalars(theirs.where(sight.accepted(), Coaching.email_key == key)))
    if key in waiting | accepted:
        raise Conflict("They are already invited.", code="already_invited")
    if len(waiting) >= MOST_OPEN:
        raise Conflict("Too many invitations wait for an answer.", code="too_many_invitations")


async def accept(session: AsyncSession, user: User, coaching_id: str) -> Coaching:
    """By the one who was invited. Safe to repeat."""
    row = await get(session, user, coaching_id, for_update=True)
    if row.singer_id == user.id and row.ended_at is None:
        return row
    await _refuse_unless_open(session, user, row)
    row.singer_id, row.accepted_at = user.id, await session.scalar(select(clock.now()))
    _note(session, user, "accept", row)
    return row


async def decline(session: AsyncSession, user: User, coaching_id: str) -> Coaching:
    """By the one who was invited, instead of accepting."""
    row = await get(session, user, coaching_id, for_update=True)
    await _refuse_unless_open(session, user, row)
    return await _end(session, user, row, "decline")


async def _refuse_unless_open(session: AsyncSession, user: User, row: Coaching) -> None:
    is_open = await session.scalar(select(Coaching.id).where(Coaching.id == row.id, _open()))
    if row.coach_id == user.id or is_open is None:
        raise Conflict("No answer of yours is waited for.", code="not_open")


async def end(session: AsyncSession, user: User, coaching_id: str) -> Coaching:
    """By either side, at any time; what the coach could see is gone at once. Safe to repeat."""
    row = await get(session, user, coaching_id, for_update=True)
    return row if row.ended_at else await _end(session, user, row, "end")


async def _end(session: AsyncSession, user: User, row: Coaching, how: str) -> Coaching:
    row.ended_at = await session.scalar(select(clock.now()))
    _note(session, user, how, row)
    return row


async def get(
    session: AsyncSession, user: User, coaching_id: str, *, for_update: bool = False
) -> Coaching:
    found = None
    if ids.valid("inv", coaching_id):
        query = visible_to(user).where(Coaching.id == coaching_id)
        found = await session.scalar(query.with_for_update() if for_update else query)
    if found is None:
        raise NotFound("No such coaching.")
    return found


async def page(
    session: AsyncSession, user: User, limit: int, cursor: str | None
) -> tuple[list[Coaching], str | None]:
    """Newest first, the ended ones too: who could see what is no secret to either side."""
    return await pages.named(session, Coaching, "inv", visible_to(user), limit, cursor)


async def names(session: AsyncSession, rows: Iterable[Coaching]) -> dict[str, str]:
    """How the two sides of these are called, by their ids."""
    asked = {row.coach_id for row in rows} | {row.singer_id for row in rows if row.singer_id}
    found = await session.scalars(select(Account).where(Account.id.in_(asked)))
    return {account.id: name_of(account) for account in found}


def name_of(account: Account) -> str:
    """How others call somebody: as they want to be called, or by the address they gave."""
    return str(account.profile.get("display_name") or account.email or account.id)


def _signed(coach: Account) -> str:
    """Anybody can call themselves anything: the address stands beside it."""
    name = name_of(coach)
    return name if name == coach.email else f"{name} ({coach.email or coach.id})"


def _note(session: AsyncSession, user: User, what: str, row: Coaching) -> None:
    audit.record(session, user.id, f"coaching.{what}", f"coachings:{row.id}", {})
