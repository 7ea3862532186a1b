"""Emotion: learn eight acted expressions from RAVDESS, judged on speakers it has not heard.

The weights inherit the corpus's licence, CC BY-NC-SA 4.0 (Livingstone & Russo, PLoS ONE 2018).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import activity, mel, spectra
from models.audio import ANALYSIS_RATE, Audio
from models.emotion import Heard, around, hear
from models.emotionnet import CATEGORIES, FLOOR_DB, MEL, WINDOW, EmotionNet
from training import augment, data
from training.loop import Plan, Run, Trained, fit

LICENCE = "CC-BY-NC-SA-4.0"
NAMES = {
    "happiness": "happy",
    "sadness": "sad",
    "anger": "angry",
    "fear": "fearful",
    "surprise": "surprised",
}
# Arousal and valence of the words, from Russell & Mehrabian 1977 ("relaxed" for calm).
AROUSAL = (0.0, -0.46, 0.51, -0.27, 0.59, 0.60, 0.35, 0.67)
VALENCE = (0.0, 0.68, 0.81, -0.63, -0.51, -0.64, -0.60, 0.40)
INTENSITY = 0.1  # arousal a strongly acted clip has over, and a normal one under, its category
RARE = (2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # there are half as many neutral clips
BATCH = 32
ACTIVE = 10 ** (-35 / 20)  # of a clip's level: its quieter ends are not learnt from
RIGHT = 0.75  # of the labels given must be right on held-out speakers; the rest are unsure
SMOOTHING = 0.05
LONGEST = WINDOW * MEL.hop  # samples
CONDITIONS = augment.Conditions(
    noise=0.3, room=0.1, equaliser=0.3, clipping=0.0, snr_db=(8.0, 40.0), decay_s=(0.1, 0.4)
)

SHIFTS = {"strong": INTENSITY, "normal": -INTENSITY}

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A clip cut to where there is voice, and how it was acted."""

    samples: Samples  # 16 kHz
    speaker: str
    category: int
    strong: bool


@dataclass(frozen=True, slots=True)
class Batch:
    levels: Tensor  # dB (batch, bands, frames)
    counts: Tensor  # (batch,)
    categories: Tensor  # (batch, 8), shares
    dimensions: Tensor  # (batch, 2): arousal, valence


def train(run: Run) -> Trained:
    """Learn from 17 actors, calibrate and judge on the other three.

    Needs the weights of `activity`, and `emodb` for the figures of another corpus.
    """
    split = data.by_speaker(data.corpus(run.corpora, "ravdess"))
    known = [spoken(clip) for clip in split.train]
    network = EmotionNet()
    plan = Plan(
        minutes=run.minutes,
        weight_decay=0.02,
        every=160,
        checkpoint=run.work / "emotion.pt",
    )
    rng = np.random.default_rng(run.seed)
    fit(network, batches(known, rng), loss, plan, run.report)
    own = judged(network, split.held_out)
    foreign = judged(network, data.corpus(run.corpora, "emodb"))
    figures = figures_of(own, foreign)
    return Trained(network.state_dict(), metadata(own, figures), LICENCE, figures)


def spoken(clip: data.Clip) -> Spoken:
    samples = clip.audio().samples
    power, _ = mel.power(torch.from_numpy(samples)[None], torch.tensor([len(samples)]), MEL)
    amplitude = power[0].sum(0).sqrt().numpy()
    first, last = around(amplitude > ACTIVE * mel.reference(power).item())
    category = category_of(clip)
    cut = samples[first * MEL.hop : last * MEL.hop]
    return Spoken(cut, clip.speaker, category, clip.extra["intensity"] == "strong")


def batches(clips: Sequence[Spoken], rng: np.random.Generator) -> Iterator[Batch]:
    """For ever: every clip once a round, never twice the same."""
    while True:
        order = rng.permutation(len(clips))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield _batch([clips[i] for i in order[start : start + BATCH]], rng)


