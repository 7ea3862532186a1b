"""What may be asked of a retraining: a family, what it learns from, and how long."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

LearntFamily = Literal["pitch", "activity", "emotion", "clarity", "transcript"]
LEARNT: tuple[LearntFamily, ...] = get_args(LearntFamily)

LABELLED: tuple[LearntFamily, ...] = ("emotion", "transcript")  # learn from labels alone

FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Sources(BaseModel):
    """Where the material comes from; at least one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    synthesis: bool = Field(default=True, description="Voices and sounds made on the spot.")
    corpora: list[FolderName] = Field(
        default=[],
        max_length=32,
        description="Dataset folders (labels.csv and audio) under VOCALITY_CORPORA.",
        examples=[["librispeech_subset", "small_asr"]],
    )
    recordings: bool = Field(
        default=False,
        description="Takes whose owners consent to `training` at the moment they are read.",
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.synthesis or self.corpora or self.recordings):
            raise ValueError("Name at least one source.")
        if len(set(self.corpora)) != len(self.corpora):
            raise ValueError("The same corpus twice.")
        return self


class RetrainingIn(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "family": "activity",
                    "minutes": 15,
                    "sources": {"corpora": ["librispeech_subset"], "recordings": True},
                }
            ]
        },
    )

    family: LearntFamily
    minutes: float = Field(
        default=25.0, gt=0, le=10_080, description="Of each worker's own time, learning alone."
    )
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    sources: Sources = Sources()
    workers: int = Field(
        default=0, ge=0, le=64, description="0: in the job's own process. Else Ray Train workers."
    )
    base: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Version whose weights are the start; for transcript also the name of a "
        "whisper checkpoint. null: from scratch, transcript from the platform's checkpoint.",
    )

    @model_validator(mode="after")
    def _learnable(self) -> Self:
        if self.family not in LABELLED:
            return self
        if self.sources.recordings:
            raise ValueError(f"{self.family} learns from labels, and recordings have none.")
        if not self.sources.corpora:
            raise ValueError(f"{self.family} learns from labels: name a corpus that has them.")
        return self
