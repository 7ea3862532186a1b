"""What a route may ask for, by type. One alias each, so routes read like prose."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Forbidden
from app.security import Role, User
from app.services import Services


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def session(services: ServicesDep) -> AsyncIterator[AsyncSession]:
    """One transaction per request."""
    async with services.transaction() as session:
        yield session


# scope="function" commits before the response is sent; FastAPI's default commits after it.
SessionDep = Annotated[AsyncSession, Depends(session, scope="function")]


async def current_user(request: Request, services: ServicesDep) -> User:
    return await services.identity(request)


CurrentUser = Annotated[User, Depends(current_user)]


async def researcher(user: CurrentUser) -> User:
    """Who may operate models."""
    if not user.roles & {Role.researcher, Role.admin}:
        raise Forbidden("This needs the role researcher or admin.")
    return user


Researcher = Annotated[User, Depends(researcher)]


async def admin(user: CurrentUser) -> User:
    """Who may see what everybody did."""
    if Role.admin not in user.roles:
        raise Forbidden("This needs the role admin.")
    return user


Admin = Annotated[User, Depends(admin)]
