"""Clips with exact F0 for the pitch recipe: speech and song by WORLD, synthetic voices, tones."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import soxr
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE
from training import melodies, resynthesis
from training.data import Clip
from training.synthesis import RATE, Voice, sing

LOWEST, HIGHEST = 46.0, 1400.0  # Hz
LONGEST = 8  # seconds taken of a clip

Floats = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """Sound at 16 kHz and its F0 at every 10 ms: 0 where unvoiced, NaN where nobody knows."""

    samples: NDArray[np.float32]
    f0_hz: NDArray[np.float32]


def spoken(speech: resynthesis.Speech, rng: np.random.Generator, octaves: float = 0.9) -> Known:
    """The clip's own melody, transposed."""
    f0 = 2 ** (speech.octaves + rng.uniform(-octaves, octaves))
    return _known(speech, np.where(speech.voiced, f0, 0.0))


def sung(speech: resynthesis.Speech, rng: np.random.Generator) -> Known:
    """The clip drawn out and put to a melody."""
    slow = speech.stretched(rng.uniform(1.0, 2.5))
    rate = 1000 / resynthesis.PERIOD
    f0 = melodies.melody(len(slow.octaves), rate, rng, 60.0, HIGHEST)
    return _known(slow, np.where(slow.voiced, f0, 0.0))


def natural(sound: NDArray[np.float32], speech: resynthesis.Speech) -> Known:
    """The clip as it was, known where two estimates agree."""
    f0 = np.where(speech.voiced, 2**speech.octaves, np.where(speech.doubtful, np.nan, 0.0))
    samples = 0.7 * sound / (np.abs(sound).max() + 1e-9)
    return Known(samples, f0[::2].astype(np.float32))


def synthetic(rng: np.random.Generator, seconds: float = 4.0) -> Known:
    """A source-filter voice with its throat set at random, with rests."""
    f0 = melodies.melody(round(seconds * RATE / 48), 1000.0, rng, LOWEST, HIGHEST)
    f0 = np.repeat(f0 * _phrases(len(f0), 1000.0, rng), 48)
    voice = Voice(
        formants=tuple(
            (centre * rng.uniform(0.7, 1.35), bandwidth * rng.uniform(0.7, 2.0))
            for centre, bandwidth in Voice().formants
        ),
        jitter=rng.choice([0.0, 0.005, 0.015]),
        shimmer=rng.choice([0.0, 0.03, 0.1]),
        tilt_hz=rng.uniform(50, 1500),
        noise_db=rng.uniform(-45, -10),
    )
    made = sing(f0, voice, seed=int(rng.integers(1 << 30)))
    return Known(made.audio.samples, made.f0_hz.astype(np.float32))


def tone(rng: np.random.Generator, seconds: float = 4.0) -> Known:
    """A few harmonics, often only the first: sines, whistles, instruments."""
    frames = round(seconds * 1000)
    f0 = melodies.melody(frames, 1000.0, rng, LOWEST, HIGHEST)
    gate = _phrases(frames, 1000.0, rng)
    hz = np.interp(np.arange(frames * 32) / 32, np.arange(frames), f0)  # at 32 kHz
    phase = 2 * np.pi * np.cumsum(hz) / 32_000
    count, roll = rng.choice([1, 1, 2, 4, 12]), rng.uniform(0.3, 2.0)
    levels = np.arange(1, count + 1) ** -roll * rng.uniform(0.2, 1.0, count)
    sound = np.sum([a * np.sin((k + 1) * phase) for k, a in enumerate(levels)], axis=0)
    sound *= np.interp(np.arange(frames * 32) / 32, np.arange(frames), _soft(gate))
    samples = soxr.resample(0.7 * sound / np.abs(sound).max(), 32_000, ANALYSIS_RATE)
    return Known(samples.astype(np.float32), (f0 * gate)[::10].astype(np.float32))


