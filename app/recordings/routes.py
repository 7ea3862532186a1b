"""HTTP for recordings. Each route: unpack, one service call, return."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, UploadFile
from fastapi import File as FileField

from app.dependencies import MayReadRecordings, MayWriteRecordings, ServicesDep, SessionDep
from app.errors import TooLarge
from app.pages import Cursor, Limit
from app.problems import documented
from app.recordings import service
from app.recordings.schemas import RecordingOut, RecordingPage
from app.strict_json import StrictRoute
from app.tables import Recording

router = APIRouter(prefix="/v1/recordings", tags=["recordings"], route_class=StrictRoute)
uploads = APIRouter(prefix="/v1/recordings", tags=["recordings"])

Singer = Annotated[
    str | None, Query(pattern=r"^usr_[0-9a-z]{1,40}$", description="Theirs; null: your own.")
]


@uploads.post(
    "",
    status_code=201,
    response_model=RecordingOut,
    responses=documented(400, 401, 408, 413, 415, 422),
)
async def create_recording(
    file: Annotated[UploadFile, FileField(description="WAV, FLAC, MP3, M4A, OGG, WebM or AIFF.")],
    user: MayWriteRecordings,
    services: ServicesDep,
    response: Response,
) -> Recording:
    """Upload one take, known by its content and not by its name. It is kept as it came."""
    if (file.size or 0) > services.settings.max_upload_bytes:
        raise TooLarge(f"A take may have {services.settings.max_upload_bytes} bytes.")
    recording = await service.create(services, user, file.filename, file.file)
    response.headers["Location"] = f"/v1/recordings/{recording.id}"
    return recording


@router.get("", response_model=RecordingPage, responses=documented(400, 401, 422))
async def list_recordings(
    user: MayReadRecordings,
    session: SessionDep,
    limit: Limit = 20,
    cursor: Cursor = None,
    singer_id: Singer = None,
) -> RecordingPage:
    """Your takes, or those of a singer whom you coach, newest first."""
    items, next_cursor = await service.page(session, user, singer_id or user.id, limit, cursor)
    return RecordingPage(
        items=[RecordingOut.model_validate(item) for item in items], next_cursor=next_cursor
    )


@router.get("/{recording_id}", response_model=RecordingOut, responses=documented(401, 404, 422))
async def get_recording(
    recording_id: str, user: MayReadRecordings, session: SessionDep
) -> Recording:
    """One of your takes, or of a singer whom you coach."""
    return await service.get(session, user, recording_id)