def _batch(clips: Sequence[Spoken], rng: np.random.Generator) -> Batch:
    """Augmented, often mixed in pairs (Zhang et al. 2018), with holes (Park et al. 2019)."""
    power, counts = pictures([varied(clip.samples, rng) for clip in clips])
    power = power / mel.reference(power).square().clamp_min(1e-12)[:, None, None]
    share = float(rng.beta(0.3, 0.3)) if rng.random() < 0.3 else 1.0
    other = torch.from_numpy(rng.permutation(len(clips)))
    categories, dimensions = targets(clips)
    mixed = share * power + (1 - share) * power[other]
    levels = mel.relative_db(mixed, mel.reference(mixed), FLOOR_DB)
    return Batch(
        _with_holes(levels, rng),
        torch.maximum(counts, counts[other]) if share < 1 else counts,
        share * categories + (1 - share) * categories[other],
        share * dimensions + (1 - share) * dimensions[other],
    )


def varied(samples: Samples, rng: np.random.Generator) -> Samples:
    """At another pace and pitch, in another room, through another microphone."""
    speed = float(np.exp(rng.uniform(-0.13, 0.13)))
    changed = soxr.resample(samples, ANALYSIS_RATE * speed, ANALYSIS_RATE, quality="MQ")
    start = int(rng.integers(max(len(changed) - LONGEST, 0) + 1))
    return augment.degrade(changed[start : start + LONGEST], rng, CONDITIONS)


def pictures(takes: Sequence[Samples]) -> tuple[Tensor, Tensor]:
    """Power (batch, bands, WINDOW) of takes of up to three seconds, and frame counts (batch,)."""
    samples = np.zeros((len(takes), LONGEST), np.float32)
    for row, take in zip(samples, takes, strict=True):
        row[: len(take)] = take
    lengths = torch.tensor([len(take) for take in takes])
    power, counts = mel.power(torch.from_numpy(samples), lengths, MEL)
    return power[:, :, :WINDOW], counts.clamp_max(WINDOW)


def targets(clips: Sequence[Spoken]) -> tuple[Tensor, Tensor]:
    """Categories (batch, 8); arousal and valence (batch, 2)."""
    categories = torch.tensor([clip.category for clip in clips])
    shift = torch.tensor([INTENSITY if clip.strong else -INTENSITY for clip in clips])
    shift[categories == CATEGORIES.index("neutral")] = 0  # acted at one intensity only
    arousal = torch.tensor(AROUSAL)[categories] + shift
    valence = torch.tensor(VALENCE)[categories]
    shares = nn.functional.one_hot(categories, len(CATEGORIES)).float()
    return shares, torch.stack([arousal, valence], 1)


