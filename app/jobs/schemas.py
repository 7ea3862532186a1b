"""How jobs look from outside, and what may be asked of a reanalysis."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from app import ids
from app.jobs.queue import Kind
from app.tables import Job, JobState
from models.engine import Options
from models.graph import FAMILIES, closure
from models.results import Family

Via = Literal["auto", "lane", "data"]
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$"


def _recording(text: str) -> str:
    if not ids.valid("rec", text):
        raise ValueError("That is no recording's id.")
    return text


def _ordered(families: list[Family]) -> list[Family]:
    return [family for family in FAMILIES if family in families]


RecordingId = Annotated[str, AfterValidator(_recording)]
Chosen = Annotated[list[Family], AfterValidator(_ordered)]
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))
]


class Selection(BaseModel):
    """Which recordings: these ids, or all that pass the filter. An empty one means every one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: Annotated[list[RecordingId], Field(min_length=1, max_length=10_000)] | None = None
    owner_id: Annotated[str, Field(max_length=64)] | None = None
    created_from: Moment | None = Field(default=None, description="This moment or later.")
    created_to: Moment | None = Field(default=None, description="Before this moment.")
    measured: Chosen = Field(
        default=[], description="Only recordings with a finished analysis of all these families."
    )
    shortest_s: Annotated[float, Field(strict=True, ge=0)] | None = None
    longest_s: Annotated[float, Field(strict=True, ge=0)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.ids is not None and self.model_dump(exclude={"ids"}, exclude_defaults=True):
            raise ValueError("Name ids or a filter, not both.")
        return self


class ReanalysisIn(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "selection": {"created_from": "2026-06-01T00:00:00Z", "measured": ["pitch"]},
                    "families": ["pitch"],
                    "versions": {"pitch": "latest"},
                }
            ]
        },
    )

    selection: Selection
    families: Annotated[Chosen, Field(min_length=1)]
    versions: dict[Family, Annotated[str, Field(pattern=VERSION)]] = Field(
        default={},
        description="By family, also of those that are needed only: a version's number, or "
        "`champion` (the default), `challenger`, `shadow`, `previous`, `latest`.",
    )
    options: Options = Options()
    via: Via = Field(
        default="auto",
        description="`lane`: through the models that serve, when they are idle. `data`: by engines "
        "of its own, on Ray Data. `auto`: the latter for many recordings where there is room, and "
        "for versions that nobody serves.",
    )

    @model_validator(mode="after")
    def _used(self) -> Self:
        if unused := self.versions.keys() - set(closure(self.families)):
            named = ", ".join(sorted(unused))
            raise ValueError(f"A version is named of {named}, which this reanalysis does not use.")
        return self


class Pin(BaseModel):
    """The version of a family that answers throughout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    sha256: str


class Reanalysing(BaseModel):
    """A reanalysis as its job keeps it: what was asked, with every version decided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    selection: Selection
    families: list[Family]
    options: Options
    via: Via
    pins: dict[Family, Pin] = Field(description="Of the families and all that they need.")
    digests: dict[Family, str] = Field(
        description="What each family's result rests on: its version, those of its inputs, options."
    )
    until: datetime = Field(description="Recordings and analyses that came later are left out.")


class Failure(BaseModel):
    code: str = Field(examples=["driver_lost"])
    detail: str


class JobOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["job_01932c9be0d47a4fb5b1c9a0f0f6e1a2"])
    kind: Kind
    owner_id: str
    state: JobState
    queue_position: int | None = Field(
        default=None, description="1 is next of its kind; null once it has left the queue."
    )
    asked: dict[str, Any]
    progress: dict[str, Any] = Field(description="For a reanalysis, counts of its results' table.")
    attempts: int
    failure: Failure | None
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Job, position: int | None = None) -> Self:
        return cls.model_validate(row).model_copy(update={"queue_position": position})


class JobPage(BaseModel):
    items: list[JobOut]
    next_cursor: str | None = Field(
        description="Send it as `cursor` for the page after this; null at the end."
    )
