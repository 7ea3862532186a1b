"""Health: whether the process lives, whether it can take work, and its numbers."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

import httpx2
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from app.analyzer import Unavailable
from app.dependencies import ServicesDep
from app.errors import AppError, DatabaseDown
from app.rollouts import drift
from app.services import Services
from app.tables import AnalysisRow, State
from models.results import Family

PATIENCE_S = 2.0
VITAL = ("database", "object_store")  # without these nothing can be accepted

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    status: Literal["ready", "degraded", "unavailable"]
    dependencies: dict[str, str] = Field(
        examples=[{"database": "ok", "redis": "ok", "object_store": "ok", "analyzer": "ok"}]
    )
    missing: dict[Family, str] = Field(description="Families that cannot answer, and why.")


@router.get("/healthz")
async def get_health() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness}})
async def get_readiness(services: ServicesDep, response: Response) -> Readiness:
    """503 only when no work can be accepted; `degraded` when some must wait or is missing."""
    missing: dict[Family, str] = {}
    checks = {
        "database": _database(services),
        "redis": _redis(services),
        "object_store": services.storage.exists("readyz"),
        "analyzer": _analyzer(services, missing),
        **_registry(services.settings.mlflow_tracking_uri),
    }
    states = await asyncio.gather(*(_state(check) for check in checks.values()))
    found = dict(zip(checks, states, strict=True))
    if any(found[name] != "ok" for name in VITAL):
        response.status_code, response.headers["Retry-After"] = 503, "2"
        return Readiness(status="unavailable", dependencies=found, missing=missing)
    whole = not missing and all(state == "ok" for state in states)
    status: Literal["ready", "degraded"] = "ready" if whole else "degraded"
    return Readiness(status=status, dependencies=found, missing=missing)


@router.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(services: ServicesDep) -> Response:
    """This process's numbers and the queue's, in Prometheus's format."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _count_analyses(services)
            async with services.transaction() as session:
                await drift.show(session, services.metrics)
    except (DatabaseDown, TimeoutError):
        for gauge in services.metrics.of_the_database:  # better no number than an old one
            gauge.clear()
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _count_analyses(services: Services) -> None:
    counts = select(AnalysisRow.state, func.count()).group_by(AnalysisRow.state)
    age = func.extract("epoch", func.now() - func.min(AnalysisRow.created_at))
    oldest = select(age).where(AnalysisRow.state == State.queued)
    async with services.transaction() as session:
        by_state = {state: number for state, number in await session.execute(counts)}
        waited = await session.scalar(oldest)
    for state in State:
        services.metrics.analyses.labels(state).set(by_state.get(state, 0))
    services.metrics.oldest_queued.set(float(waited or 0))


async def _state(check: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await check
    except TimeoutError:
        return "no answer in time"
    except AppError as error:
        return error.detail
    except Unavailable:
        return "No model can be reached."
    except Exception as error:  # the check's whole point is to say that something is wrong
        return type(error).__name__
    return "ok"


async def _database(services: Services) -> None:
    async with services.transaction() as session:
        await session.execute(select(1))


async def _redis(services: Services) -> None:
    await services.redis.ping()


def _registry(uri: str | None) -> dict[str, Awaitable[object]]:
    """Without it everything goes on, but what is learnt and rolled out is recorded later."""
    return {"registry": _answers(f"{uri}/health")} if uri and uri.startswith("http") else {}


async def _answers(url: str) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        (await client.get(url)).raise_for_status()


async def _analyzer(services: Services, missing: dict[Family, str]) -> None:
    missing.update(await services.analyzer.missing())