def _with_holes(levels: Tensor, rng: np.random.Generator) -> Tensor:
    """Up to two bands and two stretches of each take at the floor."""
    for row in levels:
        for _ in range(int(rng.integers(3))):
            band, frame = rng.integers(row.shape[0] - 8), rng.integers(row.shape[1] - 20)
            row[band : band + rng.integers(1, 9)] = FLOOR_DB
            row[:, frame : frame + rng.integers(1, 21)] = FLOOR_DB
    return levels


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Smoothed cross-entropy, and the squared error of the dimensions."""
    logits, heard = network(batch.levels, batch.counts)
    wanted = batch.categories * (1 - SMOOTHING) + SMOOTHING / len(CATEGORIES)
    entropy = -(wanted * torch.tensor(RARE) * torch.log_softmax(logits, 1)).sum(1).mean()
    return entropy + nn.functional.mse_loss(heard, batch.dimensions)


def category_of(clip: data.Clip) -> int:
    return CATEGORIES.index(NAMES.get(clip.label, clip.label))


@dataclass(frozen=True, slots=True)
class Judged:
    """What the engine would say of clips the network has not learnt from."""

    logits: Floats  # (clips, 8)
    dimensions: Floats  # (clips, 2)
    wanted: NDArray[np.int64]  # (clips,)
    truth: Floats  # (clips, 2)
    speakers: NDArray[np.str_]  # (clips,)


def judged(network: EmotionNet, clips: Sequence[data.Clip]) -> Judged:
    """By the same windows and weights as the engine; clips without voice are left out."""
    known = [clip for clip in clips if NAMES.get(clip.label, clip.label) in CATEGORIES]
    detector, _ = activity.load()
    told = [_told(network.eval(), detector, clip.audio()) for clip in known]
    pairs = [(clip, heard) for clip, heard in zip(known, told, strict=True) if heard]
    wanted = np.array([category_of(clip) for clip, _ in pairs])
    shift = np.array([SHIFTS.get(clip.extra.get("intensity", ""), 0.0) for clip, _ in pairs])
    arousal = np.array(AROUSAL)[wanted] + shift * (wanted != 0)
    return Judged(
        np.array([heard.logits for _, heard in pairs]),
        np.array([heard.arousal_and_valence for _, heard in pairs]),
        wanted,
        np.stack([arousal, np.array(VALENCE)[wanted]], 1),
        np.array([clip.speaker for clip, _ in pairs]),
    )


def _told(network: EmotionNet, detector: activity.ActivityNet, take: Audio) -> Heard | None:
    samples, lengths = spectra.batch([take])
    return hear(network, samples, lengths, activity.detect(detector, samples, lengths))[0]


def metadata(own: Judged, figures: Mapping[str, float]) -> dict[str, str]:
    """What the engine needs to know beside the tensors."""
    scale = temperature(own)
    values = {
        "temperature": scale,
        "threshold": threshold(shares(own.logits / scale), own.wanted),
        "arousal_error": figures["arousal_rmse"],
        "valence_error": figures["valence_rmse"],
        "arousal_confidence": max(figures["emodb_arousal_ccc"], 0.0),
        "valence_confidence": max(figures["emodb_valence_ccc"], 0.0),
    }
    return {name: f"{value:.3f}" for name, value in values.items()}


def figures_of(own: Judged, foreign: Judged) -> dict[str, float]:
    """Calibration is judged leaving one held-out speaker out of what sets the temperature."""
    errors = np.sqrt(np.mean((own.dimensions - own.truth) ** 2, 0))
    (arousal, valence), (far_arousal, far_valence) = concordance(own), concordance(foreign)
    certain, right = _crossed(own)
    return {
        "uar": recall(own),
        "ece": calibration_error(certain, right),
        "arousal_rmse": float(errors[0]),
        "valence_rmse": float(errors[1]),
        "arousal_ccc": arousal,
        "valence_ccc": valence,
        "emodb_uar": recall(foreign),
        "emodb_arousal_ccc": far_arousal,
        "emodb_valence_ccc": far_valence,
    }


def recall(heard: Judged) -> float:
    """Unweighted average recall."""
    right = heard.logits.argmax(1) == heard.wanted
    return float(np.mean([right[heard.wanted == one].mean() for one in np.unique(heard.wanted)]))


def shares(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def temperature(heard: Judged, some: NDArray[np.bool_] | None = None) -> float:
    """The divisor of the logits that makes the truth likeliest (Guo et al. 2017)."""
    chosen = np.ones(len(heard.wanted), bool) if some is None else some
    logits, wanted = heard.logits[chosen], heard.wanted[chosen]
    grid = np.geomspace(0.2, 5, 200)
    rows = np.arange(len(wanted))
    likelihoods = [np.log(shares(logits / scale)[rows, wanted]).mean() for scale in grid]
    return float(grid[int(np.argmax(likelihoods))])


def threshold(said: Floats, wanted: NDArray[np.int64]) -> float:
    """The least probability above which enough of the labels are right."""
    right = said.argmax(1) == wanted
    for least in np.arange(0.2, 0.9, 0.01):
        if right[said.max(1) >= least].mean() >= RIGHT:
            return float(least)
    return 0.9


def _crossed(own: Judged) -> tuple[Floats, NDArray[np.bool_]]:
    """Largest probability and whether it is right, each speaker calibrated by the others."""
    certain, right = np.zeros(len(own.wanted)), own.logits.argmax(1) == own.wanted
    for speaker in np.unique(own.speakers):
        mine = own.speakers == speaker
        certain[mine] = shares(own.logits[mine] / temperature(own, ~mine)).max(1)
    return certain, right


def calibration_error(certain: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error of the largest probability (Naeini et al. 2015)."""
    place = np.minimum((certain * bins).astype(int), bins - 1)
    gaps = [abs(float((certain - right)[place == one].sum())) for one in range(bins)]
    return sum(gaps) / len(certain)


def concordance(heard: Judged) -> list[float]:
    """Lin's coefficient of arousal and of valence."""
    said, true = heard.dimensions, heard.truth
    both = np.mean((said - said.mean(0)) * (true - true.mean(0)), 0)
    apart = (said.mean(0) - true.mean(0)) ** 2
    return [float(one) for one in 2 * both / (said.var(0) + true.var(0) + apart)]
