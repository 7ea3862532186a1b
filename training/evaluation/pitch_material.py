"""What pitch is measured on: speech and voices whose F0 is exact, and speech as it was spoken."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from models.audio import ANALYSIS_RATE
from models.spectra import HOP
from training import data, resynthesis, voices
from training.data import Clip
from training.recipes.pitch import CORPORA, split
from training.synthesis import RATE, Voice, sing
from training.voices import Known

SECONDS = 3  # of a clip that is made again
NATURAL_S = 4  # of a clip as it was: some begin with a second of silence
TRANSPOSED = 0.7  # octaves at most, as in METHODS
SEED, IMAGINED_SEED = 1, 7_700_000  # the second is far from those of the training material
IMAGINED = 24  # voices
ORDER = 18  # of linear prediction: two poles a kilohertz, and two
FRAME = 320  # samples: 20 ms
STEP = round(RATE * resynthesis.PERIOD / 1000)  # samples of the synthesis to a WORLD frame

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Uttered:
    """A clip of a speaker, with its F0 where anybody knows it."""

    speaker: str
    known: Known


@dataclass(frozen=True, slots=True)
class Spoken:
    """A clip as it was."""

    speaker: str  # the clip itself where nobody knows
    samples: NDArray[np.float32]  # at 16 kHz


@dataclass(frozen=True, slots=True)
class Exact:
    """The same held-out speakers twice: by WORLD, and by linear prediction."""

    world: list[Uttered]
    predicted: list[Uttered]


def held_out(corpora: Path) -> list[Clip]:
    """Clips of the speakers that no training has heard."""
    return data.by_speaker(data.corpora(corpora, CORPORA)).held_out


def exact(corpora: Path) -> Exact:
    """Held-out speech given an F0 of our choosing: twice by WORLD, once by linear prediction."""
    clips = held_out(corpora)
    with tempfile.TemporaryDirectory() as folder:
        known = voices.of_clips(clips, Path(folder) / "exact", SEED, remade)
    uttered = [Uttered(clips[i // 3].speaker, one) for i, one in enumerate(known)]
    return Exact([one for i, one in enumerate(uttered) if i % 3 < 2], uttered[2::3])


def remade(clip: Clip, seed: int) -> list[Known]:
    """Two WORLD resyntheses of a clip's first seconds, and one by linear prediction."""
    rng = np.random.default_rng([seed, *clip.path.name.encode()])
    sound = clip.audio().samples[: SECONDS * ANALYSIS_RATE]
    speech = resynthesis.analyse(sound, second_opinion())
    twice = [voices.spoken(speech, rng, TRANSPOSED) for _ in range(2)]
    return [*twice, predicted(sound, speech, rng)]


def second_opinion() -> resynthesis.Tracker | None:
    """Praat's, as METHODS' material was made; the waveform's own where Praat is not here."""
    try:
        import parselmouth
    except ImportError:
        return None

    def praat(sound: Floats, times: Floats) -> Floats:
        pitch = parselmouth.Sound(sound, ANALYSIS_RATE).to_pitch_ac(
            time_step=resynthesis.PERIOD / 1000,
            pitch_floor=resynthesis.LOWEST,
            pitch_ceiling=resynthesis.HIGHEST,
        )
        found = [pitch.get_value_at_time(time) for time in times]
        return np.asarray(np.nan_to_num(np.array(found, float)))

    return praat


