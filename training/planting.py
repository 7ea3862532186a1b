"""Degradations planted in clean voices, so that what was done to a recording is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve, istft, stft

from models import conditions
from models.audio import ANALYSIS_RATE
from training import augment, rooms

Noise = Literal["white", "pink", "brown", "babble", "hum", "impulsive", "shaped"]
NOISES: tuple[Noise, ...] = get_args(Noise)
Filter = Literal["steep", "gentle"]
ACTIVE_DB = 30.0  # speech lies within this of its loudest 25 ms
QUIET = 0.15  # share of the frames that tell a recording's own noise
CLEANEST_DB = -20.0  # as far as that noise is taken down
FULL_HZ = ANALYSIS_RATE / 2
SURE_HZ = 7800.0  # a clean voice heard up to here is not limited

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Clean:
    """A voice to plant in: what is left of its own noise, and how far up it reaches."""

    samples: NDArray[np.float32]
    noise: float  # mean square
    width_hz: float
    made: bool = False  # by the synthesiser


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to a voice, in this order: room, noise, filter, clipping."""

    noise: Noise = "white"
    snr_db: float | None = None  # None: no noise is added
    room: rooms.Design | None = None
    width_hz: float = FULL_HZ
    filter: Filter = "steep"
    hiss_after: bool = False  # the noise is the recorder's: the filter does not touch it
    clipped: float = 0.0  # share of the samples
    hum_db: float | None = None  # re the voice
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Planted:
    """A degraded voice and the truth: its ratio is to all noise, hum and the voice's own too."""

    samples: NDArray[np.float32]
    snr_db: float
    width_hz: float
    plan: Plan


def clean(samples: Floats) -> Clean:
    """A recording whose own steady noise is taken down by up to 20 dB, its power known."""
    sound = np.asarray(samples, np.float64) - np.mean(samples)
    width = conditions.bandwidth_hz(sound, None)
    sound = _denoised(sound)
    power = conditions.levels(sound)
    sounding = np.sort(power[power > 0])
    quiet = sounding[: max(5, round(QUIET * len(sounding)))]
    return Clean(sound.astype(np.float32), float(quiet.mean()) if len(quiet) else 0.0, width)


