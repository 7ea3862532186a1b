"""Takes in which there is no voice to hear, too little of it, or too much beside it."""

import numpy as np
import soxr

from models.audio import ANALYSIS_RATE, Audio
from training import augment
from training.synthesis import Floats

CHORDS = ((60, 64, 67), (57, 60, 64), (65, 69, 72), (67, 71, 74))  # MIDI: C, a, F, G


def make(speech: Audio, other: Audio, seconds: float = 4.0, seed: int = 0) -> dict[str, Audio]:
    """By what they are; `speech` and `other` are two people at 16 kHz."""
    rng = np.random.default_rng(seed)
    length = round(seconds * ANALYSIS_RATE)
    t = np.arange(length) / ANALYSIS_RATE
    voice = np.resize(speech.samples, length).astype(np.float64)
    second = np.resize(other.samples, length).astype(np.float64)
    click = np.zeros(length)
    click[length // 2] = 0.9
    made = {
        "nothing at all": np.zeros(0),
        "0.2 s of speech": voice[: round(0.2 * ANALYSIS_RATE)],
        "silence": np.zeros(length),
        "DC": np.full(length, 0.1),
        "dither": np.round(0.7 * rng.standard_normal(length)) / 32768,
        "a click": click,
        "white noise": 0.1 * rng.standard_normal(length),
        "pink noise": 0.1 * augment.coloured(length, 1.0, rng),
        "a sine of 440 Hz": 0.3 * np.sin(2 * np.pi * 440 * t),
        "chords": chords(rng)[:length],
        "speech, 5 % clipped": augment.clipped(voice, 0.05),
        "speech at 0 dB in noise": augment.mixed(voice, augment.white(length, rng), 0.0),
        "speech at -10 dB in noise": augment.mixed(voice, augment.white(length, rng), -10.0),
        "speech from 8 kHz": soxr.resample(soxr.resample(voice, 16_000, 8_000), 8_000, 16_000),
        "two at once": 0.5 * (voice / np.abs(voice).max() + second / np.abs(second).max()),
    }
    return {
        name: Audio(np.clip(sound, -1, 1).astype(np.float32), ANALYSIS_RATE)
        for name, sound in made.items()
    }


def chords(rng: np.random.Generator) -> Floats:
    """Plucked triads, one a second."""
    t = np.arange(ANALYSIS_RATE) / ANALYSIS_RATE
    parts = []
    for chord in CHORDS:
        tones = [
            np.sin(2 * np.pi * k * 440 * 2 ** ((midi - 69) / 12) * t + rng.uniform(0, 6)) / k**1.2
            for midi in chord
            for k in range(1, 7)
        ]
        parts.append(np.exp(-2.5 * t) * np.sum(tones, axis=0))
    sound = np.concatenate(parts)
    return np.asarray(0.5 * sound / np.abs(sound).max())
