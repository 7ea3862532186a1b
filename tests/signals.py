"""Sounds with known truth, made here."""

import io

import numpy as np
import soundfile

from models.audio import Audio

RATE = 16_000


def tone(hz: float, seconds: float = 1.0, sample_rate: int = RATE, level: float = 0.3) -> Audio:
    """A steady sine."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return Audio((level * np.sin(2 * np.pi * hz * t)).astype(np.float32), sample_rate)


def silence(seconds: float = 1.0, sample_rate: int = RATE) -> Audio:
    return Audio(np.zeros(round(seconds * sample_rate), np.float32), sample_rate)


def noise(seconds: float = 1.0, level: float = 0.1, seed: int = 0) -> Audio:
    rng = np.random.default_rng(seed)
    return Audio((level * rng.standard_normal(round(seconds * RATE))).astype(np.float32), RATE)


def join(*takes: Audio) -> Audio:
    return Audio(np.concatenate([take.samples for take in takes]), takes[0].sample_rate)


def wav(audio: Audio, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio.samples, audio.sample_rate, format="WAV", subtype=subtype)
    return buffer.getvalue()
