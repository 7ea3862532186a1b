"""Clarity: what the recording did to the voice, and how clearly speech is articulated."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from models import articulation, conditions, recording, utterance, weights
from models.audio import ANALYSIS_RATE, Audio
from models.claritynet import ClarityNet
from models.engine import Task
from models.recording import Estimate, Findings, Voice
from models.results import (
    Absence,
    Activity,
    Clarity,
    Family,
    FamilyResult,
    Measure,
    Number,
    Pitch,
    Reason,
    Span,
    Timbre,
    Transcript,
    Version,
    absent,
)

SHORTEST_S = 0.3
SILENT = 1e-5  # RMS of the loudest 25 ms
VOWELS_NEEDED = 60  # frames, for a cloud of vowels
VOWEL_HNR_DB = 5.0
CONSONANTS_NEEDED = 10  # frames
SPREAD_DB = 20.0  # vowels lie within this of the take's loudest voiced level
TWO_VOICES = 7.0  # semitones between the middles of two groups of F0
FEWEST_OF_TWO = 200  # voiced frames


@dataclass(frozen=True, slots=True)
class Flag:
    """Raised where the measure lies outside of low..high."""

    name: str
    measure: str
    low: float = -np.inf
    high: float = np.inf


FLAGS = (
    Flag("low_snr", "snr_db", low=conditions.LOW_SNR_DB),
    Flag("clipped", "clipped_fraction", high=0.001),
    Flag("dc_offset", "dc_offset", -0.02, 0.02),
    Flag("hum", "hum_db", high=-40.0),
    Flag("narrow_band", "bandwidth_hz", low=4500.0),
    Flag("reverberant", "t60_s", high=0.8),
)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Answers = dict[str, Measure | Absence]


@dataclass(frozen=True, slots=True)
class Heard:
    """A take without digital silence at its ends, and what is known of it every 10 ms."""

    samples: Floats  # 16 kHz, without DC
    offset: float  # that DC
    power: Floats
    speech: Mask
    voiced: Mask
    spans: list[Span]
    seconds: float  # of the whole take
    hum: conditions.Hum | None  # re all the sound

    @property
    def whole(self) -> list[Span]:
        return [(0.0, self.seconds)]

    @property
    def sounding(self) -> Mask:
        return self.speech | self.voiced

    @property
    def hum_power(self) -> float:
        if self.hum is None or self.hum.mains_hz is None:
            return 0.0
        return float(self.power.mean() * 10 ** (self.hum.db / 10))


class ClarityEngine:
    """Takes the recording's conditions, by network and signal processing, and articulation."""

    family: Family = "clarity"

    def __init__(self, network: ClarityNet, version: Version) -> None:
        self.network = network.eval()
        self.version = version

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu", sha256: str | None = None) -> Self:
        """Raises WeightsUnavailable."""
        del device  # a few percent of timbre's cost, on the CPU
        return cls(*load(version, sha256))

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        return [self._analyze(task) for task in tasks]

    def _analyze(self, task: Task) -> FamilyResult:
        if task.audio.seconds < SHORTEST_S:
            detail = f"The take lasts {task.audio.seconds:.2f} s; {SHORTEST_S} s are needed."
            return absent("clarity", Reason.too_short, detail, self.version)
        heard = _heard(task)
        if not heard.power.max() > SILENT**2:
            return absent("clarity", Reason.silence, "No sound in the take.", self.version)
        voice = Voice(heard.samples, heard.power, heard.sounding, heard.hum_power)
        found = recording.find(self.network, voice)
        answers = _recording(task, heard, found) | _articulation(task, heard) | _words(task)
        measured = {k: v for k, v in answers.items() if isinstance(v, Measure)}
        return Clarity(
            version=self.version,
            conditions=_conditions(task, heard, measured),
            measures=measured,
            absences={k: v for k, v in answers.items() if isinstance(v, Absence)},
        )


def load(version: str = "1", sha256: str | None = None) -> tuple[ClarityNet, Version]:
    """The network with its weights, or WeightsUnavailable."""
    found = weights.load("clarity", version, sha256=sha256)
    network = ClarityNet()
    network.load_state_dict(found.tensors)
    return network.eval(), found.version


