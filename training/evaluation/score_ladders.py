"""Takes made worse step by step, for the score that should fall with each step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve
from scipy.stats import spearmanr

from models import norms
from models.audio import ANALYSIS_RATE, Audio
from models.engine import Engine
from models.results import Family
from training import augment, resynthesis, rooms
from training.evaluation.intervals import Interval, of_mean
from training.evaluation.score_takes import heard
from training.resynthesis import Speech
from training.synthesis import RATE, Voice, contour, rest, sing

TUNE = (0, 4, 7, 5, 4, 2, 0)  # semitones over the singer's lowest note
NOTE_S, REST_S, VOWEL_S = 0.7, 0.05, 2.5
RING = (2400.0, 3200.0)  # Hz
PAUSE_S = 0.6
RESYNTHESISED_S = 5.0
THROAT = Voice(jitter=0.002, shimmer=0.02, noise_db=-40.0)

Floats = NDArray[np.float64]
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Reader:
    """A recording to be made worse, and its beginning taken apart."""

    who: str
    sound: Floats
    speech: Speech
    rate_sps: float  # syllables a second


@dataclass(frozen=True, slots=True)
class Ladder(Generic[S]):
    """`make(source, step)` is the source at that step; the first step is the best.

    A source is a Reader, or a singer's lowest note in Hz.
    """

    title: str
    score: str
    steps: tuple[float, ...]
    make: Callable[[S, float], Floats]


@dataclass(frozen=True, slots=True)
class Climbed:
    """What the score did on one ladder."""

    title: str
    score: str
    steps: tuple[float, ...]
    medians: Sequence[float]  # of the score, a step
    correlation: Interval  # Spearman's, of step and score, over voices
    scored: float  # share of the takes that had a score


def climb(ladder: Ladder[S], sources: Sequence[S], using: Mapping[Family, Engine]) -> Climbed:
    """Every source on every step."""
    made = [ladder.make(source, step) for source in sources for step in ladder.steps]
    sounds = [Audio(augment.at_peak(sound, -6), ANALYSIS_RATE) for sound in made]
    found = [take.value(ladder.score) for take in heard(sounds, using)]
    table = np.array([np.nan if value is None else value for value in found], np.float64)
    table = table.reshape(len(sources), len(ladder.steps))
    known = np.isfinite(table)
    medians = [
        float(np.median(column[at])) if at.any() else float("nan")
        for column, at in zip(table.T, known.T, strict=True)
    ]
    follows = of_mean(_correlations(table))
    return Climbed(ladder.title, ladder.score, ladder.steps, medians, follows, float(known.mean()))


def _correlations(table: Floats) -> dict[str, float]:
    """Of step and score in every voice that has three scores and more."""
    found = {}
    for who, row in enumerate(table):
        at = np.flatnonzero(np.isfinite(row))
        if len(at) >= 3:
            still = np.ptp(row[at]) == 0  # a score that does not move follows nothing
            found[str(who)] = 0.0 if still else float(spearmanr(at, row[at]).statistic)
    return found


def read(sound: Floats, who: str, rate_sps: float) -> Reader:
    head = sound[: round(RESYNTHESISED_S * ANALYSIS_RATE)]
    return Reader(who, sound, resynthesis.analyse(head), rate_sps)


def _noisy(source: Reader, snr_db: float) -> Floats:
    noise = augment.coloured(len(source.sound), 1.0, np.random.default_rng(0))
    return np.asarray(augment.mixed(source.sound, noise, snr_db), np.float64)


def _ringing(source: Reader, t60: float) -> Floats:
    room = rooms.Design(t60_s=t60, metres=None, direct_db=0.0, seed=0).built
    return np.asarray(fftconvolve(source.sound, room.response)[: len(source.sound)])


def _clipped(source: Reader, share: float) -> Floats:
    worse = augment.clipped(source.sound, share) if share else source.sound
    return np.asarray(worse, np.float64)


def _breathy(source: Reader, share: float) -> Floats:
    """That share of what was periodic turned into noise, at every frequency."""
    speech = source.speech
    noise = speech.aperiodicity + share * (1 - speech.aperiodicity)
    return resynthesis.synthesise(replace(speech, aperiodicity=noise), _f0(speech))


def _rough(source: Reader, spread: float) -> Floats:
    """F0 shaken from one 5 ms frame to the next."""
    shaken = 1 + spread * np.random.default_rng(0).standard_normal(len(source.speech.octaves))
    return resynthesis.synthesise(source.speech, _f0(source.speech) * np.maximum(shaken, 0.5))


def _flat(source: Reader, kept: float) -> Floats:
    """That much left of the melody around the speaker's median."""
    octaves, voiced = source.speech.octaves, source.speech.voiced
    middle = np.median(octaves[voiced])
    f0 = np.where(voiced, 2 ** (middle + kept * (octaves - middle)), 0.0)
    return resynthesis.synthesise(source.speech, f0)


def _paced(source: Reader, factor: float) -> Floats:
    """Said at the middle of ordinary rates times the factor."""
    middle = norms.PERCENTILES["fluency.articulation_rate_sps"][2]
    speech = source.speech.stretched(source.rate_sps / (middle * factor))
    return resynthesis.synthesise(speech, _f0(speech))


def _halting(source: Reader, pauses: float) -> Floats:
    """Silence put in, evenly apart."""
    parts = np.array_split(source.sound, int(pauses) + 1)
    silence = 1e-4 * np.random.default_rng(0).standard_normal(round(PAUSE_S * ANALYSIS_RATE))
    return np.concatenate([piece for part in parts for piece in (part, silence)][:-1])


