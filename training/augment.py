"""What rooms, microphones and codecs do to a voice; nothing here delays it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import correlate, fftconvolve

from models.audio import ANALYSIS_RATE

Floats = NDArray[np.floating]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Conditions:
    """How often each thing happens to a clip, and how badly. Levels in dB, times in seconds."""

    noise: float = 0.8  # probabilities
    room: float = 0.25
    equaliser: float = 0.4
    clipping: float = 0.05
    codec: float = 0.0
    snr_db: Range = (-6.0, 30.0)
    decay_s: Range = (0.1, 0.8)  # T60
    peak_db: Range = (-30.0, 0.0)


def degrade(
    samples: Floats,
    rng: np.random.Generator,
    conditions: Conditions | None = None,
    voices: Sequence[Floats] = (),
) -> NDArray[np.float32]:
    """One clip as it might have been recorded; nothing is delayed. `voices` make the babble."""
    chosen = conditions or Conditions()
    sound: Floats = np.asarray(samples, np.float64)
    if rng.random() < chosen.equaliser:
        sound = equalised(sound, rng)
    if rng.random() < chosen.room:
        sound = in_room(sound, rng.uniform(*chosen.decay_s), rng)
    if rng.random() < chosen.noise:
        sound = mixed(sound, any_noise(len(sound), rng, voices), rng.uniform(*chosen.snr_db))
    if rng.random() < chosen.clipping:
        sound = clipped(sound, rng.uniform(0.003, 0.05))
    if rng.random() < chosen.codec:
        sound = coded(sound, CODECS[int(rng.integers(len(CODECS)))])
    return at_peak(sound, rng.uniform(*chosen.peak_db))


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to send sound: names of FFmpeg, sampling rate in Hz, bits a second."""

    container: str
    name: str
    rate: int
    bits: int


CODECS = (
    Codec("ogg", "libopus", 48_000, 12_000),
    Codec("ogg", "libopus", 48_000, 32_000),
    Codec("mp3", "libmp3lame", 16_000, 24_000),
    Codec("mp3", "libmp3lame", 16_000, 48_000),
    Codec("wav", "pcm_mulaw", 8_000, 64_000),  # the telephone
)


def coded(sound: Floats, codec: Codec) -> Floats:
    """Sent through a codec and back, the codec's delay taken out."""
    peak = np.abs(sound).max(initial=1e-9)
    back = _decoded(_encoded(np.asarray(sound / peak, np.float32), codec))
    late = _lag(sound, back)
    back = back[late:] if late >= 0 else np.pad(back, (-late, 0))
    return np.asarray(peak * np.pad(back, (0, max(0, len(sound) - len(back))))[: len(sound)])


def _encoded(sound: NDArray[np.float32], codec: Codec) -> io.BytesIO:
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as opened:
        stream = opened.add_stream(codec.name, rate=codec.rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.bit_rate = "mono", codec.bits
        frame = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
        frame.sample_rate = ANALYSIS_RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            opened.mux(packet)
    file.seek(0)
    return file


def _decoded(file: io.BytesIO) -> Floats:
    turned = av.AudioResampler("flt", "mono", ANALYSIS_RATE)
    with av.open(file, "r") as opened:
        frames = [part for frame in opened.decode(audio=0) for part in turned.resample(frame)]
        frames += turned.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float64)


def _lag(sound: Floats, back: Floats) -> int:
    """By how many samples `back` is late."""
    likeness = correlate(back, sound, "full", "fft")
    return int(np.argmax(likeness)) - (len(sound) - 1)


def any_noise(length: int, rng: np.random.Generator, voices: Sequence[Floats] = ()) -> Floats:
    """White, coloured, hum or (with voices) babble."""
    kind = rng.choice(5 if voices else 3, p=None if voices else [0.3, 0.6, 0.1])
    if kind == 0:
        return white(length, rng)
    if kind == 1:
        return coloured(length, rng.uniform(0.3, 2.0), rng)
    if kind == 2:
        return coloured(length, 1.0, rng) + 0.5 * hum(length, rng)
    return babble(length, voices, rng)