def _heard(task: Task) -> Heard:
    whole = task.audio.at(ANALYSIS_RATE).samples.astype(np.float64)
    first, last = recording.ends(whole)
    offset = float(whole[first:last].mean()) if last > first else 0.0
    samples = whole[first:last] - offset
    power = conditions.levels(samples)
    activity, pitch = cast(Activity, task.needs["activity"]), cast(Pitch, task.needs["pitch"])
    skipped, frames = first // conditions.HOP, len(whole) // conditions.HOP + 1
    here = slice(skipped, skipped + len(power))
    return Heard(
        samples=samples,
        offset=offset,
        power=power,
        speech=utterance.inside(activity.speech_s, frames)[here],
        voiced=np.isfinite(utterance.voicing(pitch, frames))[here],
        spans=utterance.evidence(activity.speech_s),
        seconds=task.audio.seconds,
        hum=conditions.hum(samples, float(power.mean())),
    )


def _recording(task: Task, heard: Heard, found: Findings | None) -> Answers:
    audio, share = task.audio, len(task.audio.samples) / max(len(heard.samples), 1)
    clipped = min(conditions.clipped_fraction(audio) * share, 1.0)
    answers: Answers = {
        "clipped_fraction": Measure(value=clipped, unit="1", confidence=0.9),
        "dc_offset": Measure(value=heard.offset, unit="1", confidence=1.0),
        "hum_db": _hum(heard, found),
        "snr_wada_db": _wada(heard),
    }
    if found is None:
        width = conditions.bandwidth_hz(heard.samples, audio.source.sample_rate)
        missing = _no_voice(heard)
        return answers | {
            "bandwidth_hz": Measure(value=width, unit="Hz", confidence=0.5),
            **dict.fromkeys((*VOICED, "intelligible_recording"), missing),
        }
    return answers | _of_voice(found, clipped, audio, heard)


def _no_voice(heard: Heard) -> Absence:
    if heard.sounding.any():
        return Absence(reason=Reason.too_short, detail="Under 0.3 s that are not silent.")
    return Absence(reason=Reason.no_speech, detail="Rests on what was done to a voice.")


def _of_voice(found: Findings, clipped: float, audio: Audio, heard: Heard) -> Answers:
    """What the voice tells of the recording; a confidence is the chance to be near enough."""
    seconds = float(np.clip(2**found.t60.value, recording.SHORTEST_S, recording.LONGEST_S))
    nyquist = (audio.source.sample_rate or ANALYSIS_RATE) / 2
    width = min(found.width_hz.value, nyquist)
    surely = found.width_hz.value + 2 * found.width_hz.error  # no more is surely missing
    useful = recording.intelligible(
        found.snr_db.value, found.c50_db.value, clipped, min(surely, nyquist)
    )
    spread = found.t60.error * np.log(2) * seconds
    return {
        "snr_db": _measure(found.snr_db, "dB", 2.0, heard),
        "t60_s": Measure(
            value=seconds,
            unit="s",
            confidence=found.t60.within(np.log2(1.25)),
            standard_error=float(spread),
            evidence_s=heard.spans,
        ),
        "c50_db": _measure(found.c50_db, "dB", 2.0, heard),
        "bandwidth_hz": Measure(
            value=width,
            unit="Hz",
            confidence=found.width_hz.within(0.1 * width),
            standard_error=found.width_hz.error,
            evidence_s=heard.spans,
        ),
        "intelligible_recording": Measure(
            value=useful, unit="1", confidence=found.snr_db.within(3.0), evidence_s=heard.spans
        ),
    }


def _measure(estimate: Estimate, unit: str, tolerance: float, heard: Heard) -> Measure:
    return Measure(
        value=estimate.value,
        unit=unit,
        confidence=estimate.within(tolerance),
        standard_error=estimate.error,
        evidence_s=heard.spans,
    )


