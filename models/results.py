"""What the models say about a take: the one vocabulary the whole project shares. No torch here."""

import hashlib
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

SCHEMA_VERSION = "1"

Family = Literal[
    "activity", "pitch", "timbre", "emotion", "clarity", "prosody", "fluency", "transcript"
]

Seconds = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Number = float | int | str | bool | None


def _rounded(digits: int) -> Callable[[list[float | None]], list[float | None]]:
    return lambda values: [None if v is None else round(v, digits) for v in values]


# Frame data: one value a frame, null where there is none. Rounded in JSON only, so that numbers
# stay exact between processes and a three-minute take stays under a megabyte on the wire.
Frames = Annotated[
    list[float | None],
    PlainSerializer(_rounded(2), return_type=list[float | None], when_used="json"),
]
WholeFrames = Annotated[
    list[float | None],
    PlainSerializer(_rounded(0), return_type=list[float | None], when_used="json"),
]
Probabilities = Annotated[
    list[Probability], PlainSerializer(_rounded(2), return_type=list[float], when_used="json")
]
Real = Annotated[
    float, PlainSerializer(lambda v: float(f"{v:.6g}"), return_type=float, when_used="json")
]
Time = Annotated[
    float, PlainSerializer(lambda v: round(v, 3), return_type=float, when_used="json")
]  # seconds from the start of the take
Span = tuple[Time, Time]  # start and end


class Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Version(Result):
    """Which weights or algorithm answered."""

    name: str
    version: str
    sha256: str = Field(description="Digest of the weights, or of the code where there are none.")
    licence: str = "Apache-2.0"


class Reason(StrEnum):
    """Why a thing was not measured."""

    too_short = "too_short"
    silence = "silence"
    insufficient_voiced_audio = "insufficient_voiced_audio"
    clipped = "clipped"
    low_snr = "low_snr"
    no_speech = "no_speech"
    no_syllables = "no_syllables"
    model_unavailable = "model_unavailable"
    not_requested = "not_requested"
    failed = "failed"


class Absence(Result):
    """A typed absence: nothing is ever reported as 0 because it could not be measured."""

    reason: Reason
    detail: str = Field(default="", description="What was found, and what was needed.")


class Measure(Result):
    """One number and its ground."""

    value: Real
    unit: str = Field(description="'Hz', 'dB', '%', 's', 'cents', 'semitones', '1/s', '1', ...")
    confidence: Probability | None = None
    standard_error: Real | None = Field(default=None, ge=0)
    evidence_s: list[Span] = Field(default=[], description="The stretches of the take it rests on.")


class FamilyResult(Result):
    """What one family says. `absent` set means that the whole family could not be measured."""

    version: Version | None = None
    absent: Absence | None = None
    conditions: dict[str, Number] = Field(
        default={}, description="Settings that move the values, and what was found in the take."
    )
    measures: dict[str, Measure] = {}
    absences: dict[str, Absence] = Field(
        default={}, description="Measures that could not be taken from this take, and why."
    )


class Activity(FamilyResult):
    """Where somebody speaks or sings."""

    speech_s: list[Span] = []
    pauses_s: list[Span] = Field(default=[], description="Gaps of 250 ms and more inside the take.")


class Vibrato(Result):
    rate_hz: Real
    extent_cents: Real = Field(description="Half of peak to peak.")
    regularity: Probability
    onset_delay_s: Time


class Note(Result):
    start_s: Time
    end_s: Time
    name: str = Field(description="Nearest equal-tempered note at the take's A4, e.g. 'A4'.")
    midi: Real = Field(description="Median pitch as a fractional MIDI number, A4 = 69 = a4_hz.")
    f0_hz: Real
    cents: Real = Field(description="From the nearest equal-tempered note.")
    stability_cents: Real = Field(description="Robust standard deviation around the note's centre.")
    confidence: Probability
    vibrato: Vibrato | None = None


class Pitch(FamilyResult):
    """F0, one value a frame; null where unvoiced."""

    hop_s: Seconds = 0.01
    f0_hz: Frames = []
    confidence: Probabilities = []
    notes: list[Note] = []

    def voiced_spans(self, bridge_s: float = 0.0) -> list[tuple[float, float]]:
        """Runs of voiced frames, joined over gaps of up to `bridge_s`."""
        spans: list[tuple[float, float]] = []
        for i, hz in enumerate(self.f0_hz):
            if hz is None:
                continue
            start, end = (i - 0.5) * self.hop_s, (i + 0.5) * self.hop_s
            if spans and start - spans[-1][1] <= bridge_s + 1e-9:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((max(start, 0.0), end))
        return spans

    @property
    def voiced_s(self) -> float:
        return self.hop_s * sum(hz is not None for hz in self.f0_hz)


class Timbre(FamilyResult):
    """Voice quality, resonance and spectrum."""

    hop_s: Seconds = 0.01
    f1_hz: WholeFrames = []
    f2_hz: WholeFrames = []
    f3_hz: WholeFrames = []
    f4_hz: WholeFrames = []
    hnr_db: Frames = []
    ltas_db: Frames = Field(
        default=[],
        description="Long-term average spectrum of the voiced frames: the level of every 100 Hz "
        "from 0 Hz, in dB re the energy of the whole.",
    )


