"""Acted clips as the pictures that EmotionNet learns from, a little different every time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import activity, functionals, mel, periodicity, spectra
from models.audio import ANALYSIS_RATE
from models.emotion import around
from models.emotionnet import FLOOR_DB, MEL, WINDOW, Pictures
from training import augment, data

NAMES = {
    "happiness": "happy",
    "sadness": "sad",
    "anger": "angry",
    "fear": "fearful",
    "surprise": "surprised",
    "boredom": "bored",
}
# Arousal and valence of the words, as Russell & Mehrabian (1977) had them rated: "relaxed" stands
# for calm. Nobody rated the clips.
AROUSAL = {
    "neutral": 0.0,
    "calm": -0.46,
    "happy": 0.51,
    "sad": -0.27,
    "angry": 0.59,
    "fearful": 0.60,
    "disgust": 0.35,
    "surprised": 0.67,
    "bored": -0.62,
}
VALENCE = {
    "neutral": 0.0,
    "calm": 0.68,
    "happy": 0.81,
    "sad": -0.63,
    "angry": -0.51,
    "fearful": -0.64,
    "disgust": -0.60,
    "surprised": 0.40,
    "bored": -0.65,
}
SHIFTS = {"strong": 0.1, "normal": -0.1}  # of arousal, by how intensely a clip was acted
VARIANTS = 6  # of each clip: as it is, then at other paces, in rooms, noise, other microphones
LONGEST = 165  # frames kept of a clip
SHORTEST = 30  # frames of a stretch learnt from
CONDITIONS = augment.Conditions(
    noise=0.4, room=0.15, equaliser=0.5, clipping=0.0, snr_db=(8.0, 40.0), decay_s=(0.1, 0.4)
)
BATCH = 32
PACE, FORMANTS = 0.12, 0.07  # logarithms: how far either is moved
SEMITONES = 2  # how far the melody is moved
TILT_DB = 1.5
MIXED = 0.4  # of the batches
HOLES = 2  # in each picture, at most

Samples = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Material:
    """Clips in their variants, as the network sees them."""

    levels: NDArray[np.float16]  # dB (clips, variants, bands, LONGEST)
    periodicity: NDArray[np.float16]  # (clips, variants, semitones, LONGEST)
    counts: Ints  # frames (clips, variants)
    measured: NDArray[np.float32]  # functionals (clips, variants, functionals.COUNT)
    categories: Ints  # (clips,)
    dimensions: NDArray[np.float32]  # (clips, 2): arousal, valence
    speakers: NDArray[np.str_]  # (clips,)

    def of(self, chosen: NDArray[np.bool_]) -> Self:
        """Only some of the clips."""
        parts = (getattr(self, name) for name in Material.__slots__)
        return type(self)(*(part[chosen] for part in parts))


@dataclass(frozen=True, slots=True)
class Batch:
    seen: Pictures
    known: Tensor  # functionals (batch, COUNT)
    categories: Tensor  # (batch, categories), shares
    dimensions: Tensor  # (batch, 2): arousal, valence


def name_of(clip: data.Clip) -> str:
    return NAMES.get(clip.label, clip.label)


def material(
    clips: Sequence[data.Clip], names: Sequence[str], rng: np.random.Generator
) -> Material:
    """All variants of clips whose categories are among `names`. Needs the weights of `activity`."""
    detector, _ = activity.load()
    takes = [_variants(clip, detector, rng) for clip in clips]
    rows = [_pictures(variants) for variants in takes]
    levels, periods, counts, measured = (np.stack(part) for part in zip(*rows, strict=True))
    return Material(
        levels.astype(np.float16),
        periods.astype(np.float16),
        counts.astype(np.int64),
        measured,
        np.array([names.index(name_of(clip)) for clip in clips]),
        np.array([truth(clip) for clip in clips], np.float32),
        np.array([clip.speaker for clip in clips]),
    )


def truth(clip: data.Clip) -> tuple[float, float]:
    """Arousal and valence: the category's, and a little by how intensely it was acted."""
    name = name_of(clip)
    shift = SHIFTS.get(clip.extra.get("intensity", ""), 0.0) if name != "neutral" else 0.0
    return AROUSAL[name] + shift, VALENCE[name]


