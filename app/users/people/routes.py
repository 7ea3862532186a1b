"""HTTP for administrators: who is here, who may do what, and service accounts."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.dependencies import MayManageUsers, SessionDep
from app.pages import Cursor, Limit
from app.problems import documented
from app.security import Role
from app.strict_json import StrictRoute
from app.tables import Account
from app.users.me.profile import Label
from app.users.people import service as people
from app.users.schemas import Email

router = APIRouter(prefix="/v1/users", tags=["people"], route_class=StrictRoute)
services = APIRouter(prefix="/v1/service-accounts", tags=["people"], route_class=StrictRoute)

Roles = Annotated[list[Role], Field(min_length=1, max_length=len(Role), examples=[["singer"]])]


class RolesIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    roles: Roles


class ServiceAccountIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Label = Field(examples=["choir app"])
    roles: Roles


class PersonOut(BaseModel):
    """An account as an administrator sees it."""

    id: str
    name: str | None
    email: str | None
    verified: bool
    roles: list[Role]
    is_service: bool
    owner_id: str | None = Field(description="Who made the service account.")
    disabled_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> "PersonOut":
        return cls(
            id=account.id,
            name=account.profile.get("display_name"),
            email=account.email,
            verified=account.verified_at is not None,
            roles=[Role(role) for role in account.roles],
            is_service=account.is_service,
            owner_id=account.owner_id,
            disabled_at=account.disabled_at,
            created_at=account.created_at,
        )


class PersonPage(BaseModel):
    items: list[PersonOut]
    next_cursor: str | None


@router.get("", responses=documented(400, 401, 403, 422))
async def list_users(
    user: MayManageUsers,
    session: SessionDep,
    limit: Limit = 20,
    cursor: Cursor = None,
    role: Annotated[Role | None, Query(description="Only who has it.")] = None,
    email: Annotated[Email | None, Query(description="Exactly this one.")] = None,
) -> PersonPage:
    """Everybody, newest first, service accounts too."""
    query = people.known(role=role, email=email)
    items, next_cursor = await people.page(session, query, limit, cursor)
    return PersonPage(items=[PersonOut.of(item) for item in items], next_cursor=next_cursor)


@router.get("/{user_id}", responses=documented(401, 403, 404, 422))
async def get_user(user_id: str, user: MayManageUsers, session: SessionDep) -> PersonOut:
    """One account."""
    return PersonOut.of(await people.get(session, user_id))


@router.patch("/{user_id}", responses=documented(400, 401, 403, 404, 408, 409, 413, 422))
async def update_user(
    user_id: str, asked: RolesIn, user: MayManageUsers, session: SessionDep
) -> PersonOut:
    """Give and take roles: these, and no others; none that can do more than you. In effect within
    seconds."""
    account = await people.set_roles(session, user.id, user_id, set(asked.roles), giver=user)
    return PersonOut.of(account)


@router.post("/{user_id}/disable", responses=documented(401, 403, 404, 409, 422))
async def disable_user(user_id: str, user: MayManageUsers, session: SessionDep) -> PersonOut:
    """Close the door for an account: tokens, sessions and keys. Safe to repeat."""
    return PersonOut.of(await people.disable(session, user.id, user_id))


@router.post("/{user_id}/enable", responses=documented(401, 403, 404, 422))
async def enable_user(user_id: str, user: MayManageUsers, session: SessionDep) -> PersonOut:
    """Open it again. Keys are good again; whoever was signed in signs in anew. Safe to repeat."""
    return PersonOut.of(await people.enable(session, user.id, user_id))


@services.post("", status_code=201, responses=documented(400, 401, 403, 408, 413, 422))
async def create_service_account(
    asked: ServiceAccountIn, user: MayManageUsers, session: SessionDep, response: Response
) -> PersonOut:
    """An account for programs: nobody signs in to it. Roles and the door go as with people."""
    account = await people.create_service(session, user, name=asked.name, roles=set(asked.roles))
    response.headers["Location"] = f"/v1/users/{account.id}"
    return PersonOut.of(account)
