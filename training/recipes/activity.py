"""Activity: learn where voices are, from clean recordings put into noise, rooms and silence.

The clean signal's energy says which frames are speech; a synthesised note is known to the sample.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import mel
from models.activity import FLOOR_DB, MEL, SPEECH_BANDS, ActivityNet, posterior
from models.audio import ANALYSIS_RATE
from training import augment, data, synthesis
from training.loop import Plan, Run, Trained, fit

LICENCE = "Apache-2.0"
CORPORA = ("librispeech_subset", "picovoice_intent", "small_asr")
FRAMES = 400  # a clip of training: 4 s
LENGTH = FRAMES * MEL.hop - 1  # samples
BATCH = 24
SUNG = 300  # notes and melodies made beforehand
SNR_DB = (-5.0, 30.0)
SPEECH_DB, MARGIN_DB = 35.0, 4.0  # under the loud frames; not judged this near the threshold
BRIDGED, ISLAND = 8, 4  # frames: closures within words are speech, clicks are not

Samples = NDArray[np.floating]
Labels = NDArray[np.float32]  # a frame: 1 speech, 0 none, nan not judged


@dataclass(frozen=True, slots=True)
class Voiced:
    """A clean voice and where it is."""

    samples: Samples
    labels: Labels


@dataclass(frozen=True, slots=True)
class Batch:
    levels: Tensor  # dB (batch, bands, frames)
    labels: Tensor  # (batch, frames)


def train(run: Run) -> Trained:
    """Learn from all but the held-out speakers; the figures are theirs."""
    clips = [clip for clip in data.corpora(run.corpora, CORPORA) if clip.shippable]
    split = data.by_speaker(clips)
    rng = np.random.default_rng(run.seed)
    spoken, others = voices(split.train), voices(split.held_out)
    network = ActivityNet()
    plan = Plan(run.minutes, weight_decay=1e-3, checkpoint=run.work / "activity.pt")
    fit(network, batches([spoken, sung(rng)], rng), loss, plan, run.report)
    return Trained(network.state_dict(), {}, LICENCE, evaluate(network, others))


def voices(clips: Sequence[data.Clip]) -> list[Voiced]:
    """The clips whose pauses are quiet enough to tell."""
    heard = [clip.audio().samples for clip in clips]
    labelled = [(samples, labels_of(samples)) for samples in heard]
    return [Voiced(samples, labels) for samples, labels in labelled if labels is not None]


def labels_of(samples: Samples) -> Labels | None:
    """Speech where the band's energy is near that of the loud frames; None under 25 dB of range."""
    whole = torch.from_numpy(np.array(samples, np.float32))[None]
    power, _ = mel.power(whole, torch.tensor([len(samples)]), MEL)
    band = nn.functional.avg_pool1d(power[:, SPEECH_BANDS].sum(1)[:, None], 3, 1, padding=1)
    level = 10 * np.log10(band[0, 0].numpy() + 1e-10)
    quiet, loud = np.percentile(level, [3, 95])
    if loud - quiet < 25:
        return None
    threshold = max(loud - SPEECH_DB, quiet + 0.3 * (loud - quiet))
    speech = _closed(~_closed(~_closed(level > threshold, BRIDGED), ISLAND), BRIDGED)
    labels = speech.astype(np.float32)
    labels[np.abs(level - threshold) < MARGIN_DB] = np.nan
    return labels


