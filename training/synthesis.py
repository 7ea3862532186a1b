"""Voices with known truth: a source-filter synthesiser, sample by sample under our control."""

from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import lfilter

from models.audio import ANALYSIS_RATE, Audio

RATE = 48_000  # Hz: of the synthesis, before it is brought down to 16 kHz
VOWEL_A = ((730.0, 80.0), (1090.0, 90.0), (2440.0, 120.0), (3400.0, 150.0), (4500.0, 200.0))
SINC_HALF = 24  # samples each side of a pulse

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Voice:
    """How the throat is set: perturbations are standard deviations relative to the mean."""

    formants: tuple[tuple[float, float], ...] = VOWEL_A  # (centre, bandwidth) in Hz
    jitter: float = 0.0
    shimmer: float = 0.0
    tilt_hz: float = 100.0  # corner of the two-pole glottal low-pass
    noise_db: float | None = None  # aspiration noise re the voiced part; None for none
    level: float = 0.5  # peak


@dataclass(frozen=True, slots=True)
class Sung:
    """A synthesised take with its truth."""

    audio: Audio
    f0_hz: Floats  # at every 10 ms, 0 where silent
    pulses_s: Floats  # glottal pulses
    amplitudes: Floats = field(repr=False)  # of each pulse


def contour(
    seconds: float, hz: float, *, vibrato_hz: float = 0, vibrato_cents: float = 0
) -> Floats:
    """F0 at every synthesis sample: constant, or with vibrato of the given half-extent."""
    t = np.arange(round(seconds * RATE)) / RATE
    cents = vibrato_cents * np.sin(2 * np.pi * vibrato_hz * t)
    return np.asarray(hz * 2 ** (cents / 1200))


def glide(seconds: float, start_hz: float, end_hz: float) -> Floats:
    """F0 that moves evenly in semitones."""
    return np.geomspace(start_hz, end_hz, round(seconds * RATE))


def rest(seconds: float) -> Floats:
    """Silence between notes."""
    return np.zeros(round(seconds * RATE))


def sing(f0_hz: Floats, voice: Voice | None = None, seed: int = 0) -> Sung:
    """Voice an F0 contour given at every synthesis sample (0: silent)."""
    voice, rng = voice or Voice(), np.random.default_rng(seed)
    times, amplitudes = _pulses(f0_hz, voice, rng)
    source = _pulse_train(len(f0_hz), times, amplitudes)
    source = _glottal(source, voice.tilt_hz)
    if voice.noise_db is not None:
        source = source + _aspiration(source, f0_hz > 0, voice.noise_db, rng)
    sound = _tract(source, voice.formants)
    sound = voice.level * sound / (np.abs(sound).max() + 1e-12)
    samples = soxr.resample(sound, RATE, ANALYSIS_RATE, quality="VHQ").astype(np.float32)
    hop = RATE // 100
    return Sung(Audio(samples, ANALYSIS_RATE), f0_hz[::hop], times / RATE, amplitudes)


def _pulses(f0_hz: Floats, voice: Voice, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Pulse times in samples where the phase wraps, each period perturbed by the jitter."""
    times, position = [], 0.0
    while position < len(f0_hz) - 1:
        hz = f0_hz[int(position)]
        if hz <= 0:
            position += RATE / 1000
            continue
        times.append(position)
        position += RATE / hz * (1 + voice.jitter * rng.standard_normal())
    found = np.array(times)
    return found, 1 + voice.shimmer * rng.standard_normal(len(found))


def _pulse_train(length: int, times: Floats, amplitudes: Floats) -> Floats:
    """Band-limited pulses at fractional times."""
    train = np.zeros(length + 2 * SINC_HALF)
    offsets = np.arange(-SINC_HALF, SINC_HALF + 1)
    window = np.hanning(2 * SINC_HALF + 3)[1:-1]
    for time, amplitude in zip(times, amplitudes, strict=True):
        centre = int(time)
        train[centre : centre + len(offsets)] += (
            amplitude * np.sinc(0.45 * (offsets + centre - time)) * window
        )
    return train[SINC_HALF : SINC_HALF + length]


def _glottal(source: Floats, corner_hz: float) -> Floats:
    pole = np.exp(-2 * np.pi * corner_hz / RATE)
    flow = lfilter([1.0], [1.0, -2 * pole, pole * pole], source)
    return np.asarray(np.diff(flow, prepend=0.0))


def _aspiration(
    source: Floats, voiced: NDArray[np.bool_], db: float, rng: np.random.Generator
) -> Floats:
    hiss = lfilter([1.0, -0.9], [1.0], rng.standard_normal(len(source))) * voiced
    gain = np.sqrt(np.mean(source[voiced] ** 2) / np.mean(hiss[voiced] ** 2)) * 10 ** (db / 20)
    return np.asarray(gain * hiss)


def _tract(source: Floats, formants: tuple[tuple[float, float], ...]) -> Floats:
    for centre, bandwidth in formants:
        radius = np.exp(-np.pi * bandwidth / RATE)
        middle = -2 * radius * np.cos(2 * np.pi * centre / RATE)
        source = lfilter([1 + middle + radius**2], [1, middle, radius**2], source)
    return np.asarray(source)
