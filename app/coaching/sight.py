"""Sight: whose takes and analyses somebody may read."""

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from app.permissions import Permission, granted
from app.security import User
from app.tables import Coaching


def shown_to(user: User, owner_id: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Their own, and a coach's singers' for as long as these let them."""
    own = owner_id == user.id
    if Permission.coaching not in granted(user):
        return own
    theirs = select(Coaching.singer_id).where(Coaching.coach_id == user.id, accepted())
    return or_(own, owner_id.in_(theirs))


def accepted() -> ColumnElement[bool]:
    return Coaching.accepted_at.is_not(None) & Coaching.ended_at.is_(None)
