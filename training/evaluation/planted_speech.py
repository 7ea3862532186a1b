"""Speech built from parts whose times, melody and loudness are known: the truth of every rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from models.audio import ANALYSIS_RATE, Audio
from models.results import Span
from training.synthesis import RATE, Voice, sing

VOWELS = ((730.0, 1090.0, 2440.0), (390.0, 1990.0, 2550.0), (440.0, 1020.0, 2240.0))  # a, e, o
EDGE_S = 0.4  # of silence around the speech
RAMP_S = 0.012  # of a sound's rise and fall
LEVEL_DB = {"nasal": -4.0, "fricative": -20.0, "stop": -26.0}  # re the vowels
FINAL_S = 0.25  # of the last vowel's movement

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sound:
    """A vowel or a consonant."""

    kind: str  # "vowel" or one of LEVEL_DB
    start_s: float
    end_s: float
    db: float = 0.0  # of stress, vowels only

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Tune:
    """The melody of a take, in semitones re `hz`."""

    hz: float = 140.0
    slope: float = 0.0  # semitones/s, anew in every phrase
    swing: float = 0.0  # half-extent of a sine of `swing_hz`
    swing_hz: float = 1.3
    final: float = 0.0  # semitones that the end of each phrase moves


@dataclass(frozen=True, slots=True)
class Planted:
    """A take and the truth of it."""

    audio: Audio
    phrases: tuple[tuple[Sound, ...], ...]
    tune: Tune

    @property
    def runs_s(self) -> list[Span]:
        return [(phrase[0].start_s, phrase[-1].end_s) for phrase in self.phrases]

    @property
    def vowels(self) -> list[list[Sound]]:
        return [[sound for sound in phrase if sound.kind == "vowel"] for phrase in self.phrases]

    def rates(self) -> dict[str, float]:
        """By the names and definitions of the fluency and prosody engines."""
        pauses = [after[0] - before[1] for before, after in pairwise(self.runs_s)]
        spoken = sum(end - start for start, end in self.runs_s)
        total = self.runs_s[-1][1] - self.runs_s[0][0]
        count = sum(len(vowels) for vowels in self.vowels)
        return {
            "syllables": count,
            "speech_rate_sps": count / total,
            "articulation_rate_sps": count / spoken,
            "phonation_ratio": spoken / total,
            "mean_length_of_run": count / len(self.phrases),
            "pauses_per_minute": 60 * len(pauses) / total,
            "pause_mean_s": float(np.mean(pauses)),
        } | self._rhythm(spoken)

    def _rhythm(self, spoken: float) -> dict[str, float]:
        lengths = [[vowel.seconds for vowel in vowels] for vowels in self.vowels]
        unlike = [2 * abs(a - b) / (a + b) for row in lengths for a, b in pairwise(row)]
        voiced = sum(sum(row) for row in lengths)
        return {"npvi_v": 100 * float(np.mean(unlike)), "percent_v": 100 * voiced / spoken}


def utter(
    rng: np.random.Generator,
    *,
    syllables: Sequence[int],
    rate: float,
    unevenness: float = 0.0,
    pauses_s: tuple[float, float] = (0.3, 1.0),
    tune: Tune | None = None,
    fade_db_per_s: float = 0.0,
) -> Planted:
    """Phrases of the given numbers of syllables, of `rate` a second; vowels' lengths scatter by
    `unevenness` (of the logarithm)."""
    at, phrases = EDGE_S, []
    for count in syllables:
        phrase = _phrase(rng, at, count, rate, unevenness)
        phrases.append(phrase)
        at = phrase[-1].end_s + rng.uniform(*pauses_s)
    planted = Planted(Audio(np.zeros(0, np.float32), ANALYSIS_RATE), tuple(phrases), tune or Tune())
    samples = _voiced(planted, rng)
    t = np.arange(len(samples)) / ANALYSIS_RATE
    for start, end in planted.runs_s:
        inside = (t >= start) & (t < end)
        samples[inside] *= 10 ** (fade_db_per_s * (t[inside] - start) / 20)
    samples += 1e-4 * rng.standard_normal(len(samples))
    audio = Audio((0.5 * samples / np.abs(samples).max()).astype(np.float32), ANALYSIS_RATE)
    return Planted(audio, planted.phrases, planted.tune)


def _phrase(
    rng: np.random.Generator, start: float, count: int, rate: float, unevenness: float
) -> tuple[Sound, ...]:
    """Consonant and vowel in turn; the first consonant can be heard, so that the phrase begins."""
    stretch = np.exp(unevenness * rng.standard_normal(count))
    vowel_s = 0.6 / rate * stretch / stretch.mean()
    at, sounds = start, list[Sound]()
    for index in range(count):
        kinds = list(LEVEL_DB) if index else ["nasal"]
        end = at + 0.4 / rate * rng.uniform(0.8, 1.2)
        sounds.append(Sound(str(rng.choice(kinds)), at, end))
        at = end + float(vowel_s[index])
        sounds.append(Sound("vowel", end, at, float(rng.uniform(-3, 0))))
    return tuple(sounds)


def _voiced(planted: Planted, rng: np.random.Generator) -> Floats:
    """The sound of the phrases, at 16 kHz."""
    seconds = planted.runs_s[-1][1] + EDGE_S
    contour = melody(planted, np.arange(round(seconds * RATE)) / RATE)
    throats = [Voice(formants=_formants(vowel), tilt_hz=300.0, jitter=0.003) for vowel in VOWELS]
    voices = [sing(contour, throat, seed).audio.samples for seed, throat in enumerate(throats)]
    spoken = [np.asarray(v / np.sqrt(np.mean(np.square(v))), np.float64) for v in voices]
    low = butter(2, 500, fs=ANALYSIS_RATE, output="sos")
    high = butter(2, 3000, "high", fs=ANALYSIS_RATE, output="sos")
    length = len(spoken[0])
    hiss: Floats = np.asarray(sosfilt(high, rng.standard_normal(length)))
    murmur: Floats = np.asarray(sosfilt(low, spoken[0]))
    total, t = np.zeros(length), np.arange(length) / ANALYSIS_RATE
    for sound in (sound for phrase in planted.phrases for sound in phrase):
        source = hiss if sound.kind in ("fricative", "stop") else murmur
        if sound.kind == "vowel":
            source = spoken[int(rng.integers(3))]
        total += _gate(sound, t) * source
    return total


def _gate(sound: Sound, t: Floats) -> Floats:
    """Amplitude over time. A stop is silent but for its last 15 ms."""
    start = sound.end_s - 0.015 if sound.kind == "stop" else sound.start_s
    rise = np.clip((t - start) / RAMP_S + 0.5, 0, 1)
    fall = np.clip((sound.end_s - t) / RAMP_S + 0.5, 0, 1)
    return np.asarray(rise * fall * 10 ** (LEVEL_DB.get(sound.kind, sound.db) / 20))


def _formants(vowel: tuple[float, float, float]) -> tuple[tuple[float, float], ...]:
    return tuple((hz, 60 + 0.03 * hz) for hz in (*vowel, 3400.0, 4500.0))


def melody(planted: Planted, t: Floats) -> Floats:
    """F0 in Hz at the given seconds, 0 where nothing is voiced."""
    tune, f0 = planted.tune, np.zeros(len(t))
    for phrase in planted.phrases:
        start, end = phrase[0].start_s, phrase[-1].end_s
        late = np.clip((t - (end - FINAL_S)) / FINAL_S, 0, 1)
        semitones = tune.slope * (t - start) + tune.final * late
        semitones = semitones + tune.swing * np.sin(2 * np.pi * tune.swing_hz * (t - start))
        for sound in phrase:
            if sound.kind in ("vowel", "nasal"):
                inside = (t >= sound.start_s) & (t < sound.end_s)
                f0[inside] = tune.hz * 2 ** (semitones[inside] / 12)
    return f0


def truth_of_melody(planted: Planted) -> dict[str, float]:
    """By the names of the prosody engine, of the planted F0 every 10 ms."""
    last = planted.runs_s[-1][1]
    f0 = melody(planted, np.arange(0, last, 0.01))
    semitones = 12 * np.log2(f0[f0 > 0])
    low, high = np.quantile(semitones, (0.05, 0.95))
    return {
        "f0_sd_semitones": float(semitones.std()),
        "f0_range_semitones": float(high - low),
    }