def predicted(
    sound: NDArray[np.float32], speech: resynthesis.Speech, rng: np.random.Generator
) -> Known:
    """The clip transposed: pulses and noise through its linear-prediction filters (Atal 1971).

    Nothing of it is WORLD's but where the clip is voiced and which way its melody goes.
    """
    f0 = _contour(speech, rng.uniform(-TRANSPOSED, TRANSPOSED))
    throat = Voice(formants=(), tilt_hz=6000.0, jitter=0.003, shimmer=0.02, noise_db=-25.0)
    pulses = sing(f0, throat, seed=int(rng.integers(1 << 30)))
    length = min(len(sound), len(pulses.audio.samples))
    buzz, voiced = pulses.audio.samples[:length], np.repeat(pulses.f0_hz > 0, HOP)[:length]
    hiss = 0.3 * buzz[voiced].std() if voiced.any() else 1.0
    source = np.where(voiced, buzz, hiss * rng.standard_normal(length))
    samples = _through_filters(source, sound[:length].astype(np.float64))
    return Known(samples, pulses.f0_hz[: length // HOP + 1].astype(np.float32))


def _contour(speech: resynthesis.Speech, octaves: float) -> Floats:
    """Its F0 transposed, at every sample of the synthesis; 0 where unvoiced."""
    inside = speech.voiced & (speech.octaves + octaves >= np.log2(voices.LOWEST))
    if not inside.any():
        return np.zeros(len(inside) * STEP)
    at = np.arange(len(inside) * STEP) / STEP
    line = np.interp(at, np.flatnonzero(inside), speech.octaves[inside]) + octaves
    gate = inside[np.minimum(at.round().astype(int), len(inside) - 1)]
    return np.where(gate, 2**line, 0.0)


def imagined() -> list[Uttered]:
    """Source-filter voices with throats set at random; each counts as a speaker."""
    made = [voices.synthetic(np.random.default_rng(IMAGINED_SEED + i)) for i in range(IMAGINED)]
    return [Uttered(str(index), known) for index, known in enumerate(made)]


def natural(corpora: Path) -> dict[str, list[Spoken]]:
    """Speech as it was, by corpus; nothing of it was trained on."""
    trained = {clip.path for clip in split(corpora).train}
    orders = [c for c in data.corpus(corpora, "picovoice_intent") if c.path not in trained]
    chosen = {
        "LibriSpeech, held out": held_out(corpora),
        "Picovoice, other orders": _spread(orders, 20),
        "RAVDESS": _each_speaker(data.corpus(corpora, "ravdess"), 2),
        "EMO-DB": _each_speaker(data.corpus(corpora, "emodb"), 6),
    }
    return {name: [_spoken(clip) for clip in clips] for name, clips in chosen.items() if clips}


def _spoken(clip: Clip) -> Spoken:
    samples = clip.audio().samples[: NATURAL_S * ANALYSIS_RATE]
    return Spoken(clip.speaker or clip.path.name, samples)


def _each_speaker(clips: Sequence[Clip], count: int) -> list[Clip]:
    speakers = sorted({clip.speaker for clip in clips})
    return [
        clip
        for speaker in speakers
        for clip in _spread([one for one in clips if one.speaker == speaker], count)
    ]


def _spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most `count`, as far apart in the list as can be."""
    at = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    return [clips[i] for i in at]


def _through_filters(source: Floats, sound: Floats) -> NDArray[np.float32]:
    """The source with the spectrum and the level that the sound has, frame by frame."""
    window, hop = np.hanning(FRAME + 1)[:-1], FRAME // 2
    made = np.zeros(len(sound) + FRAME)
    for start in range(0, len(sound) - FRAME + 1, hop):
        part = np.s_[start : start + FRAME]
        power = float(np.square(sound[part] * window).sum())
        if power < 1e-8:
            continue
        driven = np.pad(source[part] * window, (0, FRAME))
        rung = lfilter([1.0], _predictor(sound[part] * window), driven)
        level = np.sqrt(power / (np.square(rung).sum() + 1e-12))
        made[start : start + 2 * FRAME] += level * rung
    made = made[: len(sound)]
    return np.asarray(0.7 * made / (np.abs(made).max() + 1e-9), np.float32)


def _predictor(windowed: Floats) -> Floats:
    """(ORDER + 1,): the inverse filter of the autocorrelation method."""
    lags = np.array([windowed[lag:] @ windowed[: len(windowed) - lag] for lag in range(ORDER + 1)])
    lags[0] *= 1 + 1e-4  # 40 dB below: no pole comes near the circle
    return np.asarray(np.r_[1.0, -solve_toeplitz(lags[:-1], lags[1:])])
