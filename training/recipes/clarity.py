"""Clarity: learn noise, rooms and bandwidth from degradations planted in clean voices."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import claritynet, mel
from models.claritynet import MEL, ClarityNet
from training import data, melodies, planting, rooms, synthesis, tensors, together
from training.dataset import RECORDINGS
from training.loop import Learnt, NothingToLearn, Plan, Run, Trained, fit
from training.planting import Clean, Planted
from training.tensors import Kept

LICENCE = "Apache-2.0"
CORPORA = ("librispeech_subset", "picovoice_intent", "small_asr")
PLANTING = 0.8  # of the minutes: planting is what takes long, not learning
AT_ONCE = 10  # parts rendered between two looks at the clock
CLEAN_DB = 30.0  # a recording with less noise is one to plant in
PAIRS = 8  # rendered at once: each voice twice, once with more of one degradation
BATCH = 256  # windows
FRAMES = (400, 400, 400, 400, 300, 200, 100)  # of windows rendered at once
MADE = 60  # voices of the synthesiser
FAINTEST_DB, LOUDEST_DB = -10.0, 45.0  # ratios that are told apart
DRY_S, DRY_C50_DB = 0.25, 18.0  # a recording without a planted room has no more echo than this
CLEAREST_DB = 30.0  # C50
TOGETHER = 0.5  # weight of the differences within pairs
SURENESS = 0.1  # weight of the likelihood that the deviations are learnt by

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows and what is true of them; pairs, the second with more of one degradation."""

    found: Tensor  # statistics (windows, statistics)
    least: Tensor  # (windows, outputs), in the outputs' units: the truth lies from here
    most: Tensor  # to here; nan where nothing is known


def train(run: Run) -> Trained:
    """Learn from all but the held-out speakers; the figures are theirs."""
    clips = [clip for clip in data.corpora(run.corpora, CORPORA) if clip.shippable]
    split = data.by_speaker(clips)
    learnt = retrain(replace(run, split=split))
    others = [planting.clean(clip.audio().samples) for clip in split.held_out]
    figures = {**learnt.figures, **evaluate(network_of(Kept(learnt.tensors, {})), others)}
    return Trained(learnt.tensors, {}, LICENCE, figures, card(figures))


def retrain(run: Run) -> Learnt:
    """From clean voices of any source, and vowels made up.

    A corpus is taken for clean. Of users' recordings only those are learnt from that the champion
    calls clean and dry: a planted degradation is the truth only where nothing else degrades.
    """
    started, rng = time.monotonic(), run.rng()
    clips = _clean_enough(run.split.train if run.split else [], run.champion)
    voices = [planting.clean(clip.audio().samples) for clip in clips]
    voices += made(rng) if run.synthesis else []
    if not voices:
        raise NothingToLearn("No recording is clean enough to plant degradations in.")
    examples = collect(voices, started + PLANTING * run.minutes * 60, run)
    network = network_of(tensors.read(run.base)) if run.base else ClarityNet()
    if not run.base:
        even(network, examples)
    minutes = max(run.minutes - (time.monotonic() - started) / 60, 0.01)
    kept = run.checkpoints / "clarity.pt"
    plan = Plan(minutes, run.learning_rate, weight_decay=0.01, checkpoint=kept, device=run.device)
    steps = fit(network, batches(examples, rng), loss, plan, run.report)
    figures = {"examples": float(len(examples.found)), "steps": float(steps)}
    return Learnt(network.state_dict(), {}, figures)


def network_of(kept: Kept) -> ClarityNet:
    network = ClarityNet()
    network.load_state_dict(dict(kept.tensors))
    return network.eval()


def _clean_enough(clips: Sequence[data.Clip], champion: Path | None) -> list[data.Clip]:
    """All but recordings in which that version hears noise or a room."""
    if champion is None:
        return list(clips)
    network = network_of(tensors.read(champion))
    return [clip for clip in clips if clip.corpus != RECORDINGS or _clean(network, clip)]


