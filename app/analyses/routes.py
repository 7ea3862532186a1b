"""HTTP for analyses. Each route: unpack, one service call, return."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response, UploadFile
from fastapi import File as FileField
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection

from app import stream
from app.analyses import queue, service
from app.analyses.forms import asked
from app.analyses.schemas import AnalysisIn, AnalysisOut
from app.dependencies import (
    MayAnalyze,
    MayReadRecordings,
    MayWriteRecordings,
    ServicesDep,
    SessionDep,
)
from app.errors import TooLarge
from app.problems import documented
from app.stream import Watch
from app.strict_json import StrictRoute
from app.tables import FINAL
from models.results import Analysis

router = APIRouter(prefix="/v1", tags=["analyses"], route_class=StrictRoute)
one_shot = APIRouter(prefix="/v1", tags=["analyses"])
streams = APIRouter(prefix="/v1", tags=["analyses"])


@one_shot.post(
    "/analyze", response_model=Analysis, responses=documented(400, 401, 408, 413, 415, 422, 504)
)
async def analyze(
    file: Annotated[UploadFile, FileField(description="WAV, FLAC, MP3, M4A, OGG, WebM or AIFF.")],
    asked: Annotated[AnalysisIn, Depends(asked)],
    user: MayAnalyze,
    services: ServicesDep,
) -> Response:
    """Audio in, everything we can say about it out. Nothing is stored."""
    if (file.size or 0) > (limit := services.settings.max_one_shot_bytes):
        raise TooLarge(f"A take for one shot may have {limit} bytes: upload a longer one.")
    analysis = await service.analyze_once(services, user, file.file, asked)
    # Already checked by its type: a second check and encoding of a megabyte would buy nothing.
    return Response(analysis.model_dump_json(), media_type="application/json")


@router.post(
    "/recordings/{recording_id}/analyses",
    status_code=202,
    response_model=AnalysisOut,
    responses=documented(400, 401, 404, 408, 413, 422),
)
async def create_analysis(
    recording_id: str,
    user: MayWriteRecordings,
    session: SessionDep,
    response: Response,
    asked: AnalysisIn | None = None,
) -> AnalysisOut:
    """Queue an analysis of a recording. Watch it at `Location`, or at its events."""
    row = await service.enqueue(session, user, recording_id, asked or AnalysisIn())
    response.headers["Location"] = f"/v1/analyses/{row.id}"
    return AnalysisOut.of(row, await queue.position(session, row))


@router.get(
    "/analyses/{analysis_id}", response_model=AnalysisOut, responses=documented(401, 404, 422)
)
async def get_analysis(analysis_id: str, user: MayReadRecordings, session: SessionDep) -> Response:
    """How an analysis stands, and its result once it is done."""
    row = await service.get(session, user, analysis_id)
    shown = AnalysisOut.of(row, await queue.position(session, row))
    body = shown.with_result(await service.result_of(session, row))
    return Response(body, media_type="application/json")


@router.post(
    "/analyses/{analysis_id}/cancel",
    response_model=AnalysisOut,
    responses=documented(401, 404, 409, 422),
)
async def cancel_analysis(
    analysis_id: str, user: MayWriteRecordings, session: SessionDep
) -> AnalysisOut:
    """Stop an analysis that waits or runs. Safe to repeat."""
    return AnalysisOut.of(await service.cancel(session, user, analysis_id))


async def visible(
    analysis_id: str, user: MayReadRecordings, services: ServicesDep, connection: HTTPConnection
) -> Watch:
    """An analysis that the user may watch, checked before the stream begins."""
    look = partial(service.get, analysis_id=analysis_id)
    async with services.transaction() as session:
        return Watch(connection, (await look(session, user)).id, look)


@streams.get(
    "/analyses/{analysis_id}/events",
    response_class=EventSourceResponse,
    responses=documented(401, 404, 422),
)
async def stream_analysis_events(
    watch: Annotated[Watch, Depends(visible)],
    services: ServicesDep,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """`queued`, `running`, `progress`, then `done`, `failed` or `cancelled`, which ends the stream.

    With `Last-Event-ID` the stream goes on after that event; an id that we do not know gives a
    `reset` event first, and everything again.
    """
    async for event in stream.follow(services, watch, last_event_id, until=FINAL):
        yield event
