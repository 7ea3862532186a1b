"""Speech whose place is known, put into noises and rooms that no training has seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.activity import MEL
from models.audio import ANALYSIS_RATE
from training import augment, data
from training.recipes.activity import CORPORA, at_snr, labels_of

TALKERS = 6  # of the babble
BEFORE, AFTER = 100, 120  # frames of silence around each recording
HUSH_DB = -60.0  # white noise under the speech, so that no silence is digital
TAIL = 25  # frames after speech in a room that are not judged

Samples = NDArray[np.floating]
Labels = NDArray[np.float32]  # a frame of 10 ms: 1 speech, 0 none, nan not judged
Change = Callable[["Take", np.random.Generator], Samples]


@dataclass(frozen=True, slots=True)
class Take:
    """A recording and where its speaker speaks."""

    speaker: str
    samples: Samples
    truth: Labels


def takes(corpora: Path) -> list[Take]:
    """Speakers the recipe holds out, and one clip of every RAVDESS actor; silence around each."""
    spoken = data.by_speaker([c for c in data.corpora(corpora, CORPORA) if c.shippable]).held_out
    acted = {clip.speaker: clip for clip in data.corpus(corpora, "ravdess")}
    rng = np.random.default_rng(3)
    made = [_take(clip, rng) for clip in [*spoken, *acted.values()]]
    return [take for take in made if take is not None]


def _take(clip: data.Clip, rng: np.random.Generator) -> Take | None:
    samples = clip.audio().samples
    samples = samples[: len(samples) // MEL.hop * MEL.hop]
    labels = labels_of(samples)
    if labels is None:
        return None
    quiet = np.zeros(BEFORE * MEL.hop), np.zeros(AFTER * MEL.hop)
    whole = augment.at_peak(np.concatenate([quiet[0], samples, quiet[1]]), -6.0)
    lead, tail = (np.zeros(count, np.float32) for count in (BEFORE, AFTER))
    truth = np.concatenate([lead, labels[: len(samples) // MEL.hop], tail])
    hush = at_snr(whole, augment.white(len(whole), rng), truth, -HUSH_DB)
    return Take(f"{clip.corpus} {clip.speaker}", hush, truth)


def conditions(everybody: Sequence[Take]) -> Mapping[str, Change]:
    """What is done to a take, by name."""
    noises: Mapping[str, Change] = {
        "white": lambda take, rng: augment.white(len(take.samples), rng),
        "pink": lambda take, rng: augment.coloured(len(take.samples), 1.0, rng),
        "kitchen": lambda take, rng: kitchen(len(take.samples), rng),
        "babble": lambda take, rng: babble(take, everybody, rng),
    }
    mixed = {
        f"{name} {snr_db} dB": _noisy(noise, snr_db)
        for name, noise in noises.items()
        for snr_db in (10, 0)
    }
    return {"clean": lambda take, rng: take.samples, **mixed, "room 0.5 s": in_room}


def _noisy(noise: Change, snr_db: float) -> Change:
    return lambda take, rng: at_snr(take.samples, noise(take, rng), take.truth, snr_db)


def in_room(take: Take, rng: np.random.Generator) -> Samples:
    return augment.in_room(take.samples, 0.5, rng)


def changed(take: Take, change: Change, rng: np.random.Generator) -> Take:
    """The take through the change, at a peak of -6 dB; what a room trails is not judged."""
    truth = take.truth.copy()
    if change is in_room:
        for end in np.flatnonzero(np.diff(np.nan_to_num(truth, nan=1.0)) < 0):
            tail = truth[end + 1 : end + 1 + TAIL]
            tail[tail == 0] = np.nan
    return Take(take.speaker, augment.at_peak(change(take, rng), -6.0), truth)


def babble(take: Take, everybody: Sequence[Take], rng: np.random.Generator) -> Samples:
    """Six other speakers at once, equally loud, without the silence around them."""
    others = [other for other in everybody if other.speaker != take.speaker]
    total = np.zeros(len(take.samples))
    for index in rng.choice(len(others), min(TALKERS, len(others)), replace=False):
        voice = others[index].samples[BEFORE * MEL.hop : -AFTER * MEL.hop]
        voice = np.roll(np.resize(voice, len(total)), int(rng.integers(len(voice))))
        total += voice / np.sqrt(np.mean(np.square(voice)))
    return total


def kitchen(length: int, rng: np.random.Generator) -> Samples:
    """A refrigerator's hum, a running tap, and dishes: struck modes without harmony."""
    t = np.arange(length) / ANALYSIS_RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in (1, 2, 3, 4, 6)) * 0.3
    tap = augment.equalised(augment.coloured(length, 0.5, rng), rng)
    sound = hum + 0.3 * tap / np.sqrt(np.mean(tap**2))
    for start in rng.integers(0, length, max(1, round(length / ANALYSIS_RATE * 2.5))):
        sound[start:] += rng.uniform(0.5, 6) * _struck(length - int(start), rng)
    return np.asarray(sound)


def _struck(length: int, rng: np.random.Generator) -> Samples:
    t = np.arange(min(length, ANALYSIS_RATE // 2)) / ANALYSIS_RATE
    sound = np.zeros(length)
    for hz in rng.uniform(700, 7000, rng.integers(3, 9)):
        decay = np.exp(-t * rng.uniform(8, 60))
        sound[: len(t)] += rng.uniform(0.2, 1) * decay * np.sin(2 * np.pi * hz * t)
    return sound