def _denoised(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wiener gain against the quietest frames' spectrum."""
    _, _, bins = stft(sound, nperseg=512, noverlap=384)
    power = np.abs(bins) ** 2
    frames = np.argsort(power.sum(0))[: max(5, round(QUIET * power.shape[1]))]
    noise = power[:, frames].mean(1, keepdims=True)
    smooth = uniform_filter(power, (3, 3))
    gain = np.maximum(1 - 3 * noise / (smooth + 1e-20), 10 ** (CLEANEST_DB / 20))
    _, back = istft(bins * gain, nperseg=512, noverlap=384)
    return np.asarray(np.pad(back, (0, max(len(sound) - len(back), 0)))[: len(sound)])


def plant(voice: Clean, plan: Plan, others: Sequence[Floats] = ()) -> Planted:
    """The voice after all that the plan says; `others` talk in the babble."""
    rng = np.random.default_rng(plan.seed)
    speech: Floats = np.asarray(voice.samples, np.float64)
    if plan.room is not None:
        speech = fftconvolve(speech, plan.room.built.response)[: len(speech)]
    noise, own = _noise(speech, plan, rng, others), voice.noise
    if plan.width_hz < FULL_HZ:
        shape = _response(len(speech), plan)
        speech = _filtered(speech, shape)
        noise = noise if plan.hiss_after else _filtered(noise, shape)
        own *= plan.width_hz / FULL_HZ
    if plan.hum_db is not None:
        lines = augment.hum(len(speech), rng)
        noise = noise + lines * np.sqrt(active_power(speech) * 10 ** (plan.hum_db / 10))
    ratio = active_power(speech) / (np.mean(noise**2) + own + 1e-20)
    sound: Floats = np.asarray(speech + noise)
    if plan.clipped:
        sound = augment.clipped(sound, plan.clipped)
    width = min(plan.width_hz, voice.width_hz)
    return Planted(augment.at_peak(sound, -3.0), 10 * float(np.log10(ratio)), width, plan)


def _noise(
    speech: Floats, plan: Plan, rng: np.random.Generator, others: Sequence[Floats]
) -> Floats:
    if plan.snr_db is None:
        return np.zeros(len(speech))
    raw = _NOISES[plan.noise](len(speech), rng, others)
    power = active_power(speech) * 10 ** (-plan.snr_db / 10)
    return np.asarray(raw * np.sqrt(power / (np.mean(raw**2) + 1e-20)))


def active_power(samples: Floats) -> float:
    """Mean square of the 25 ms that lie within 30 dB of the loudest."""
    power = conditions.levels(np.asarray(samples, np.float64))
    return float(power[power >= power.max() * 10 ** (-ACTIVE_DB / 10)].mean())


def _response(length: int, plan: Plan) -> Floats:
    """The filter's gain at each frequency: as of a resampler, or of Butterworth's of order 8."""
    size = next_fast_len(length, real=True)
    share = np.arange(size // 2 + 1) * ANALYSIS_RATE / size / plan.width_hz
    steep, gentle = np.clip(1 + (1 - share) / 0.03, 1e-4, 1), 1 / np.sqrt(1 + share**16)
    return np.asarray(steep if plan.filter == "steep" else gentle)


def _filtered(sound: Floats, response: Floats) -> Floats:
    size = next_fast_len(len(sound), real=True)
    return np.asarray(irfft(rfft(sound, size) * response, size)[: len(sound)])


Maker = Callable[[int, np.random.Generator, Sequence[Floats]], Floats]


def _babble(length: int, rng: np.random.Generator, others: Sequence[Floats]) -> Floats:
    """Talkers met at any moment: all recordings begin with silence, but not at once."""
    rolled = [np.roll(other, int(rng.integers(len(other)))) for other in others]
    return augment.babble(length, rolled, rng)


def _impulsive(length: int, rng: np.random.Generator) -> Floats:
    """Clicks, knocks and key strokes, one to twelve a second."""
    sound = np.zeros(length)
    count = max(1, round(rng.uniform(1, 12) * length / ANALYSIS_RATE))
    for start in rng.integers(0, length, count):
        size = min(length - int(start), 2400)
        decay = np.exp(-np.arange(size) / rng.uniform(8, 400))
        sound[start : start + size] += rng.uniform(0.3, 1) * decay * rng.standard_normal(size)
    return sound


def _shaped(length: int, rng: np.random.Generator) -> Floats:
    """Noise of a random colour with bands of its own, often swelling."""
    noise = augment.coloured(length, rng.uniform(0, 2), rng)
    noise = augment.equalised(noise, rng, (-25.0, 10.0))
    t = np.arange(length) / ANALYSIS_RATE
    swell = rng.choice([0.0, rng.uniform(0, 0.9)]) * np.sin(2 * np.pi * rng.uniform(0.3, 6) * t)
    return np.asarray(noise * (1 + swell))


_NOISES: dict[str, Maker] = {
    "white": lambda length, rng, _: augment.white(length, rng),
    "pink": lambda length, rng, _: augment.coloured(length, 1.0, rng),
    "brown": lambda length, rng, _: augment.coloured(length, 2.0, rng),
    "babble": _babble,
    "hum": lambda length, rng, _: augment.hum(length, rng),
    "impulsive": lambda length, rng, _: _impulsive(length, rng),
    "shaped": lambda length, rng, _: _shaped(length, rng),
}


def worse(plan: Plan, rng: np.random.Generator) -> Plan:
    """The same recording with more of one thing, drawn at random."""
    kind = rng.choice(5, p=[0.35, 0.3, 0.15, 0.1, 0.1])
    if kind == 1 and plan.room is not None:
        return replace(plan, room=replace(plan.room, t60_s=plan.room.t60_s * rng.uniform(1.2, 2.5)))
    if kind == 2:
        return replace(plan, width_hz=plan.width_hz * rng.uniform(0.45, 0.9))
    if kind == 3:
        return replace(plan, clipped=plan.clipped + rng.uniform(0.01, 0.1))
    if kind == 4:
        hum = -30.0 if plan.hum_db is None else plan.hum_db
        return replace(plan, hum_db=hum + rng.uniform(0, 20))
    snr = 40.0 if plan.snr_db is None else plan.snr_db
    return replace(plan, snr_db=snr - rng.uniform(2, 15))