def _mumbled(source: Reader, share: float) -> Floats:
    """Every voiced spectrum moved that far towards their mean, in log power."""
    speech = source.speech
    log = np.log(np.maximum(speech.envelope, 1e-12))
    level = log.mean(1, keepdims=True)
    shape = log - level
    mean = shape[speech.voiced].mean(0)
    blurred = np.where(speech.voiced[:, None], shape + share * (mean - shape), shape)
    return resynthesis.synthesise(replace(speech, envelope=np.exp(level + blurred)), _f0(speech))


def _f0(speech: Speech) -> Floats:
    return np.where(speech.voiced, 2**speech.octaves, 0.0)


def _tune(hz: float, cents: Callable[[int], Floats]) -> Floats:
    """F0 of the tune; `cents(i)` is what note i is off, at every synthesis sample."""
    length = round(NOTE_S * RATE)
    notes = [
        np.concatenate([np.full(length, hz) * 2 ** (step / 12 + cents(i) / 1200), rest(REST_S)])
        for i, step in enumerate(TUNE)
    ]
    return np.concatenate(notes)


def _detuned(hz: float, most: float) -> Floats:
    """Each note off by up to so many cents, by chance."""
    off = most * np.random.default_rng(round(hz)).uniform(-1, 1, len(TUNE))
    return _voiced(_tune(hz, lambda i: np.full(round(NOTE_S * RATE), off[i])), THROAT)


def _wandering(hz: float, spread: float) -> Floats:
    """Pitch that drifts within each note, over about 80 ms."""
    length = round(NOTE_S * 1000)

    def drift(i: int) -> Floats:
        slow = gaussian_filter1d(np.random.default_rng(i).standard_normal(length), 80)
        return np.repeat(spread * slow / slow.std(), RATE // 1000)[: round(NOTE_S * RATE)]

    return _voiced(_tune(hz, drift), THROAT)


def _dull(hz: float, up_db: float) -> Floats:
    """The singer's formant's region turned up by less and less."""
    sound = _voiced(_tune(hz, lambda _: np.zeros(round(NOTE_S * RATE))), THROAT)
    spectrum = rfft(sound)
    at = np.arange(len(spectrum)) * ANALYSIS_RATE / len(sound)
    spectrum[(at > RING[0]) & (at < RING[1])] *= 10 ** (up_db / 20)
    return np.asarray(irfft(spectrum, len(sound)))


def _unsteady(hz: float, jitter: float) -> Floats:
    return _vowel(hz, replace(THROAT, jitter=jitter))


def _uneven(hz: float, shimmer: float) -> Floats:
    return _vowel(hz, replace(THROAT, shimmer=shimmer))


def _airy(hz: float, noise_db: float) -> Floats:
    return _vowel(hz, replace(THROAT, noise_db=noise_db))


def _vowel(hz: float, throat: Voice) -> Floats:
    return _voiced(contour(VOWEL_S, hz), throat)


def _voiced(f0_hz: Floats, throat: Voice) -> Floats:
    return np.asarray(sing(f0_hz, throat).audio.samples, np.float64)


OF_SPEECH: tuple[Ladder[Reader], ...] = (
    Ladder("pink noise, dB of SNR", "recording_quality", (40, 30, 20, 10, 0), _noisy),
    Ladder("a room's T60, s", "recording_quality", (0.2, 0.4, 0.7, 1.1, 1.6), _ringing),
    Ladder(
        "share of samples clipped", "recording_quality", (0, 0.001, 0.005, 0.02, 0.08), _clipped
    ),
    Ladder("share of the voice made breath", "voice_quality", (0, 0.1, 0.25, 0.5, 0.8), _breathy),
    Ladder("F0 shaken every 5 ms, relative", "voice_quality", (0, 0.01, 0.03, 0.06, 0.12), _rough),
    Ladder("share of the melody kept", "expressiveness", (1, 0.75, 0.5, 0.25, 0), _flat),
    Ladder("faster than the middle rate, times", "pace", (1, 1.15, 1.3, 1.5, 1.8), _paced),
    Ladder("slower than the middle rate, times", "pace", (1, 0.87, 0.77, 0.67, 0.55), _paced),
    Ladder("pauses of 0.6 s put in", "fluency", (0, 1, 2, 3, 5), _halting),
    Ladder("vowels moved to their mean", "clarity", (0, 0.2, 0.4, 0.6, 0.8), _mumbled),
)
OF_SONG: tuple[Ladder[float], ...] = (
    Ladder("notes off by up to, cents", "intonation", (0, 10, 20, 35, 50), _detuned),
    Ladder("drift within notes, cents", "pitch_stability", (0, 8, 16, 30, 50), _wandering),
    Ladder("2.4-3.2 kHz turned up, dB", "resonance", (24, 18, 12, 6, 0), _dull),
    Ladder(
        "jitter of a held vowel, relative", "voice_quality", (0, 0.005, 0.01, 0.02, 0.04), _unsteady
    ),
    Ladder(
        "shimmer of a held vowel, relative", "voice_quality", (0, 0.03, 0.06, 0.12, 0.24), _uneven
    ),
    Ladder("breath of a held vowel, dB", "voice_quality", (-60, -35, -25, -15, -5), _airy),
)
SINGERS_HZ = (110.0, 165.0, 247.0)  # each one's lowest note
