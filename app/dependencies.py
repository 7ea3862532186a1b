"""What a route may ask for, by type. One alias each, so routes read like prose.

All are coroutines: FastAPI sends any other function to a thread, which costs more than it does.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app import admission
from app.permissions import Permission, require
from app.security import User
from app.services import Services


async def services(connection: HTTPConnection) -> Services:
    found: Services = connection.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def session(services: ServicesDep) -> AsyncIterator[AsyncSession]:
    """One transaction per request."""
    async with services.transaction() as session:
        yield session


# scope="function" commits before the response is sent; FastAPI's default commits after it.
SessionDep = Annotated[AsyncSession, Depends(session, scope="function")]


async def current_user(connection: HTTPConnection) -> User:
    return await admission.admit(connection, str(connection.scope["route"].name))


@dataclass(frozen=True, slots=True)
class Allowed:
    """A dependency that states what its route asks for: app.permissions is the table."""

    permission: Permission

    async def __call__(self, user: Annotated[User, Depends(current_user)]) -> User:
        require(user, self.permission)
        return user


P = Permission
SignedIn = Annotated[User, Depends(Allowed(P.account))]  # in person: no API key opens these
MayReadProfile = Annotated[User, Depends(Allowed(P.profile_read))]
MayWriteProfile = Annotated[User, Depends(Allowed(P.profile_write))]
MayAnalyze = Annotated[User, Depends(Allowed(P.analyze))]
MayReadRecordings = Annotated[User, Depends(Allowed(P.recordings_read))]
MayWriteRecordings = Annotated[User, Depends(Allowed(P.recordings_write))]
MayCoach = Annotated[User, Depends(Allowed(P.coaching))]
MayReadModels = Annotated[User, Depends(Allowed(P.models_read))]
MayOperateModels = Annotated[User, Depends(Allowed(P.models_operate))]
MayReadAudit = Annotated[User, Depends(Allowed(P.audit_read))]
MayManageUsers = Annotated[User, Depends(Allowed(P.users_manage))]
