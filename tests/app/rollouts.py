"""Rows as registering.py makes them: a family with versions, and who answers for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI
from sqlalchemy import select

from app.rollouts import service
from app.rollouts.guardrails import Limits
from app.rollouts.observations import Seen
from app.rollouts.routing import Route
from app.security import Role, User
from app.services import Services
from app.tables import AuditEntry, Gate, ModelVersion, Observation, Rollout
from models.results import Family, schema_digest
from tests.app.conftest import client_of

REA = User("usr_rea", frozenset({Role.researcher}))


@asynccontextmanager
async def operator(door: FastAPI, roles: str = "researcher") -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(door, REA.id) as client:
        client.headers["X-Roles"] = roles
        yield client


def version(family: Family, number: str, **columns: Any) -> ModelVersion:  # noqa: ANN401
    given = {
        "sha256": number * 64,
        "licence": "Apache-2.0",
        "gate": Gate.passed,
        "schema_digest": schema_digest(family),
        "memory_bytes": 10_000_000,
        "metrics": {"accuracy": 0.9},
        "card": f"# {family} {number}",
    }
    return ModelVersion(family=family, version=number, **{**given, **columns})


async def serve(
    platform: Services,
    family: Family = "pitch",
    warm: str = "12",
    **columns: Any,  # noqa: ANN401
) -> None:
    """The family with versions 1, 2 and 3, of which these are warm and 1 answers."""
    hosts = {number: f"{family}--v{number}" for number in warm}
    route = Route(champion="1", hosts=hosts)
    given = {"champion": "1", "limits": Limits().model_dump(), "route": route.model_dump()}
    async with platform.transaction() as session:
        session.add_all(version(family, number) for number in "123")
        session.add(Rollout(family=family, **{**given, **columns}))


async def wish(platform: Services, family: Family = "pitch") -> Rollout:
    async with platform.transaction() as session:
        return await service.get(session, family)


async def route(platform: Services, family: Family = "pitch") -> Route:
    return Route.model_validate((await wish(platform, family)).route)


async def observe(platform: Services, number: str, seen: Seen, family: Family = "pitch") -> None:
    async with platform.transaction() as session:
        row = Observation(family=family, version=number, seen=seen.model_dump(mode="json"))
        session.add(row)


async def audited(platform: Services) -> list[str]:
    async with platform.transaction() as session:
        return list(await session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
