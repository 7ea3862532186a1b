"""Sounds without a voice: noises, knocks, dishes, beeps, strings, mains hum."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE
from training import augment

Samples = NDArray[np.floating]


def any_sound(length: int, rng: np.random.Generator) -> Samples:
    """One of them."""
    maker = MAKERS[rng.choice(len(MAKERS), p=SHARES)]
    return maker(length, rng)


def swelling(length: int, rng: np.random.Generator) -> Samples:
    """Noise with bands of its own, swelling and ebbing."""
    noise = augment.equalised(augment.any_noise(length, rng), rng, (-25.0, 10.0))
    knots = rng.uniform(-rng.uniform(0, 30), 0, rng.integers(3, 40))
    swell = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(knots)), knots)
    return np.asarray(noise * 10 ** (swell / 20))


def clicks(length: int, rng: np.random.Generator) -> Samples:
    """Knocks and key strokes over a faint noise."""
    sound = augment.white(length, rng) * 10 ** rng.uniform(-4, -1.5)
    for start in rng.integers(0, length, rng.integers(1, 25)):
        decay = np.exp(-np.arange(min(length - start, 3000)) / rng.uniform(10, 400))
        sound[start : start + len(decay)] += decay * rng.standard_normal(len(decay))
    return augment.equalised(sound, rng)


def dishes(length: int, rng: np.random.Generator) -> Samples:
    """Struck things, each with modes of no harmony, over noise and hum."""
    under = augment.coloured(length, rng.uniform(0, 2), rng) + augment.hum(length, rng)
    sound = under * 10 ** rng.uniform(-3, -0.3)
    for start in rng.integers(0, length, rng.integers(2, 40)):
        sound[start:] += 10 ** rng.uniform(-1, 0.5) * _struck(length - int(start), rng)
    return augment.equalised(sound, rng)


def _struck(length: int, rng: np.random.Generator) -> Samples:
    t = np.arange(min(length, round(rng.uniform(0.1, 1.0) * ANALYSIS_RATE))) / ANALYSIS_RATE
    sound, dull = np.zeros(length), np.exp(rng.uniform(np.log(3), np.log(60)))
    for hz in np.exp(rng.uniform(np.log(250), np.log(7800), rng.integers(1, 12))):
        decay = np.exp(-t * dull * rng.uniform(0.7, 3))
        sound[: len(t)] += rng.uniform(0.1, 1) * decay * np.sin(2 * np.pi * hz * t)
    blow = np.exp(-t * 500) * rng.standard_normal(len(t))
    sound[: len(t)] += rng.uniform(0, 2) * blow
    return sound


def tones(length: int, rng: np.random.Generator) -> Samples:
    """Beeps and whines of up to four sines, on and off."""
    t = np.arange(length) / ANALYSIS_RATE
    sines = [np.sin(2 * np.pi * np.exp(rng.uniform(4, 8.5)) * t) for _ in range(rng.integers(1, 5))]
    gate = np.repeat(rng.random(1 + length // 3200) < rng.uniform(0.4, 1), 3200)[:length]
    faint = augment.white(length, rng) * 10 ** rng.uniform(-6, -2)
    return np.asarray(np.sum(sines, axis=0) * gate + faint)


def plucked(length: int, rng: np.random.Generator) -> Samples:
    """Strings and bells: decaying partials, several at once."""
    t, sound = np.arange(length) / ANALYSIS_RATE, np.zeros(length)
    for start in rng.integers(0, length, rng.integers(2, 12)):
        hz, decay = 80 * 2 ** rng.uniform(0, 4), rng.uniform(3, 10)
        for k in range(1, int(rng.integers(2, 9))):
            tail = np.exp(-decay * k**0.5 * t[: length - start]) / k
            sound[start:] += tail * np.sin(2 * np.pi * hz * k * t[: length - start])
    return sound


MAKERS: tuple[Callable[[int, np.random.Generator], Samples], ...] = (
    augment.any_noise,
    augment.white,
    swelling,
    clicks,
    dishes,
    tones,
    plucked,
    augment.hum,
)
SHARES = (0.2, 0.1, 0.22, 0.08, 0.15, 0.12, 0.07, 0.06)