def _clean(network: ClarityNet, clip: data.Clip) -> bool:
    samples = torch.from_numpy(clip.audio().samples.copy())
    if len(samples) < claritynet.SHORTEST * MEL.hop:
        return False
    snr_db, _, c50_db, _ = claritynet.listen(network, samples).mean.mean(0).tolist()
    return bool(snr_db >= CLEAN_DB and c50_db >= DRY_C50_DB)


def collect(voices: Sequence[Clean], until: float, run: Run) -> Examples:
    """Degraded voices until the clock says `until`; what a stopped run had is kept and counts."""
    talkers = [voice.samples for voice in voices if not voice.made] or [voices[0].samples]
    folder = run.work / "planted"
    folder.mkdir(parents=True, exist_ok=True)
    parts = [_opened(path) for path in sorted(folder.glob("*.pt"))]
    rng = np.random.default_rng([run.seed, run.rank, len(parts)])
    while not parts or time.monotonic() < until:
        fresh = [some(voices, talkers, rng) for _ in range(AT_ONCE)]
        parts.append(_joined(fresh))
        _put(parts[-1], folder / f"{len(parts):05d}.pt")
        if not together.several():  # their reports wait for each other, and they differ in pace
            run.report(len(parts), {"examples": float(sum(len(part.found) for part in parts))})
    return _joined(parts)


def _joined(parts: Sequence[Examples]) -> Examples:
    return Examples(
        torch.cat([part.found for part in parts]),
        torch.cat([part.least for part in parts]),
        torch.cat([part.most for part in parts]),
    )


def _put(part: Examples, path: Path) -> None:
    fresh = path.with_suffix(".fresh")
    torch.save({"found": part.found, "least": part.least, "most": part.most}, fresh)
    fresh.replace(path)


def _opened(path: Path) -> Examples:
    return Examples(**torch.load(path, weights_only=True))


def some(voices: Sequence[Clean], talkers: Sequence[Floats], rng: np.random.Generator) -> Examples:
    """A few pairs of windows of one length."""
    frames = int(rng.choice(FRAMES))
    planted = []
    for _ in range(PAIRS):
        voice = _window(voices[int(rng.integers(len(voices)))], frames, rng)
        first = plan(rng)
        planted += [
            (voice, planting.plant(voice, asked, talkers))
            for asked in (first, planting.worse(first, rng))
        ]
    return heard(planted)


def even(network: ClarityNet, examples: Examples) -> None:
    """Tell the network how its statistics are spread."""
    network.middle.copy_(examples.found.mean(0))
    network.spread.copy_(examples.found.std(0).clamp_min(0.1))


