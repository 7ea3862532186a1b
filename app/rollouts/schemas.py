"""How models and their rollouts look from outside, and what may be asked of them."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.rollouts.guardrails import Limits
from app.rollouts.observations import Seen, Spread
from app.rollouts.routing import Route
from app.tables import Gate, Json, ModelVersion, Rollout, RolloutEvent
from models.results import Family

VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

FIRST_PERCENT = 10.0  # of the singers, where nobody says how many

Alias = Literal["champion", "challenger", "shadow", "previous"]
Mode = Literal["canary", "shadow"]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
VersionName = Annotated[str, StringConstraints(pattern=VERSION)]
# Read in terminals and pages: nothing that either would obey.
Reason = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$",
    ),
]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason = Field(default="no reason given", description="Kept in the history.")


class RolloutIn(Asked):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"family": "pitch", "version": "2", "mode": "canary", "percent": 10},
                {"family": "pitch", "version": "2", "mode": "shadow", "limits": {"window_s": 120}},
            ]
        },
    )

    family: Family
    version: VersionName
    mode: Mode = Field(
        default="canary",
        description="canary: it answers some singers. shadow: it is asked too, nobody is told.",
    )
    percent: Percent = Field(default=FIRST_PERCENT, description="Of the singers, in a canary.")
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _shares(self) -> Self:
        _refuse_share_of_shadow(self.mode, self.model_fields_set)
        return self


class Action(Asked):
    """What promote, rollback and retire may be told."""

    generation: int | None = Field(
        default=None,
        description="Of the rollout as you saw it: refused if it has changed since.",
    )


class Adjustment(Action):
    mode: Mode | None = Field(default=None, description="A shadow may become a canary, and back.")
    percent: Percent | None = None
    limits: Limits | None = None

    @model_validator(mode="after")
    def _shares(self) -> Self:
        _refuse_share_of_shadow(self.mode, self.model_fields_set)
        return self


def _refuse_share_of_shadow(mode: Mode | None, given: set[str]) -> None:
    if mode == "shadow" and "percent" in given:
        raise ValueError("a shadow has no percent: it answers nobody")


class VersionOut(BaseModel):
    version: str = Field(examples=["2"], description="The registry's number.")
    aliases: list[Alias] = Field(description="What the family's rollout wants of it.")
    gate: Gate
    gate_reason: str | None
    licence: str
    sha256: str
    schema_digest: str = Field(description="Of the results it writes.")
    memory_bytes: int = Field(description="Of the device that it runs on.")
    metrics: Json
    registered: bool = Field(description="Whether the registry has it yet.")
    created_at: datetime

    @classmethod
    def of(cls, row: ModelVersion, aliases: list[Alias]) -> Self:
        columns = {
            name: getattr(row, name) for name in VersionOut.model_fields if name != "aliases"
        }
        return cls.model_validate({"aliases": aliases, **columns, **cls._more(row)})

    @classmethod
    def _more(cls, row: ModelVersion) -> Json:
        return {}


class VersionWithCard(VersionOut):
    family: Family
    card: str = Field(description="The model card, Markdown.")
    profile: Json = Field(description="Its results on the material that it was made with.")
    tags: Json

    @classmethod
    def _more(cls, row: ModelVersion) -> Json:
        return {name: getattr(row, name) for name in ("family", "card", "profile", "tags")}


class FamilyOut(BaseModel):
    family: Family
    versions: list[VersionOut] = Field(description="Newest first.")


class FamiliesOut(BaseModel):
    items: list[FamilyOut]


class RolloutOut(BaseModel):
    family: Family
    state: Literal["steady", "starting", "canary", "shadow"] = Field(
        description="starting: what is wanted is not in effect before its version is warm."
    )
    champion: str
    challenger: str | None
    percent: float
    shadow: str | None
    previous: str | None = Field(description="Kept warm, for an instant way back.")
    limits: Limits
    route: Route = Field(description="Who answers now.")
    generation: int
    registry_knows: bool = Field(description="Whether the registry's aliases say the same yet.")
    started_at: datetime | None
    updated_at: datetime

    @classmethod
    def of(cls, row: Rollout) -> Self:
        columns = {n: getattr(row, n) for n in cls.model_fields if n not in _DERIVED}
        known = row.pushed >= row.generation
        return cls.model_validate({"state": state_of(row), "registry_knows": known, **columns})


_DERIVED = ("state", "registry_knows")


def state_of(row: Rollout) -> str:
    hosts = row.route["hosts"]
    wanted = {row.champion, row.challenger or row.champion, row.shadow or row.champion}
    if wanted - hosts.keys():
        return "starting"
    return "canary" if row.challenger else "shadow" if row.shadow else "steady"


class RolloutsOut(BaseModel):
    items: list[RolloutOut]


class ChangeOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    actor_id: str
    action: str = Field(examples=["promote"])
    reason: str
    before: Json
    after: Json
    created_at: datetime

    @classmethod
    def of(cls, row: RolloutEvent) -> Self:
        return cls.model_validate(row)


class ChangePage(BaseModel):
    items: list[ChangeOut]
    next_cursor: str | None


class Side(BaseModel):
    """How one version has done since the trial began."""

    version: str
    requests: int
    error_rate: float | None
    timeout_rate: float | None
    not_finite_rate: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None

    @classmethod
    def of(cls, version: str, seen: Seen) -> Self:
        def share(count: int) -> float | None:
            return count / seen.requests if seen.requests else None

        return cls(
            version=version,
            requests=seen.requests,
            error_rate=share(seen.errors),
            timeout_rate=share(seen.timeouts),
            not_finite_rate=share(seen.not_finite),
            latency_p50_s=seen.quantile(0.5),
            latency_p95_s=seen.quantile(0.95),
        )


class Difference(BaseModel):
    """The trial's values less the champion's on the same takes."""

    name: str
    mean: float
    rms: float
    largest: float = Field(description="Of either sign, without it.")
    n: int

    @classmethod
    def all_of(cls, spreads: dict[str, Spread]) -> list[Self]:
        """The one that differs most comes first."""
        found = [
            cls(name=name, mean=s.mean, rms=s.rms, largest=s.largest, n=s.count)
            for name, s in sorted(spreads.items())
        ]
        return sorted(found, key=lambda difference: -difference.rms)


class Comparison(BaseModel):
    family: Family
    mode: Mode
    since: datetime
    champion: Side
    trial: Side
    compared: int = Field(description="Takes that both were asked about.")
    unlike: int = Field(description="Of these, takes that only one of the two could measure.")
    scores: list[Difference] = Field(description="In points.")
    measures: list[Difference] = Field(description="In the measure's own unit.")
    objection: str | None = Field(description="What the guardrails have against it now.")
