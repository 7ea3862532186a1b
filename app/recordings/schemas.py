"""How recordings look from outside."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

_EXAMPLE: JsonDict = {
    "id": "rec_01932c9be0d47a4fb5b1c9a0f0f6e1a2",
    "owner_id": "usr_01932c9be0d47a4fb5b1c9a0f0f6e1a2",
    "name": "arpeggio.wav",
    "duration_s": 12.48,
    "size_bytes": 1198124,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "container": "wav",
    "codec": "pcm_s16le",
    "sample_rate_hz": 48000,
    "channels": 1,
    "sound_deleted_at": None,
    "created_at": "2026-11-23T09:30:00Z",
}


class RecordingOut(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    owner_id: str
    name: str
    duration_s: float
    size_bytes: int
    sha256: str = Field(description="Of the bytes as they came.")
    container: str | None
    codec: str | None
    sample_rate_hz: int | None
    channels: int
    sound_deleted_at: datetime | None = Field(
        description="Since when only what was measured on it is kept."
    )
    created_at: datetime


class RecordingPage(BaseModel):
    items: list[RecordingOut]
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the page after this; null at the end."
    )