def white(length: int, rng: np.random.Generator) -> Floats:
    return rng.standard_normal(length)


def coloured(length: int, slope: float, rng: np.random.Generator) -> Floats:
    """Noise whose power falls as f to the minus `slope`: 1 is pink, 2 is brown. Unit RMS."""
    size = next_fast_len(length, real=True)
    spectrum = rfft(rng.standard_normal(size))
    spectrum *= np.maximum(np.arange(len(spectrum)), size * 20 / ANALYSIS_RATE) ** (-slope / 2)
    return _unit(irfft(spectrum, size)[:length])


def hum(length: int, rng: np.random.Generator) -> Floats:
    """Mains hum at 50 or 60 Hz with odd and even harmonics."""
    t = np.arange(length) / ANALYSIS_RATE
    base = rng.choice([50.0, 60.0])
    phases = rng.uniform(0, 2 * np.pi, 6)
    parts = [np.sin(2 * np.pi * base * (k + 1) * t + phases[k]) / (k + 1) for k in range(6)]
    return _unit(np.sum(parts, axis=0))


def babble(length: int, voices: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """Three to eight talkers at once."""
    total = np.zeros(length)
    for _ in range(rng.integers(3, 9)):
        voice = voices[int(rng.integers(len(voices)))]
        start = rng.integers(max(1, len(voice) - length))
        part = np.resize(voice[start : start + length], length)
        total += _unit(part) * rng.uniform(0.5, 1.0)
    return total


def mixed(sound: Floats, noise: Floats, snr_db: float) -> Floats:
    """The sum, with the noise set against the sound's RMS."""
    gain = _rms(sound) / (_rms(noise) + 1e-12) * 10 ** (-snr_db / 20)
    return np.asarray(sound + gain * noise)


def in_room(sound: Floats, t60: float, rng: np.random.Generator) -> Floats:
    """Reverberated: the direct sound, then early reflections and an exponential tail."""
    length = max(int(t60 * ANALYSIS_RATE), 64)
    t = np.arange(length) / ANALYSIS_RATE
    tail = rng.standard_normal(length) * 10 ** (-3 * t / t60)
    tail[: int(0.003 * ANALYSIS_RATE)] = 0
    tail *= 10 ** (-rng.uniform(-3, 12) / 20) / np.sqrt(np.sum(tail**2) + 1e-12)
    tail[0] = 1.0
    return np.asarray(fftconvolve(sound, tail)[: len(sound)])


def equalised(sound: Floats, rng: np.random.Generator, depth_db: Range = (-15, 6)) -> Floats:
    """A microphone's response: a random smooth curve over log frequency."""
    size = next_fast_len(len(sound), real=True)
    spectrum = rfft(sound, size)
    octaves = np.log2(np.maximum(np.arange(len(spectrum)) * ANALYSIS_RATE / size, 30.0))
    knots = np.linspace(np.log2(30.0), np.log2(ANALYSIS_RATE / 2), 8)
    spectrum *= 10 ** (np.interp(octaves, knots, rng.uniform(*depth_db, 8)) / 20)
    return np.asarray(irfft(spectrum, size)[: len(sound)])


def clipped(sound: Floats, fraction: float) -> Floats:
    """The loudest `fraction` of the samples flattened."""
    limit = np.quantile(np.abs(sound), 1 - fraction)
    return np.asarray(np.clip(sound, -limit, limit))


def at_peak(sound: Floats, peak_db: float) -> NDArray[np.float32]:
    """Scaled so that the largest sample is at `peak_db` dBFS."""
    gain = 10 ** (peak_db / 20) / (np.abs(sound).max(initial=0.0) + 1e-9)
    return np.asarray(sound * gain, dtype=np.float32)


def _rms(sound: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0


def _unit(sound: Floats) -> Floats:
    return np.asarray(sound / (_rms(sound) + 1e-9))
