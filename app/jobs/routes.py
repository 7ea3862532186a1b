"""HTTP for jobs. Each route: unpack, one service call, return."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection

from app import stream
from app.dependencies import MayOperateModels, MayReadModels, ServicesDep, SessionDep
from app.jobs import page, queue, service
from app.jobs.queue import Kind
from app.jobs.report import Report
from app.jobs.retraining import RetrainingIn
from app.jobs.schemas import JobOut, JobPage, ReanalysisIn
from app.pages import Cursor, Limit
from app.problems import documented
from app.stream import Watch
from app.strict_json import StrictRoute
from app.tables import Job, JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)
streams = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "/retraining",
    status_code=202,
    response_model=JobOut,
    responses=documented(400, 401, 403, 408, 413, 422),
)
async def create_retraining(
    asked: RetrainingIn, user: MayOperateModels, session: SessionDep, response: Response
) -> JobOut:
    """Train a version anew. It is registered when it passes the gate, and never rolled out by
    itself."""
    return await _accepted(await service.retrain(session, user, asked), session, response)


@router.post(
    "/reanalysis",
    status_code=202,
    response_model=JobOut,
    responses=documented(400, 401, 403, 408, 413, 422),
)
async def create_reanalysis(
    asked: ReanalysisIn, user: MayOperateModels, session: SessionDep, response: Response
) -> JobOut:
    """Measure many recordings again, each once for every family and version. Results that
    singers have stay as they are; the report tells the difference."""
    return await _accepted(await service.reanalyze(session, user, asked), session, response)


async def _accepted(row: Job, session: SessionDep, response: Response) -> JobOut:
    response.headers["Location"] = f"/v1/jobs/{row.id}"
    return JobOut.of(row, await queue.position(session, row))


@router.get("", response_model=JobPage, responses=documented(400, 401, 403, 422))
async def list_jobs(
    user: MayReadModels,
    session: SessionDep,
    kind: Kind | None = None,
    state: JobState | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> JobPage:
    """Every job, newest first."""
    items, next_cursor = await service.page(session, limit, cursor, kind=kind, state=state)
    return JobPage(items=[JobOut.of(row) for row in items], next_cursor=next_cursor)


@router.get("/{job_id}", response_model=JobOut, responses=documented(401, 403, 404, 422))
async def get_job(job_id: str, user: MayReadModels, session: SessionDep) -> JobOut:
    """How a job stands."""
    row = await service.get(session, job_id)
    return JobOut.of(row, await queue.position(session, row))


@router.post(
    "/{job_id}/cancel", response_model=JobOut, responses=documented(401, 403, 404, 409, 422)
)
async def cancel_job(job_id: str, user: MayOperateModels, session: SessionDep) -> JobOut:
    """Stop a job for good. Safe to repeat."""
    return JobOut.of(await service.cancel(session, user, job_id))


@router.post(
    "/{job_id}/pause", response_model=JobOut, responses=documented(401, 403, 404, 409, 422)
)
async def pause_job(job_id: str, user: MayOperateModels, session: SessionDep) -> JobOut:
    """Let a reanalysis rest; what it has measured stays. Safe to repeat."""
    return JobOut.of(await service.pause(session, user, job_id))


@router.post(
    "/{job_id}/resume", response_model=JobOut, responses=documented(401, 403, 404, 409, 422)
)
async def resume_job(job_id: str, user: MayOperateModels, session: SessionDep) -> JobOut:
    """Go on with a paused reanalysis: the rest only. Safe to repeat."""
    row = await service.resume(session, user, job_id)
    return JobOut.of(row, await queue.position(session, row))


async def existing(job_id: str, user: MayReadModels, services: ServicesDep) -> str:
    """The id of a job that the user may see, checked before anything is streamed."""
    async with services.transaction() as session:
        return (await service.get(session, job_id)).id


Existing = Annotated[str, Depends(existing)]


async def followed(job_id: Existing, connection: HTTPConnection) -> Watch:
    return Watch(connection, job_id)


@streams.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses=documented(401, 403, 404, 422),
)
async def stream_job_events(
    watch: Annotated[Watch, Depends(followed)],
    services: ServicesDep,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """`queued`, `running`, `progress`, `log`, `paused`, then `done`, `failed` or `cancelled`, which
    ends the stream.

    With `Last-Event-ID` the stream goes on after that event; an id that we do not know gives a
    `reset` event first, and everything again.
    """
    async for event in stream.follow(services, watch, last_event_id, until=service.FINAL):
        yield event


@streams.get(
    "/{job_id}/logs",
    response_class=PlainTextResponse,
    responses=documented(401, 403, 404, 422),
)
async def get_job_logs(job_id: Existing, services: ServicesDep) -> StreamingResponse:
    """What the job has written down so far, as text."""
    lines = service.log_lines(services, job_id)
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8")


@router.get(
    "/{job_id}/report", response_model=Report, responses=documented(401, 403, 404, 409, 422)
)
async def get_job_report(job_id: Existing, services: ServicesDep) -> Response:
    """What a finished reanalysis changed: each measure's distribution old against new, and the
    recordings that moved most."""
    found = await service.report(services, job_id)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get(
    "/{job_id}/report.html",
    response_class=HTMLResponse,
    responses=documented(401, 403, 404, 409, 422),
)
async def get_job_report_page(job_id: Existing, services: ServicesDep) -> HTMLResponse:
    """The same as a page of its own that needs nothing else."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    shown = page.html(await service.report(services, job_id))
    return HTMLResponse(shown, headers={"Content-Security-Policy": policy})
