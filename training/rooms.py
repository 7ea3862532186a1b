"""Impulse responses of rooms with a known reverberation time: image sources, exponential tails."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE

SOUND = 343.0  # m/s
EARLY_S = 0.05  # ISO 3382: what comes sooner helps to understand
MIXING_S = 0.06  # image sources up to here, noise after

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Room:
    """The direct sound comes at sample 0, with a peak of 1."""

    response: Floats
    t60_s: float

    @property
    def c50_db(self) -> float:
        """Clarity index: what comes within 50 ms over what comes later."""
        early = round(EARLY_S * ANALYSIS_RATE)
        power = self.response**2
        return float(10 * np.log10(power[:early].sum() / (power[early:].sum() + 1e-6)))


@dataclass(frozen=True)
class Design:
    """A room that can be built again, or built with longer echoes and all else the same."""

    t60_s: float
    metres: float | None  # from the voice, in a shoebox; None: an exponential tail
    direct_db: float  # over that tail
    seed: int

    @cached_property
    def built(self) -> Room:
        rng = np.random.default_rng(self.seed)
        if self.metres is None:
            return tail(self.t60_s, self.direct_db, rng)
        return shoebox(self.t60_s, self.metres, rng)


def design(rng: np.random.Generator, t60_s: float | None = None) -> Design:
    """A room of a size, a distance and (if not given) a reverberation time at random."""
    return Design(
        t60_s=t60_s or float(np.exp(rng.uniform(np.log(0.12), np.log(1.4)))),
        metres=float(np.exp(rng.uniform(np.log(0.25), np.log(4)))) if rng.random() < 0.6 else None,
        direct_db=rng.uniform(-6, 15),
        seed=int(rng.integers(1 << 31)),
    )


def tail(t60_s: float, direct_db: float, rng: np.random.Generator) -> Room:
    """The direct sound over an exponential tail of noise by `direct_db`."""
    length = max(round(1.1 * t60_s * ANALYSIS_RATE), 64)
    decay = rng.standard_normal(length) * _fall(length, t60_s)
    decay[: int(rng.uniform(0.001, 0.02) * ANALYSIS_RATE)] = 0
    decay *= 10 ** (-direct_db / 20) / np.sqrt((decay**2).sum() + 1e-12)
    decay[0] = 1.0
    return Room(decay, t60_s)


def shoebox(t60_s: float, metres: float, rng: np.random.Generator) -> Room:
    """A rectangular room, the voice `metres` away (Allen & Berkley 1979), with a diffuse tail.

    Walls absorb what Eyring's formula asks for that time; after 60 ms the reflections are too
    dense to be told apart and noise of the same envelope takes their place.
    """
    size = rng.uniform((3, 2.5, 2.3), (9, 7, 4))
    walls = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    kept = np.exp(-0.161 * size.prod() / (walls * t60_s))  # of the energy, at a wall
    listener = rng.uniform(0.2, 0.8, 3) * size
    voice = np.clip(listener + metres * _direction(rng), 0.1, size - 0.1)
    length = max(round(1.1 * t60_s * ANALYSIS_RATE), 64)
    response = _images(size, listener, voice, np.sqrt(kept), length)
    mixing = min(round(MIXING_S * ANALYSIS_RATE), length)
    joined = response[mixing // 2 : mixing]
    noise = rng.standard_normal(length) * _fall(length, t60_s)
    level = np.sqrt((joined**2).sum() / ((noise[mixing // 2 : mixing] ** 2).sum() + 1e-12))
    response[mixing:] = level * noise[mixing:]
    return Room(response / response[0], t60_s)


def _fall(length: int, t60_s: float) -> Floats:
    return np.asarray(10 ** (-3 * np.arange(length) / (t60_s * ANALYSIS_RATE)))


def _direction(rng: np.random.Generator) -> Floats:
    towards = rng.standard_normal(3)
    return np.asarray(towards / np.sqrt((towards**2).sum()))


def _images(size: Floats, listener: Floats, voice: Floats, kept: float, length: int) -> Floats:
    """Arrivals of the mirrored voices within the mixing time, re the direct one's time."""
    reach = SOUND * (MIXING_S + 0.03)
    counts = np.ceil(reach / size / 2).astype(int)
    ranges = [np.arange(-count, count + 1) for count in counts]
    order = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 1, 3)
    flips = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(1, -1, 3)
    places = 2 * order * size + np.where(flips == 1, -voice, voice)
    distance = np.sqrt(((places - listener) ** 2).sum(-1))
    bounces = np.abs(2 * order - flips).sum(-1)
    direct = np.sqrt(((voice - listener) ** 2).sum())
    at = np.round((distance - direct) / SOUND * ANALYSIS_RATE).astype(int)
    inside = (at >= 0) & (at < length)
    return np.asarray(np.bincount(at[inside], (kept**bounces / distance)[inside], length))