def _wada(heard: Heard) -> Measure | Absence:
    if not heard.speech.any():
        return Absence(reason=Reason.no_speech, detail="Rests on how speech is distributed.")
    db = conditions.wada_snr_db(heard.samples)
    if db is None:
        return Absence(reason=Reason.too_short, detail="Too few samples that are not silent.")
    return Measure(value=db, unit="dB", confidence=0.4, evidence_s=heard.whole)


def _hum(heard: Heard, found: Findings | None) -> Measure | Absence:
    if heard.hum is None:
        return Absence(reason=Reason.too_short, detail="Mains lines need half a second.")
    voice = heard.power[heard.sounding].mean() if heard.sounding.any() else heard.power.mean()
    if found is not None:
        ratio = 10 ** (found.snr_db.value / 10)
        voice *= ratio / (1 + ratio)
    db = conditions.FAINTEST_HUM_DB
    if heard.hum_power > 0:
        db = max(10 * float(np.log10(heard.hum_power / voice)), db)
    return Measure(value=db, unit="dB", confidence=0.7, evidence_s=heard.whole)


def _articulation(task: Task, heard: Heard) -> Answers:
    if not heard.speech.any():
        nobody = Absence(reason=Reason.no_speech, detail="Nobody speaks in the take.")
        return dict.fromkeys(SPOKEN, nobody)
    return _vowels(task, heard) | _modulation(heard) | {CONTRAST: _contrast(heard)}


CONTRAST = "consonant_vowel_contrast_db"
VOWEL_SPACE = ("vowel_space_area_bark2", "vowel_articulation_index")
MODULATION = ("modulation_depth_db", "modulation_peak_hz")
VOICED = ("snr_db", "t60_s", "c50_db")  # what only a voice can tell of a recording
SPOKEN = (*VOWEL_SPACE, *MODULATION, CONTRAST)


def _vowels(task: Task, heard: Heard) -> Answers:
    timbre = cast(Timbre, task.needs["timbre"])
    if timbre.absent:
        return dict.fromkeys(VOWEL_SPACE, timbre.absent)
    f1, f2, hnr = (_array(values) for values in (timbre.f1_hz, timbre.f2_hz, timbre.hnr_db))
    vowel = articulation.steady(f1, f2) & (np.nan_to_num(hnr, nan=-99.0) > VOWEL_HNR_DB)
    found = int(vowel.sum())
    area = None
    if found >= VOWELS_NEEDED:
        cloud = articulation.typical(f1[vowel], f2[vowel])
        area = articulation.area_bark2(cloud)
    if area is None:
        detail = f"{found} vowel-like frames; {VOWELS_NEEDED} that differ are needed."
        missing = Absence(reason=Reason.insufficient_voiced_audio, detail=detail)
        return dict.fromkeys(VOWEL_SPACE, missing)
    index = articulation.vowel_articulation_index(cloud)
    return {
        VOWEL_SPACE[0]: Measure(value=area, unit="Bark^2", confidence=0.5, evidence_s=heard.spans),
        VOWEL_SPACE[1]: Measure(value=index, unit="1", confidence=0.3, evidence_s=heard.spans),
    }


def _array(frames: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in frames], np.float64)


def _modulation(heard: Heard) -> Answers:
    sounding = np.flatnonzero(heard.speech)
    found = articulation.modulation(heard.power[sounding[0] : sounding[-1] + 1])
    if found is None:
        missing = Absence(reason=Reason.too_short, detail="Under a second of speech.")
        return dict.fromkeys(MODULATION, missing)
    return {
        name: Measure(value=value, unit=unit, confidence=0.7, evidence_s=heard.spans)
        for name, value, unit in zip(MODULATION, found, ("dB", "Hz"), strict=True)
    }


def _contrast(heard: Heard) -> Measure | Absence:
    loudest = heard.power[heard.voiced].max(initial=0.0)
    vowel = heard.voiced & heard.speech & (heard.power > loudest * 10 ** (-SPREAD_DB / 10))
    consonant = heard.speech & ~heard.voiced
    if min(vowel.sum(), consonant.sum()) < CONSONANTS_NEEDED:
        detail = f"{int(vowel.sum())} vowel and {int(consonant.sum())} consonant frames."
        return Absence(reason=Reason.insufficient_voiced_audio, detail=detail)
    db = articulation.consonant_vowel_contrast_db(heard.power, vowel, consonant)
    return Measure(value=db, unit="dB", confidence=0.5, evidence_s=heard.spans)