class Emotion(FamilyResult):
    """Expression in the voice as listeners would label it: not what somebody feels."""

    label: str | None = Field(default=None, description="'unsure' under the stated threshold.")
    probabilities: dict[str, Real] = {}
    hop_s: Seconds = 1.0
    arousal: Frames = Field(default=[], description="-1..1, one value every hop.")


class Clarity(FamilyResult):
    """Recording conditions, and how clearly speech is articulated."""


class Phrase(Result):
    start_s: Time
    end_s: Time
    declination_semitones_per_s: Real | None = None
    final_movement: Literal["rise", "fall", "level"] | None = None


class Prosody(FamilyResult):
    """Melody, loudness and rhythm of speech."""

    phrases: list[Phrase] = []
    contour: list[list[tuple[Time, Real]]] = Field(
        default=[],
        description="Stylised F0: for each voiced stretch its corners as (time, semitones re the "
        "speaker's median).",
    )
    hop_s: Seconds = 0.1
    loudness_lufs: Frames = Field(default=[], description="EBU R128 momentary loudness.")


class Fluency(FamilyResult):
    """Rates, runs and pauses of speech."""

    syllables_s: list[Time] = Field(default=[], description="Times of the syllable nuclei.")
    filled_pauses_s: list[Span] = []


class Word(Result):
    word: str
    start_s: Time
    end_s: Time
    probability: Probability


class Segment(Result):
    start_s: Time
    end_s: Time
    text: str
    average_logprob: Real
    no_speech_probability: Probability
    temperature: float
    words: list[Word] = []


class Transcript(FamilyResult):
    text: str = ""
    language: str | None = None
    segments: list[Segment] = []

    @property
    def words(self) -> list[Word]:
        return [word for segment in self.segments for word in segment.words]


class Score(Result):
    """0..100: a monotone, documented function of named measures."""

    value: Annotated[float, Field(ge=0, le=100)] | None
    absent: Absence | None = None
    standard_error: Real | None = Field(
        default=None, ge=0, description="What the errors of its measures can move it by."
    )
    smallest_real_change: Real | None = Field(
        default=None,
        ge=0,
        description="Two takes of one person that differ by less may not differ at all: 1.96 times "
        "the square root of 2 times the within-person standard deviation of repeated takes.",
    )
    uses: list[str] = Field(description="Measures it rests on, e.g. 'timbre.jitter_local'.")
    reference: str = Field(description="Range it is judged against, with its source.")
    ignores: str = Field(default="", description="What it does not hear, or cannot tell apart.")
    evidence_s: list[Span] = []


class Change(Result):
    """How a score differs between two takes of one person, and whether that is more than chance."""

    score: str
    before: Real
    after: Real
    smallest_real_change: Real | None = Field(
        default=None, ge=0, description="For these two takes; null where nothing is known of it."
    )
    verdict: Literal["better", "worse", "same", "unknown"] = Field(
        description="'same': less than the smallest real change, so not called a change."
    )
    finding: str


class Advice(Result):
    """One thing to do, with its ground. The first of the list has the largest expected benefit."""

    dimension: str
    finding: str
    action: str
    measures: dict[str, Real]
    evidence_s: list[Span] = []
    expected_benefit: Real


class AudioReport(Result):
    """The take itself."""

    duration_s: Time
    sample_rate_hz: int = Field(description="Of the analysis.")
    source_sample_rate_hz: int
    source_channels: int
    container: str | None = None
    codec: str | None = None
    sha256: str | None = Field(default=None, description="Of the bytes as they came.")
    conditions: dict[str, Number] = Field(
        default={}, description="SNR, clipping, bandwidth, voiced seconds."
    )
    warnings: list[str] = []


class Analysis(Result):
    """Everything we know about one take. The one schema of every way in and out."""

    schema_version: str = SCHEMA_VERSION
    audio: AudioReport
    activity: Activity
    pitch: Pitch
    timbre: Timbre
    emotion: Emotion
    clarity: Clarity
    prosody: Prosody
    fluency: Fluency
    transcript: Transcript
    scores: dict[str, Score] = {}
    feedback: list[Advice] = []
    versions: dict[str, Version] = {}
    fallbacks: dict[str, str] = Field(
        default={},
        description="Families whose chosen version failed on this take, so that the champion "
        "answered: which version, and why.",
    )
    timing: dict[str, Real] = Field(default={}, description="Seconds of wall time, by family.")


RESULT_TYPES: dict[Family, type[FamilyResult]] = {
    "activity": Activity,
    "pitch": Pitch,
    "timbre": Timbre,
    "emotion": Emotion,
    "clarity": Clarity,
    "prosody": Prosody,
    "fluency": Fluency,
    "transcript": Transcript,
}


def absent(
    family: Family, reason: Reason, detail: str = "", version: Version | None = None
) -> FamilyResult:
    """The family's result that says why there is none."""
    return RESULT_TYPES[family](version=version, absent=Absence(reason=reason, detail=detail))


def schema_digest(family: Family) -> str:
    """Of the shape of the family's result: versions of one digest can stand in for each other."""
    shape = json.dumps(RESULT_TYPES[family].model_json_schema(), sort_keys=True)
    return hashlib.sha256(shape.encode()).hexdigest()
