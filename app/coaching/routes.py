"""HTTP for coaching: inviting, answering, ending."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.coaching import service as coaching
from app.dependencies import MayCoach, MayReadProfile, ServicesDep, SessionDep, SignedIn
from app.pages import Cursor, Limit
from app.problems import documented
from app.security import User
from app.strict_json import StrictRoute
from app.tables import Coaching
from app.users.schemas import Email

router = APIRouter(prefix="/v1/coachings", tags=["coaching"], route_class=StrictRoute)


class InvitationIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Email = Field(description="Of the singer.")


class CoachingOut(BaseModel):
    """Who lets whom see their takes, or is asked to."""

    id: str
    side: Literal["coach", "singer"] = Field(description="Which of the two you are.")
    state: Literal["invited", "accepted", "ended"]
    coach_id: str
    coach_name: str
    singer_id: str | None = Field(description="Once they accepted.")
    singer_name: str = Field(description="Their address until they accept.")
    created_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None


class CoachingPage(BaseModel):
    items: list[CoachingOut]
    next_cursor: str | None


@router.post("", status_code=201, responses=documented(400, 401, 403, 408, 409, 413, 422))
async def invite_singer(
    asked: InvitationIn,
    user: MayCoach,
    session: SessionDep,
    services: ServicesDep,
    response: Response,
) -> CoachingOut:
    """Ask a singer, by e-mail, to let you read their takes. It runs out after 30 days."""
    row = await coaching.invite(session, services.settings, user, asked.email)
    response.headers["Location"] = f"/v1/coachings/{row.id}"
    return await _shown(session, user, row)


@router.get("", responses=documented(400, 401, 403, 422))
async def list_coachings(
    user: MayReadProfile, session: SessionDep, limit: Limit = 20, cursor: Cursor = None
) -> CoachingPage:
    """Yours on either side, newest first, the ended ones too."""
    rows, next_cursor = await coaching.page(session, user, limit, cursor)
    names = await coaching.names(session, rows)
    items = [_out(user, row, names) for row in rows]
    return CoachingPage(items=items, next_cursor=next_cursor)


@router.get("/{coaching_id}", responses=documented(401, 403, 404, 422))
async def get_coaching(coaching_id: str, user: MayReadProfile, session: SessionDep) -> CoachingOut:
    """One of yours."""
    return await _shown(session, user, await coaching.get(session, user, coaching_id))


@router.post("/{coaching_id}/accept", responses=documented(401, 403, 404, 409, 422))
async def accept_coaching(coaching_id: str, user: SignedIn, session: SessionDep) -> CoachingOut:
    """Let the coach read your takes and analyses, until one of you ends it. Safe to repeat."""
    return await _shown(session, user, await coaching.accept(session, user, coaching_id))


@router.post("/{coaching_id}/decline", responses=documented(401, 403, 404, 409, 422))
async def decline_coaching(coaching_id: str, user: SignedIn, session: SessionDep) -> CoachingOut:
    """Answer an invitation with no."""
    return await _shown(session, user, await coaching.decline(session, user, coaching_id))


@router.post("/{coaching_id}/end", responses=documented(401, 403, 404, 422))
async def end_coaching(coaching_id: str, user: SignedIn, session: SessionDep) -> CoachingOut:
    """End it, as coach or as singer: the coach sees nothing from now on. Safe to repeat."""
    return await _shown(session, user, await coaching.end(session, user, coaching_id))


async def _shown(session: AsyncSession, user: User, row: Coaching) -> CoachingOut:
    return _out(user, row, await coaching.names(session, [row]))


def _out(user: User, row: Coaching, names: Mapping[str, str]) -> CoachingOut:
    return CoachingOut(
        id=row.id,
        side="coach" if row.coach_id == user.id else "singer",
        state="ended" if row.ended_at else "accepted" if row.accepted_at else "invited",
        coach_id=row.coach_id,
        coach_name=names[row.coach_id],
        singer_id=row.singer_id,
        singer_name=names[row.singer_id] if row.singer_id else row.email_key,
        created_at=row.created_at,
        accepted_at=row.accepted_at,
        ended_at=row.ended_at,
    )