def _variants(
    clip: data.Clip, detector: activity.ActivityNet, rng: np.random.Generator
) -> list[Samples]:
    """From the first voice to the last, as the engine finds them."""
    audio = clip.audio()
    heard = activity.detect(detector, *spectra.batch([audio]))[0]
    first, after = around(heard.active[:: MEL.hop // activity.MEL.hop])
    spoken = audio.samples[max(first, 0) * MEL.hop : after * MEL.hop]
    spoken = spoken if len(spoken) else audio.samples
    return [spoken, *(_varied(spoken, rng) for _ in range(VARIANTS - 1))]


def _varied(samples: Samples, rng: np.random.Generator) -> Samples:
    """At another pace and pitch, in another room, through another microphone."""
    speed = float(np.exp(rng.uniform(-PACE, PACE)))
    changed = soxr.resample(samples, ANALYSIS_RATE * speed, ANALYSIS_RATE, quality="MQ")
    return augment.degrade(changed, rng, CONDITIONS)


def _pictures(takes: Sequence[Samples]) -> tuple[NDArray[np.generic], ...]:
    """Levels, periodicity, frame counts and functionals of a clip's variants."""
    length = (LONGEST - 1) * MEL.hop
    samples = np.zeros((len(takes), length), np.float32)
    for row, take in zip(samples, takes, strict=True):
        row[: len(take)] = take[:length]
    lengths = torch.tensor([min(len(take), length) for take in takes])
    power, counts = mel.power(torch.from_numpy(samples), lengths, MEL)
    level = mel.reference(power)
    periods = periodicity.picture(torch.from_numpy(samples), lengths, level, MEL)
    levels = mel.relative_db(power, level, FLOOR_DB)
    heard = counts.clamp_max(WINDOW)
    measured = functionals.of(levels[:, :, :WINDOW], periods[:, :, :WINDOW], heard)
    return levels.numpy(), periods.numpy(), counts.numpy(), measured.numpy()


def batches(known: Material, categories: int, rng: np.random.Generator) -> Iterator[Batch]:
    """For ever; each category as often as the others, and never the same picture twice."""
    chance = 1 / np.bincount(known.categories, minlength=categories)[known.categories]
    chance /= chance.sum()
    dimensions = torch.from_numpy(known.dimensions)
    while True:
        clips = rng.choice(len(chance), BATCH, p=chance)
        variants = rng.integers(known.levels.shape[1], size=BATCH)
        shares = nn.functional.one_hot(torch.from_numpy(known.categories[clips]), categories)
        batch = Batch(
            _seen(known, clips, variants, rng),
            torch.from_numpy(known.measured[clips, variants]),
            shares.float(),
            dimensions[torch.from_numpy(clips)],
        )
        yield _in_pairs(batch, rng) if rng.random() < MIXED else batch


def _seen(known: Material, clips: Ints, variants: Ints, rng: np.random.Generator) -> Pictures:
    """A stretch of each at another pace, with its formants, melody and microphone moved."""
    pace = np.exp(rng.uniform(-PACE, PACE, BATCH))
    whole = known.counts[clips, variants] / pace
    kept = np.minimum(rng.uniform(0.85, 1.0, BATCH) * whole, WINDOW).astype(int)
    kept = np.maximum(kept, np.minimum(whole.astype(int), SHORTEST))
    start = rng.uniform(0, np.maximum(whole - kept, 0))
    places = (np.arange(kept.max()) + start[:, None]) * pace[:, None]
    index = torch.from_numpy(places.astype(np.int64).clip(0, LONGEST - 1))[:, None]
    levels, periods = (
        torch.gather(rows, 2, index.expand(-1, rows.shape[1], -1)).float()
        for rows in (
            torch.from_numpy(known.levels[clips, variants]),
            torch.from_numpy(known.periodicity[clips, variants]),
        )
    )
    levels = _moved(levels.shape[1], rng) @ levels + _tilt(levels.shape[1], rng)
    periods = periods.roll(int(rng.integers(-SEMITONES, SEMITONES + 1)), 1)
    return _with_holes(Pictures(levels, periods, torch.from_numpy(kept)), rng)


def _moved(bands: int, rng: np.random.Generator) -> Tensor:
    """Matrices (batch, bands, bands) that stretch or shrink the spectrum."""
    factors = torch.from_numpy(np.exp(rng.uniform(-FORMANTS, FORMANTS, (BATCH, 1)))).float()
    places = (torch.arange(bands) * factors).clamp(0, bands - 1.001)[:, :, None]
    return (1 - (places - torch.arange(bands)).abs()).clamp_min(0)


def _tilt(bands: int, rng: np.random.Generator) -> Tensor:
    """Smooth random curves in dB (batch, bands, 1)."""
    knots = torch.from_numpy(rng.normal(0, TILT_DB, (BATCH, 1, 6))).float()
    curve = nn.functional.interpolate(knots, bands, mode="linear", align_corners=True)
    return curve.transpose(1, 2)


def _with_holes(seen: Pictures, rng: np.random.Generator) -> Pictures:
    """A few bands and stretches of each at the floor (Park et al. 2019), and what is past it."""
    frames = torch.arange(seen.levels.shape[2])
    bands = torch.arange(seen.levels.shape[1])
    silent = frames >= seen.counts[:, None]
    for _ in range(int(rng.integers(HOLES + 1))):
        first = torch.from_numpy(rng.integers(-8, len(frames), (BATCH, 1)))
        lowest = torch.from_numpy(rng.integers(-8, len(bands), (BATCH, 1)))
        silent |= (frames >= first) & (frames < first + 8)
        within = (bands >= lowest) & (bands < lowest + 6)
        seen.levels.masked_fill_(within[:, :, None], FLOOR_DB)
    seen.levels.masked_fill_(silent[:, None], FLOOR_DB)
    seen.periodicity.masked_fill_(silent[:, None], 0)
    return seen


def _in_pairs(batch: Batch, rng: np.random.Generator) -> Batch:
    """Each with a share of another (Zhang et al. 2018)."""
    share = float(rng.beta(0.3, 0.3))
    other = torch.from_numpy(rng.permutation(BATCH))

    def mixed(x: Tensor) -> Tensor:
        return share * x + (1 - share) * x[other]

    counts = torch.maximum(batch.seen.counts, batch.seen.counts[other])
    return Batch(
        Pictures(mixed(batch.seen.levels), mixed(batch.seen.periodicity), counts),
        mixed(batch.known),
        mixed(batch.categories),
        mixed(batch.dimensions),
    )