def _closed(active: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Runs of False inside, of up to `gap` frames, become True."""
    closed = active.copy()
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=1, append=1))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        if after - first <= gap and first > 0 and after < len(active):
            closed[first:after] = True
    return closed


def sung(rng: np.random.Generator) -> list[Voiced]:
    """Notes, glides and melodies with rests, in many throats."""
    return [_song(rng, seed) for seed in range(SUNG)]


def _song(rng: np.random.Generator, seed: int) -> Voiced:
    parts = [_note(rng) for _ in range(rng.integers(1, 4))]
    rests = [synthesis.rest(rng.uniform(0.05, 0.8)) for _ in parts]
    line = np.concatenate([piece for pair in zip(rests, parts, strict=True) for piece in pair])
    stretch = rng.uniform(0.85, 1.25)
    first, second = rng.uniform(250, 850), rng.uniform(800, 2300)
    centres = np.array([first, max(second, first + 250), 2600.0, 3500.0, 4600.0]) * stretch
    voice = synthesis.Voice(
        formants=tuple((float(f), float(60 + 0.03 * f)) for f in centres),
        jitter=rng.choice([0.0, rng.uniform(0, 0.02)]),
        shimmer=rng.choice([0.0, rng.uniform(0, 0.1)]),
        tilt_hz=rng.uniform(60, 400),
        noise_db=rng.uniform(-40, -8) if rng.random() < 0.5 else None,
    )
    made = synthesis.sing(line, voice, seed)
    labels = (made.f0_hz > 0).astype(np.float32)
    for edge in np.flatnonzero(np.diff(labels)):
        labels[max(edge - 1, 0) : edge + 4] = np.nan  # the tract rings on
    return Voiced(made.audio.samples, labels)


def _note(rng: np.random.Generator) -> NDArray[np.float64]:
    hz, seconds = 75 * 2 ** (3.9 * rng.beta(1.5, 1)), rng.uniform(0.3, 2.0) ** 2 + 0.2
    if rng.random() < 0.3:
        return synthesis.glide(seconds, hz, hz * 2 ** rng.uniform(-0.5, 0.5))
    extent = rng.choice([0.0, rng.uniform(20, 120)])
    return synthesis.contour(seconds, hz, vibrato_hz=rng.uniform(4, 8), vibrato_cents=float(extent))


def batches(sources: Sequence[Sequence[Voiced]], rng: np.random.Generator) -> Iterator[Batch]:
    """For ever: spoken, sung and empty clips, at levels as they are within longer takes."""
    while True:
        made = [_clip(sources, rng) for _ in range(BATCH)]
        samples = torch.from_numpy(np.stack([samples for samples, _ in made]))
        power, _ = mel.power(samples, torch.full((BATCH,), LENGTH), MEL)
        shift = torch.from_numpy(rng.uniform(-15, 6, BATCH).astype(np.float32))
        level = mel.reference(power) * 10 ** (-shift / 20)
        labels = torch.from_numpy(np.stack([labels for _, labels in made]))
        yield Batch(mel.relative_db(power, level, FLOOR_DB), labels)


def _clip(
    sources: Sequence[Sequence[Voiced]], rng: np.random.Generator
) -> tuple[NDArray[np.float32], Labels]:
    kind = rng.choice(3, p=[0.52, 0.28, 0.2])
    if kind == 2:
        return augment.at_peak(nothing(LENGTH, rng), -6.0), np.zeros(FRAMES, np.float32)
    source = sources[kind]
    samples, labels = placed(source[int(rng.integers(len(source)))], rng)
    if rng.random() < 0.5:
        samples = augment.equalised(samples, rng)
    if rng.random() < 0.25:
        samples = augment.in_room(samples, rng.uniform(0.1, 0.6), rng)
    if rng.random() < 0.8:
        samples = at_snr(samples, nothing(LENGTH, rng), labels, rng.uniform(*SNR_DB))
    return augment.at_peak(samples, -6.0), labels


def placed(voice: Voiced, rng: np.random.Generator) -> tuple[Samples, Labels]:
    """A stretch of the voice somewhere in four seconds of silence."""
    samples, labels = np.zeros(LENGTH), np.zeros(FRAMES, np.float32)
    whole = rng.random() < 0.5
    frames = min(FRAMES if whole else int(rng.integers(60, FRAMES)), len(voice.samples) // MEL.hop)
    start = int(rng.integers(len(voice.samples) // MEL.hop - frames + 1))
    at = int(rng.integers(FRAMES - frames + 1))
    piece = voice.samples[start * MEL.hop : (start + frames) * MEL.hop]
    samples[at * MEL.hop : at * MEL.hop + len(piece)] = piece[: LENGTH - at * MEL.hop]
    labels[at : at + frames] = voice.labels[start : start + frames]
    return samples, labels


def at_snr(samples: Samples, noise: Samples, labels: Labels, snr_db: float) -> Samples:
    """The sum, with the noise set against the RMS of the speech frames."""
    speech = np.repeat(np.nan_to_num(labels, nan=1.0) > 0.5, MEL.hop)[: len(samples)]
    level = np.sqrt(np.mean(np.square(samples[speech]))) if speech.any() else 0.1
    gain = level / (np.sqrt(np.mean(np.square(noise))) + 1e-9) * 10 ** (-snr_db / 20)
    return np.asarray(samples + gain * noise)


def nothing(length: int, rng: np.random.Generator) -> Samples:
    """A sound without a voice."""
    makers: list[Callable[[int, np.random.Generator], Samples]] = [
        augment.any_noise,
        augment.white,
        _shaped,
        _clicks,
        _tones,
        _plucked,
        augment.hum,
    ]
    maker = makers[rng.choice(len(makers), p=[0.28, 0.13, 0.32, 0.1, 0.07, 0.03, 0.07])]
    return maker(length, rng)


def _shaped(length: int, rng: np.random.Generator) -> Samples:
    """Noise with bands of its own, swelling and ebbing."""
    noise = augment.equalised(augment.any_noise(length, rng), rng, (-25.0, 10.0))
    knots = rng.uniform(-rng.uniform(0, 30), 0, rng.integers(3, 40))
    swell = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(knots)), knots)
    return np.asarray(noise * 10 ** (swell / 20))


def _clicks(length: int, rng: np.random.Generator) -> Samples:
    """Knocks and key strokes over a faint noise."""
    sound = augment.white(length, rng) * 10 ** rng.uniform(-4, -1.5)
    for start in rng.integers(0, length, rng.integers(1, 25)):
        decay = np.exp(-np.arange(min(length - start, 3000)) / rng.uniform(10, 400))
        sound[start : start + len(decay)] += decay * rng.standard_normal(len(decay))
    return augment.equalised(sound, rng)


def _tones(length: int, rng: np.random.Generator) -> Samples:
    """Beeps and whines of up to four sines, on and off."""
    t = np.arange(length) / ANALYSIS_RATE
    sines = [np.sin(2 * np.pi * np.exp(rng.uniform(4, 8.5)) * t) for _ in range(rng.integers(1, 5))]
    gate = np.repeat(rng.random(1 + length // 3200) < rng.uniform(0.4, 1), 3200)[:length]
    faint = augment.white(length, rng) * 10 ** rng.uniform(-5, -2)
    return np.asarray(np.sum(sines, axis=0) * gate + faint)


def _plucked(length: int, rng: np.random.Generator) -> Samples:
    """Strings and bells: decaying partials, several at once."""
    t, sound = np.arange(length) / ANALYSIS_RATE, np.zeros(length)
    for start in rng.integers(0, length, rng.integers(2, 12)):
        hz, decay = 80 * 2 ** rng.uniform(0, 4), rng.uniform(3, 10)
        for k in range(1, int(rng.integers(2, 9))):
            tail = np.exp(-decay * k**0.5 * t[: length - start]) / k
            sound[start:] += tail * np.sin(2 * np.pi * hz * k * t[: length - start])
    return sound


def loss(network: nn.Module, batch: Batch) -> Tensor:
    judged = ~batch.labels.isnan()
    odds = network(batch.levels, torch.full((len(batch.levels),), FRAMES))
    return nn.functional.binary_cross_entropy_with_logits(odds[judged], batch.labels[judged])


def evaluate(network: ActivityNet, others: Sequence[Voiced], seed: int = 1) -> dict[str, float]:
    """Area under the curve over the frames of held-out speakers, in white and pink noise."""
    network.eval()
    rng = np.random.default_rng(seed)
    figures = {"auc_clean": _area(network, [(voice.samples, voice.labels) for voice in others])}
    for name, slope in (("white", 0.0), ("pink", 1.0)):
        for snr in (10.0, 0.0):
            noisy = [(_noisy(voice, slope, snr, rng), voice.labels) for voice in others]
            figures[f"auc_{name}_{snr:.0f}_db"] = _area(network, noisy)
    return figures


def _noisy(voice: Voiced, slope: float, snr_db: float, rng: np.random.Generator) -> Samples:
    noise = augment.coloured(len(voice.samples), slope, rng)
    return at_snr(voice.samples, noise, voice.labels, snr_db)


def _area(network: ActivityNet, takes: Sequence[tuple[Samples, Labels]]) -> float:
    said = np.concatenate([_posterior(network, samples) for samples, _ in takes])
    truth = np.concatenate([labels for _, labels in takes])
    said, truth = said[~np.isnan(truth)], truth[~np.isnan(truth)]
    ranks = np.empty(len(said))
    ranks[np.argsort(said, kind="stable")] = np.arange(1, len(said) + 1)
    speech = truth > 0.5
    above = ranks[speech].sum() - speech.sum() * (speech.sum() + 1) / 2
    return float(above / (speech.sum() * (~speech).sum()))


def _posterior(network: ActivityNet, samples: Samples) -> NDArray[np.float32]:
    whole = torch.from_numpy(np.array(samples, np.float32))[None]
    power, counts = mel.power(whole, torch.tensor([len(samples)]), MEL)
    return np.asarray(posterior(network, power, counts)[0].numpy())
