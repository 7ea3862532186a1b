"""What the registry keeps of a version, as tags that are written together with it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PERCENT = "rollout.percent"  # tag of the challenger's version
SIGNATURE = "signature"  # tag: what goes in and comes out, as MLflow writes it

Json = dict[str, Any]


class Facts(BaseModel):
    """What a version is and what was known of it when it was registered; never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sha256: str  # of the weights; of the source where there are none
    licence: str
    gate: Literal["shipped", "passed", "failed"]
    gate_reason: str | None = None
    schema_digest: str  # of the results it writes (models.results.schema_digest)
    memory_bytes: int  # of the device that it runs on
    metrics: dict[str, float] = {}
    profile: Json = {}  # of its results on its own material (models.profiles.Profile)
    code_digest: str = ""  # of the code that made it
    data_digest: str = ""  # of the manifest of its material
    card: str = ""

    def tags(self) -> dict[str, str]:
        kept = self.model_dump(exclude_none=True)
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in kept.items()}

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> Self:
        """Raises ValueError where somebody else's program registered the version."""
        own = {name: tags[name] for name in cls.model_fields if name in tags}
        parsed = {name: json.loads(own[name]) for name in PARSED if name in own}
        return cls.model_validate(own | parsed)


PARSED = ("memory_bytes", "metrics", "profile")  # the fields that are not text


class Entry(BaseModel):
    """A version as the registry holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    version: str
    facts: Facts
    tags: dict[str, str] = {}  # those that were added since
    signature: Json = {}
    run_id: str | None = None
    created_at: datetime


class Aliases(BaseModel):
    """A family's versions by what they are for: the durable wish."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    champion: str | None = None
    challenger: str | None = None
    percent: float = 0.0  # the challenger's share
    shadow: str | None = None
    previous: str | None = None

    def as_tuple(self) -> tuple[str | None, str | None, float, str | None, str | None]:
        return self.champion, self.challenger, self.percent, self.shadow, self.previous


def entry_of(found: "ModelVersion") -> Entry | None:
    """None for what another program registered."""
    try:
        facts = Facts.read(found.tags)
    except ValueError:
        return None
    ours = {*Facts.model_fields, PERCENT, SIGNATURE}
    return Entry(
        family=found.name,
        version=str(found.version),
        facts=facts,
        tags={name: value for name, value in found.tags.items() if name not in ours},
        signature=json.loads(found.tags.get(SIGNATURE, "{}")),
        run_id=found.run_id or None,
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
    )
