"""HTTP for models and their rollouts. Each route: unpack, one service call, return."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection

from app import stream
from app.dependencies import MayOperateModels, MayReadModels, ServicesDep, SessionDep
from app.pages import Cursor, Limit
from app.problems import documented
from app.rollouts import catalogue, changes, comparison, service
from app.rollouts.schemas import (
    VERSION,
    Action,
    Adjustment,
    ChangeOut,
    ChangePage,
    Comparison,
    FamiliesOut,
    RolloutIn,
    RolloutOut,
    RolloutsOut,
    VersionWithCard,
)
from app.stream import Watch
from app.strict_json import StrictRoute
from models.results import Family

models = APIRouter(prefix="/v1/models", tags=["models"])
router = APIRouter(prefix="/v1/rollouts", tags=["rollouts"], route_class=StrictRoute)
streams = APIRouter(prefix="/v1/rollouts", tags=["rollouts"])

CHANGES = documented(400, 401, 403, 404, 408, 409, 413, 422)
READS = documented(401, 403, 404, 422)


@models.get("", responses=documented(401, 403))
async def list_models(user: MayReadModels, session: SessionDep) -> FamiliesOut:
    """Every family's versions, newest first: gate, licence, metrics, digest and aliases."""
    return FamiliesOut(items=await catalogue.families(session))


@models.get("/{family}/versions/{version}", responses=READS)
async def get_model_version(
    family: Family,
    version: Annotated[str, Path(pattern=VERSION)],
    user: MayReadModels,
    session: SessionDep,
) -> VersionWithCard:
    """One version, with its model card."""
    return await catalogue.version(session, family, version)


@router.get("", responses=documented(401, 403))
async def list_rollouts(user: MayReadModels, session: SessionDep) -> RolloutsOut:
    """Every served family: which versions are wanted, and who answers now."""
    return RolloutsOut(items=[RolloutOut.of(row) for row in await service.every(session)])


@router.post("", status_code=202, responses=CHANGES)
async def start_rollout(
    asked: RolloutIn,
    user: MayOperateModels,
    services: ServicesDep,
    session: SessionDep,
    response: Response,
) -> RolloutOut:
    """Try a version as a canary or a shadow. It takes effect once it is warm: see its events."""
    most_bytes = services.settings.rollout_memory_bytes
    row = await service.start(session, user, asked, most_bytes=most_bytes)
    response.headers["Location"] = f"/v1/rollouts/{row.family}"
    return RolloutOut.of(row)


@router.get("/{family}", responses=READS)
async def get_rollout(family: Family, user: MayReadModels, session: SessionDep) -> RolloutOut:
    """One family: which versions are wanted, and who answers now."""
    return RolloutOut.of(await service.get(session, family))


@router.patch("/{family}", responses=CHANGES)
async def adjust_rollout(
    family: Family, asked: Adjustment, user: MayOperateModels, session: SessionDep
) -> RolloutOut:
    """Another share of the singers, other limits, or a canary instead of a shadow and back."""
    return RolloutOut.of(await service.adjust(session, user, family, asked))


@router.post("/{family}/promote", responses=CHANGES)
async def promote_rollout(
    family: Family, user: MayOperateModels, session: SessionDep, asked: Action | None = None
) -> RolloutOut:
    """Make the version on trial the champion, at once; the champion stays warm as `previous`."""
    told = asked or Action()
    row = await service.promote(session, user, family, told.reason, generation=told.generation)
    return RolloutOut.of(row)


@router.post("/{family}/rollback", responses=CHANGES)
async def roll_back_rollout(
    family: Family, user: MayOperateModels, session: SessionDep, asked: Action | None = None
) -> RolloutOut:
    """Drop what is on trial; where nothing is, champion and previous change places. At once.

    Name the `generation` that you saw: then a request that is sent twice, or after a guardrail
    has rolled back already, is not a second step back.
    """
    told = asked or Action()
    row = await service.roll_back(session, user.id, family, told.reason, generation=told.generation)
    return RolloutOut.of(row)


@router.post("/{family}/retire", responses=CHANGES)
async def retire_previous(
    family: Family, user: MayOperateModels, session: SessionDep, asked: Action | None = None
) -> RolloutOut:
    """Keep the previous version warm no more."""
    told = asked or Action()
    row = await service.retire(session, user, family, told.reason, generation=told.generation)
    return RolloutOut.of(row)


@router.get("/{family}/history", responses=documented(400, 401, 403, 404, 422))
async def get_rollout_history(
    family: Family,
    user: MayReadModels,
    session: SessionDep,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ChangePage:
    """What was done, by whom and why, newest first; `guardrail` and `reconciler` are actors too."""
    items, next_cursor = await service.history(session, family, limit, cursor)
    return ChangePage(items=[ChangeOut.of(item) for item in items], next_cursor=next_cursor)


@router.get("/{family}/compare", responses=documented(401, 403, 404, 409, 422))
async def compare_rollout(family: Family, user: MayReadModels, session: SessionDep) -> Comparison:
    """The version on trial beside the champion since the trial began."""
    return await comparison.compare(session, family)


async def followed(
    family: Family, user: MayReadModels, services: ServicesDep, connection: HTTPConnection
) -> Watch:
    """A rollout that there is, checked before the stream begins."""
    async with services.transaction() as session:
        topic = changes.topic_of((await service.get(session, family)).family)
    return Watch(connection, topic)


@streams.get("/{family}/events", response_class=EventSourceResponse, responses=READS)
async def stream_rollout_events(
    watch: Annotated[Watch, Depends(followed)],
    services: ServicesDep,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """The newest change, then each as it happens: `start`, `adjust`, `promote`, `rollback`,
    `retire`, `give_up`, `adopt`, `refuse`, and `route` when who answers has changed.

    With `Last-Event-ID` the stream goes on after that event; an id that we do not know gives a
    `reset` event first, and everything again.
    """
    async for event in stream.follow(services, watch, last_event_id, whole=False):
        yield event