class Making(Protocol):
    def __call__(self, clip: Clip, seed: int) -> list[Known]: ...


def from_clip(clip: Clip, seed: int) -> list[Known]:
    """One clip as it was, spoken at two other pitches, and sung."""
    rng, sound, speech = _taken_apart(clip, seed)
    shaped = [speech.warped(rng.uniform(0.85, 1.2)) for _ in range(2)]
    known = [spoken(speech, rng), spoken(shaped[0], rng), sung(shaped[1], rng)]
    return [natural(sound, speech), *known]


def plainly(clip: Clip, seed: int) -> list[Known]:
    """One clip spoken once, as in METHODS."""
    rng, _, speech = _taken_apart(clip, seed)
    return [spoken(speech, rng, 0.7)]


def _taken_apart(
    clip: Clip, seed: int
) -> tuple[np.random.Generator, NDArray[np.float32], resynthesis.Speech]:
    rng = np.random.default_rng([seed, *clip.path.name.encode()])
    sound = clip.audio().samples[: LONGEST * ANALYSIS_RATE]
    return rng, sound, resynthesis.analyse(sound)


def of_clips(
    clips: Sequence[Clip],
    folder: Path,
    seed: int,
    made: Making = from_clip,
) -> list[Known]:
    """What is made of all clips, by two processes, and kept in `folder` for the next time."""
    return _kept(partial(made, seed=seed), clips, folder)


def imagined(count: int, folder: Path, seed: int) -> list[Known]:
    """`count` synthetic voices and as many tones."""
    return _kept(_imagine, [seed * 100_000 + i for i in range(count)], folder)


def _imagine(seed: int) -> list[Known]:
    rng = np.random.default_rng(seed)
    return [synthetic(rng), tone(rng)]


def _kept(make: Callable[[T], list[Known]], sources: Sequence[T], folder: Path) -> list[Known]:
    if not sources:
        return []
    if not folder.exists():
        fresh = folder.with_suffix(".fresh")
        fresh.mkdir(parents=True, exist_ok=True)
        # Spawned: a worker of Ray has threads that a fork would not bring along.
        with multiprocessing.get_context("spawn").Pool(2, os.nice, (10,)) as pool:
            for index, made in enumerate(pool.imap(make, sources)):
                _write(fresh / f"{index:05d}.npz", made)
        fresh.rename(folder)
    return [known for path in sorted(folder.glob("*.npz")) for known in _read(path)]


def _write(path: Path, made: Iterable[Known]) -> None:
    arrays: dict[str, Any] = {}
    for index, known in enumerate(made):
        arrays[f"x{index}"] = (known.samples * 32767).astype(np.int16)
        arrays[f"f{index}"] = known.f0_hz
    np.savez(path, **arrays)


def _read(path: Path) -> list[Known]:
    with np.load(path) as kept:
        return [
            Known(kept[f"x{i}"].astype(np.float32) / 32768, kept[f"f{i}"])
            for i in range(len(kept.files) // 2)
        ]


def _known(speech: resynthesis.Speech, f0_hz: Floats) -> Known:
    f0 = np.where((f0_hz >= LOWEST) & (f0_hz <= HIGHEST), f0_hz, 0.0)
    samples = resynthesis.synthesise(speech, f0)
    return Known(samples.astype(np.float32), f0[::2].astype(np.float32))


def _phrases(frames: int, rate: float, rng: np.random.Generator) -> Floats:
    """1 while sounding, 0 in the rests."""
    gate, at = np.zeros(frames), int(rate * rng.uniform(0, 0.5))
    while at < frames:
        end = at + int(rate * rng.uniform(0.3, 2.0))
        gate[at:end] = 1.0
        at = end + int(rate * rng.uniform(0.1, 0.6))
    return gate


def _soft(gate: Floats) -> Floats:
    return np.asarray(np.convolve(gate, np.full(15, 1 / 15), "same"))
