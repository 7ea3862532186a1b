"""How analyses look from outside, and what may be asked of them."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from app.tables import AnalysisRow, State
from models.engine import Options
from models.graph import FAMILIES
from models.results import Analysis, Family


def _unique(families: list[Family]) -> list[Family]:
    return [family for family in FAMILIES if family in families]


class AnalysisIn(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"families": ["pitch", "prosody"], "options": {"a4_hz": 442}}]
        },
    )

    families: Annotated[list[Family], Field(min_length=1), AfterValidator(_unique)] = Field(
        default=list(FAMILIES), description="What to measure. What they need comes with them."
    )
    options: Options = Options()


class Failure(BaseModel):
    code: str = Field(examples=["gave_up"])
    detail: str


class AnalysisOut(BaseModel):
    id: str = Field(examples=["ana_01932c9be0d47a4fb5b1c9a0f0f6e1a2"])
    recording_id: str
    state: State
    queue_position: int | None = Field(description="1 is next; null once it has left the queue.")
    families: list[Family]
    options: Options
    progress: dict[Family, str] = Field(description="What is known of each family so far.")
    failure: Failure | None
    result: Analysis | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: AnalysisRow, position: int | None = None) -> Self:
        """Without its result, which `with_result` adds."""
        columns = {name: getattr(row, name) for name in cls.model_fields if name not in _APART}
        return cls.model_validate({"queue_position": position, "result": None, **columns})

    def with_result(self, result: str | None) -> str:
        """All of it as JSON text, around a result that is JSON text already."""
        compact = to_json(from_json(result)).decode() if result else "null"
        return f'{self.model_dump_json(exclude={"result"})[:-1]},"result":{compact}}}'


_APART = ("queue_position", "result")
