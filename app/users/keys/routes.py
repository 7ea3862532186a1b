"""HTTP for API keys: one's own, and those of service accounts."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.dependencies import MayManageUsers, SessionDep, SignedIn
from app.permissions import SCOPES, Permission
from app.problems import documented
from app.security import User
from app.strict_json import StrictRoute
from app.tables import Account, ApiKey
from app.users.keys import service as api_keys
from app.users.me import profile
from app.users.me.profile import Label
from app.users.people import service as people

mine = APIRouter(prefix="/v1/me/api-keys", tags=["keys"], route_class=StrictRoute)
of_services = APIRouter(
    prefix="/v1/service-accounts/{service_account_id}/api-keys",
    tags=["keys"],
    route_class=StrictRoute,
)


def _allowed(scope: Permission) -> Permission:
    if scope not in SCOPES:
        raise ValueError(f"No key can do this; scopes are {', '.join(sorted(SCOPES))}.")
    return scope


Scope = Annotated[Permission, AfterValidator(_allowed)]


class ApiKeyIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Label = Field(examples=["nightly upload"])
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=len(SCOPES),
        description=f"Of {', '.join(sorted(SCOPES))}; none that you lack.",
        examples=[["recordings:write"]],
    )
    expires_in_days: int | None = Field(
        default=None, strict=True, ge=1, le=3650, description="null: when it is revoked."
    )


class ApiKeyOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None = Field(description="To the minute.")


class ApiKeyMade(ApiKeyOut):
    key: str = Field(description="Shown this once: `Authorization: Bearer <key>`.")


class ApiKeyList(BaseModel):
    items: list[ApiKeyOut]


def _made(made: api_keys.Made, response: Response) -> ApiKeyMade:
    response.headers["Cache-Control"] = "no-store"
    return ApiKeyMade(**ApiKeyOut.model_validate(made.row).model_dump(), key=made.text)


def _listed(rows: list[ApiKey]) -> ApiKeyList:
    return ApiKeyList(items=[ApiKeyOut.model_validate(row) for row in rows])


@mine.post("", status_code=201, responses=documented(400, 401, 403, 408, 409, 413, 422))
async def create_api_key(
    asked: ApiKeyIn, user: SignedIn, session: SessionDep, response: Response
) -> ApiKeyMade:
    """A key for a program of yours. It can do what its scopes say, for as long as you may."""
    account = await profile.own(session, user, for_update=True)
    return _made(await _create(session, user, account, asked), response)


@mine.get("", responses=documented(401, 403))
async def list_api_keys(user: SignedIn, session: SessionDep) -> ApiKeyList:
    """Your keys, newest first, without those you have revoked."""
    return _listed(await api_keys.every(session, user.id))


@mine.delete("/{key_id}", status_code=204, responses=documented(401, 403, 404, 422))
async def revoke_api_key(key_id: str, user: SignedIn, session: SessionDep) -> None:
    """End a key, at once. Safe to repeat."""
    await api_keys.revoke(session, user, user.id, key_id)


@of_services.post("", status_code=201, responses=documented(400, 401, 403, 404, 408, 409, 413, 422))
async def create_service_api_key(
    service_account_id: str,
    asked: ApiKeyIn,
    user: MayManageUsers,
    session: SessionDep,
    response: Response,
) -> ApiKeyMade:
    """A key for a service account."""
    account = await people.get_service(session, service_account_id, for_update=True)
    return _made(await _create(session, user, account, asked), response)


@of_services.get("", responses=documented(401, 403, 404, 422))
async def list_service_api_keys(
    service_account_id: str, user: MayManageUsers, session: SessionDep
) -> ApiKeyList:
    """A service account's keys, newest first."""
    account = await people.get_service(session, service_account_id)
    return _listed(await api_keys.every(session, account.id))


@of_services.delete("/{service_key_id}", status_code=204, responses=documented(401, 403, 404, 422))
async def revoke_service_api_key(
    service_account_id: str, service_key_id: str, user: MayManageUsers, session: SessionDep
) -> None:
    """End a service account's key, at once. Safe to repeat."""
    account = await people.get_service(session, service_account_id)
    await api_keys.revoke(session, user, account.id, service_key_id)


async def _create(
    session: AsyncSession, user: User, account: Account, asked: ApiKeyIn
) -> api_keys.Made:
    return await api_keys.create(
        session,
        user,
        account,
        name=asked.name,
        scopes=set(asked.scopes),
        lives_days=asked.expires_in_days,
    )