def _words(task: Task) -> Answers:
    """What a recogniser understood, where one was asked."""
    transcript = cast(Transcript | None, task.needs.get("transcript"))
    names = ("word_confidence", "word_accuracy")
    if transcript is None:
        unasked = Absence(reason=Reason.not_requested, detail="Needs the transcript.")
        return dict.fromkeys(names, unasked)
    if transcript.absent:
        return dict.fromkeys(names, transcript.absent)
    words = transcript.words
    if not words:
        return dict.fromkeys(names, Absence(reason=Reason.no_speech, detail="No word was heard."))
    sure = np.array([word.probability for word in words])
    spans = utterance.evidence([(word.start_s, word.end_s) for word in words])
    error = float(sure.std() / len(sure) ** 0.5)
    confidence = Measure(value=float(sure.mean()), unit="1", standard_error=error, evidence_s=spans)
    return {
        names[0]: confidence,
        names[1]: _accuracy(task.options.prompt, words_of(transcript.text)),
    }


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+(?:'\w+)*", text.lower())


def _accuracy(prompt: str | None, heard: list[str]) -> Measure | Absence:
    """1 - word error rate against the prompt, if that can be the text that was read."""
    wanted = words_of(prompt or "")
    if not wanted or not 0.5 <= len(heard) / len(wanted) <= 2:
        detail = "Needs a prompt that is the text that was read."
        return Absence(reason=Reason.not_requested, detail=detail)
    rate = _edits(wanted, heard) / len(wanted)
    return Measure(value=max(0.0, 1.0 - rate), unit="1", confidence=0.7)


def _edits(wanted: list[str], heard: list[str]) -> int:
    row = list(range(len(heard) + 1))
    for i, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(diagonal + (word != other), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def _conditions(task: Task, heard: Heard, measured: Mapping[str, Measure]) -> dict[str, Number]:
    """The recording in short, and the settings that move the values."""
    return {
        "quality_flags": ",".join(flags(measured, cast(Pitch, task.needs["pitch"]))),
        "voiced_s": round(0.01 * int(heard.voiced.sum()), 3),
        "hum_mains_hz": heard.hum.mains_hz if heard.hum else None,
        "snr": "voice in frames within 30 dB of its loudest 25 ms, re all else, hum included",
        "confidence": "chance to be right: 2 dB, 25 % of T60, 10 % of bandwidth",
        "bandwidth_under_strongest_db": conditions.BELOW_DB,
        "vowel_hnr_over_db": VOWEL_HNR_DB,
        "vowel_space": "convex hull of 90 % of the steady vowel frames' F1 and F2 in Bark",
    }


def flags(measured: Mapping[str, Measure], pitch: Pitch) -> list[str]:
    """Names of what is wrong with the recording, in a fixed order."""
    found = [
        flag.name
        for flag in FLAGS
        if flag.measure in measured and not flag.low <= measured[flag.measure].value <= flag.high
    ]
    return [*found, "two_voices"] if _two_voices(pitch) else found


def _two_voices(pitch: Pitch) -> bool:
    """Whether F0 keeps to two places far apart, as when two people take turns."""
    hz = np.array([f for f in pitch.f0_hz if f is not None], np.float64)
    if len(hz) < FEWEST_OF_TWO:
        return False
    semitones = 12 * np.log2(hz)
    middle = float(semitones.mean())
    for _ in range(10):
        low, high = semitones[semitones <= middle], semitones[semitones > middle]
        if min(len(low), len(high)) < 0.2 * len(hz):
            return False
        middle = 0.5 * float(low.mean() + high.mean())
    apart = float(high.mean() - low.mean())
    return apart > TWO_VOICES and max(low.std(), high.std()) < apart / 4