def batches(examples: Examples, rng: np.random.Generator) -> Iterator[Examples]:
    """For ever: pairs at random."""
    pairs = len(examples.found) // 2
    while True:
        first = 2 * torch.from_numpy(rng.integers(pairs, size=BATCH // 2))
        rows = torch.stack([first, first + 1], 1).flatten()
        yield Examples(examples.found[rows], examples.least[rows], examples.most[rows])


def made(rng: np.random.Generator, count: int = MADE) -> list[Clean]:
    """Sung and intoned vowels of the synthesiser, with rests and without any noise."""
    return [_made(rng, seed) for seed in range(count)]


def _made(rng: np.random.Generator, seed: int) -> Clean:
    rate = synthesis.RATE
    line = melodies.melody(5000, 1000.0, rng, 70.0, 900.0)
    gate, at = np.zeros(len(line)), int(rng.integers(300))
    while at < len(line):
        end = at + int(rng.integers(100, 2000))
        gate[at:end] = 1
        at = end + int(rng.integers(50, 700))
    throat = tuple(
        (centre * rng.uniform(0.7, 1.35), width * rng.uniform(0.7, 2.0))
        for centre, width in synthesis.Voice().formants
    )
    voice = synthesis.Voice(
        formants=throat,
        jitter=float(rng.choice([0.0, 0.005, 0.015])),
        shimmer=float(rng.choice([0.0, 0.03, 0.1])),
        tilt_hz=rng.uniform(50, 1500),
        noise_db=rng.uniform(-45, -20),
    )
    sung = synthesis.sing(np.repeat(line * gate, rate // 1000), voice, seed)
    return Clean(sung.audio.samples, 0.0, planting.FULL_HZ, made=True)


def plan(rng: np.random.Generator) -> planting.Plan:
    """What might have happened to a recording."""
    width = float(np.exp(rng.uniform(np.log(1500), np.log(7600))))
    return planting.Plan(
        noise=planting.NOISES[int(rng.integers(len(planting.NOISES)))],
        snr_db=rng.uniform(-6, 42) if rng.random() < 0.9 else None,
        room=rooms.design(rng) if rng.random() < 0.55 else None,
        width_hz=width if rng.random() < 0.4 else planting.FULL_HZ,
        filter="gentle" if rng.random() < 0.4 else "steep",
        hiss_after=rng.random() < 0.15,
        clipped=rng.uniform(0.003, 0.1) if rng.random() < 0.15 else 0.0,
        hum_db=rng.uniform(-40, 0) if rng.random() < 0.1 else None,
        seed=int(rng.integers(1 << 31)),
    )


def _window(voice: Clean, frames: int, rng: np.random.Generator) -> Clean:
    """A stretch of the voice that is not mostly rest."""
    length = (frames - 1) * MEL.hop
    whole = voice.samples
    if len(whole) < length:
        whole = np.pad(whole, (0, length - len(whole)))
    loud = planting.active_power(whole)
    for _ in range(10):
        start = int(rng.integers(len(whole) - length + 1))
        part = whole[start : start + length]
        if np.mean(part**2) > 0.2 * loud:
            break
    return Clean(part, voice.noise, voice.width_hz, voice.made)


def heard(planted: Sequence[tuple[Clean, Planted]]) -> Examples:
    samples = torch.from_numpy(np.stack([done.samples for _, done in planted]))
    power, _ = mel.power(samples, torch.full((len(planted),), samples.shape[1]), MEL)
    bounds = torch.tensor(np.array([_bounds(*one) for one in planted]), dtype=torch.float32)
    return Examples(claritynet.statistics(power), bounds[:, 0], bounds[:, 1])


def _bounds(voice: Clean, done: Planted) -> NDArray[np.float64]:
    """The least and the most that each output may say: (2, outputs)."""
    snr = float(np.clip(done.snr_db, FAINTEST_DB, LOUDEST_DB))
    room = done.plan.room
    echo = (-np.inf, np.log2(DRY_S)) if room is None else (np.log2(room.t60_s),) * 2
    early = (DRY_C50_DB, np.inf)
    if room is not None:
        early = (min(room.built.c50_db, CLEAREST_DB),) * 2
    known = done.plan.width_hz < planting.FULL_HZ or not voice.made
    width = (done.width_hz / 1000 if known else np.nan,) * 2
    return np.array([(snr, snr), echo, early, width]).T


def loss(network: nn.Module, batch: Examples) -> Tensor:
    """Distance from the truth, from the truth's differences within pairs, and sureness."""
    heard: claritynet.Heard = network(batch.found)
    scales = torch.tensor(claritynet.SCALES, device=batch.found.device)
    aim = torch.clamp(heard.mean.detach(), batch.least, batch.most)
    known = ~batch.least.isnan()
    away = (heard.mean - torch.where(known, aim, heard.mean.detach())) / scales
    deviation = heard.deviation / scales
    doubt = 0.5 * (away.detach() / deviation).square() + deviation.log()
    exact = batch.least == batch.most
    both = exact[::2] & exact[1::2]
    apart = torch.where(both, away[::2] - away[1::2], 0.0)
    return _smooth(away).mean() + TOGETHER * _smooth(apart).mean() + SURENESS * doubt[known].mean()


def _smooth(away: Tensor) -> Tensor:
    return nn.functional.smooth_l1_loss(away, torch.zeros_like(away), beta=0.2, reduction="none")


def evaluate(network: ClarityNet, voices: Sequence[Clean], seed: int = 1) -> dict[str, float]:
    """Mean errors over four-second windows of unseen speakers, with all that is planted at once."""
    rng = np.random.default_rng(seed)
    talkers = [voice.samples for voice in voices]
    figures, errors = dict[str, float](), list[NDArray[np.float64]]()
    for noise in planting.NOISES:
        away = [errors_in(network, degraded(v, noise, talkers, rng)) for v in voices]
        errors += away
        figures[f"snr_error_db_{noise}"] = float(np.nanmean([one[0] for one in away]))
    snr, echo, early, width = np.nanmean(np.array(errors), axis=0)
    overall = {"snr_error_db": snr, "t60_error_octaves": echo, "c50_error_db": early}
    return figures | {k: float(v) for k, v in overall.items()} | {"width_error_khz": float(width)}


def degraded(
    voice: Clean, noise: planting.Noise, talkers: Sequence[Floats], rng: np.random.Generator
) -> Examples:
    """One window of the voice in a noise of that kind, and whatever else happens to it."""
    part = _window(voice, claritynet.WINDOW, rng)
    asked = replace(plan(rng), noise=noise, snr_db=rng.uniform(-5, 40))
    return heard([(part, planting.plant(part, asked, talkers))])


def errors_in(network: ClarityNet, one: Examples) -> NDArray[np.float64]:
    """How far off each output is; nan where the truth is not one value."""
    with torch.inference_mode():
        said = network(one.found).mean[0].numpy()
    exact = np.isfinite(one.least[0].numpy()) & (one.least[0] == one.most[0]).numpy()
    return np.where(exact, np.abs(said - one.least[0].numpy()), np.nan)


def card(figures: Mapping[str, float]) -> str:
    """The model card; the figures are those of the run that made the weights."""
    noises = "\n".join(
        f"| signal-to-noise ratio, {noise} noise | {figures[f'snr_error_db_{noise}']:.1f} dB |"
        for noise in planting.NOISES
    )
    return CARD.format(noises=noises, **figures)


CARD = """What was done to a voice: signal-to-noise ratio, reverberation time and clarity index C50, upper
edge of the voice's band, each with its standard deviation, from four seconds of log-mel levels.
`ClarityNet` in `models/claritynet.py`: 214 000 parameters, a perceptron of two hidden layers on
1602 fixed statistics of 64 mel bands: how levels, their changes, their falls after loud frames
and their modulation are distributed.

**Licence** Apache-2.0.

**Learnt from** 188 LibriSpeech speakers of train-clean-100 (V. Panayotov, G. Chen, D. Povey & S.
Khudanpur, CC BY 4.0), Picovoice's spoken orders (Apache-2.0), six public-domain or BSD-2
sentences, their own steady noise taken down, and 60 voices of the source-filter synthesiser.
Planted in them (`training/planting.py`, `training/rooms.py`): white, pink, brown, babble, hum,
impulsive and shaped noise at -6 to 42 dB, rooms of 0.12 to 1.4 s (image sources with diffuse
tails, exponential tails), steep and gentle low-pass filters from 1.5 kHz, clipping, hum. Windows
come in pairs of which the second has more of one degradation, and the differences within a pair
are learnt too.
Recipe `training/recipes/clarity.py`, one run of `python -m training.retrain clarity --minutes 35`
on one CPU thread: {examples:.0f} degraded windows, half of them the other half with more of one
thing.

**Judged on** 33 LibriSpeech speakers it has not learnt from, one four-second window for each
noise, everything planted at once (so a 35 dB ratio may be heard through a clipped room); mean
absolute errors:

| | |
|---|---|
{noises}
| reverberation time | {t60_error_octaves:.2f} octaves |
| C50 | {c50_error_db:.1f} dB |
| upper edge of the band | {width_error_khz:.2f} kHz |

The engine joins windows and adds what signal processing hears: EVALUATION.md judges that.

**Limits** The ratio is of all that is not the voice, babble included: whether other talkers are
noise is a matter of who is louder. Ratios over 40 dB are not told apart. A room is heard as long
as it is stronger than the noise; recordings made close to the microphone say "short" and no more.
Held notes without pauses were learnt from synthesised voices only. Not judged on children, on
music, or on takes that a codec went through several times.
"""
