"""Speech-like takes with known truth: syllables, runs, pauses and melody made here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.audio import Audio
from models.engine import Task
from models.results import Activity, Family, FamilyResult, Pitch, Span
from training.synthesis import RATE, rest, sing

Floats = NDArray[np.float64]
Melody = Callable[[Floats], Floats]  # Hz at the seconds since the phrase began
DIP = 0.12  # of the amplitude between syllables: -18 dB
EDGE_S = 0.3  # of silence around the speech


@dataclass(frozen=True, slots=True)
class Spoken:
    """A take and its truth."""

    audio: Audio
    pitch: Pitch
    speech_s: list[Span]
    nuclei_s: Floats

    def task(self, other: Mapping[Family, FamilyResult] | None = None) -> Task:
        """As an engine gets it, with other results where they are given."""
        activity = Activity(speech_s=self.speech_s)
        return Task(self.audio, {"activity": activity, "pitch": self.pitch, **(other or {})})

    def changed(self, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> "Spoken":
        """The same speech through another microphone."""
        samples = change(self.audio.samples).astype(np.float32)
        return replace(self, audio=Audio(samples, self.audio.sample_rate))


def level(hz: float) -> Melody:
    return lambda seconds: np.full(len(seconds), hz)


def falling(hz: float, semitones_per_s: float) -> Melody:
    """Even in semitones; negative slopes fall."""
    return lambda seconds: np.asarray(hz * 2 ** (semitones_per_s * seconds / 12))


def speak(
    syllables: Sequence[int],
    *,
    rate: float = 4.0,
    pause_s: float = 0.5,
    melody: Melody | None = None,
) -> Spoken:
    """Runs of the given numbers of syllables at an even rate, with pauses between."""
    tune, edge = melody or level(120.0), rest(EDGE_S)
    contour, spans, nuclei, at = [edge], list[Span](), list[float](), EDGE_S
    for count in syllables:
        lasting = count / rate
        contour += [tune(np.arange(round(lasting * RATE)) / RATE), rest(pause_s)]
        spans.append((at, at + lasting))
        nuclei += [at + (i + 0.5) / rate for i in range(count)]
        at += lasting + pause_s
    sung = sing(np.concatenate([*contour, edge]))
    f0 = [float(hz) if hz > 0 else None for hz in sung.f0_hz]
    pitch = Pitch(f0_hz=f0, confidence=[0.95 if hz else 0.05 for hz in f0])
    shaped = Audio(sung.audio.samples * _envelope(sung.audio, spans, rate), sung.audio.sample_rate)
    return Spoken(shaped, pitch, spans, np.array(nuclei))


def _envelope(audio: Audio, spans: Sequence[Span], rate: float) -> NDArray[np.float32]:
    """Full in the middle of a syllable, DIP between two."""
    t = np.arange(len(audio.samples)) / audio.sample_rate
    envelope = np.zeros(len(t))
    for start, end in spans:
        inside = (t >= start) & (t < end)
        swing = 0.5 - 0.5 * np.cos(2 * np.pi * rate * (t[inside] - start))
        envelope[inside] = DIP + (1 - DIP) * swing
    return envelope.astype(np.float32)
