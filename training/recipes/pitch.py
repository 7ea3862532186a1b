"""How PitchNet is trained: soft labels on voices whose F0 is exact, in rooms and noise."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as File

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.audio import ANALYSIS_RATE, Audio
from models.decoding import Path
from models.pitch import PitchEngine
from models.pitchnet import BINS, MARGIN, PitchNet, hz_to_bin, levelled
from models.results import Version
from models.spectra import HOP
from training import augment, data, voices
from training.loop import Plan, Run, Trained, fit
from training.melody_metrics import Accuracy, accuracy
from training.voices import Known

CORPORA = ("librispeech_subset", "small_asr", "picovoice_intent")
ORDERS = 120  # clips of picovoice_intent: enough of its microphones, and no more of its sentences
SHARES = {"speech": 0.8, "imagined": 0.2}  # of a batch
BATCH, SECONDS = 10, 2
BLUR = 0.9  # bins: standard deviation of the soft label, 30 cents
CHANNELS = 32
UNDER_WAY = augment.Conditions(noise=0.7, room=0.2, codec=0.08)
JUDGED_AT = {"clean": None, "20db": 20.0, "10db": 10.0, "0db": 0.0}


@dataclass(frozen=True, slots=True)
class Batch:
    samples: NDArray[np.float32]  # (batch, samples)
    f0_hz: NDArray[np.float32]  # (batch, frames)


def train(run: Run) -> Trained:
    """From corpora to a network, and how well it does on speakers it has not heard."""
    pools = material(run)
    network = PitchNet(CHANNELS)
    batches = draw(pools, np.random.default_rng(run.seed))
    plan = Plan(run.minutes, checkpoint=run.work / "checkpoint.pt")
    steps = fit(network, batches, loss, plan, run.report)
    metadata = {"channels": str(CHANNELS), "steps": str(steps)}
    figures = judged(network, held_out(run.corpora, run.work))
    return Trained(network.state_dict(), metadata, "Apache-2.0", figures)


def material(run: Run) -> dict[str, list[Known]]:
    """All clips, by kind; made once and kept in `run.work`."""
    clips = split(run.corpora).train
    return {
        "speech": voices.of_clips(clips, run.work / "speech", run.seed),
        "imagined": voices.imagined(200, run.work / "imagined", run.seed),
    }


def split(corpora: File) -> data.Split:
    """Speakers to learn from and speakers to tune by: none of them is in `held_out`."""
    clips = data.by_speaker(data.corpora(corpora, CORPORA)).train
    within = data.by_speaker([clip for clip in clips if clip.shippable])
    orders = [clip for clip in within.train if clip.corpus == "picovoice_intent"]
    return data.Split(
        [clip for clip in within.train if clip not in orders[ORDERS:]], within.held_out
    )


def held_out(corpora: File, work: File) -> list[Known]:
    """Clips of the speakers nobody trained on, spoken as in METHODS."""
    clips = data.by_speaker(data.corpora(corpora, CORPORA)).held_out
    return voices.of_clips(clips, work / "held_out", 1, voices.plainly)


def draw(pools: dict[str, list[Known]], rng: np.random.Generator) -> Iterator[Batch]:
    """Crops, each under its own conditions."""
    talkers = [known.samples for known in pools["speech"]]
    kinds, shares = list(SHARES), list(SHARES.values())
    while True:
        chosen = [pools[str(rng.choice(kinds, p=shares))] for _ in range(BATCH)]
        crops = [_crop(pool[int(rng.integers(len(pool)))], rng) for pool in chosen]
        samples = [augment.degrade(crop.samples, rng, UNDER_WAY, talkers) for crop in crops]
        yield Batch(np.stack(samples), np.stack([crop.f0_hz for crop in crops]))


def loss(network: PitchNet, batch: Batch) -> Tensor:
    """Cross-entropy of the pitch where there is one, and of there being one."""
    samples = torch.from_numpy(batch.samples)
    lengths = torch.full((len(samples),), samples.shape[1])
    level, _ = levelled(samples, lengths)
    with torch.no_grad():
        stacked, clues = network.harmonics(nn.functional.pad(level, (MARGIN, MARGIN)))
    with torch.autocast("cpu", torch.bfloat16):  # the spectra need all their digits
        pitch, voicing = network.score(stacked, clues)
    truth = torch.from_numpy(batch.f0_hz)
    f0, certain = truth.nan_to_num(0.0), (~truth.isnan()).float()
    voiced = (f0 > 0).float()
    surprise = -(_soft_labels(f0) * torch.log_softmax(pitch.float(), -1)).sum(-1)
    heard = nn.functional.binary_cross_entropy_with_logits(voicing.float(), voiced, certain)
    return (surprise * voiced).sum() / voiced.sum().clamp_min(1) + heard


def judged(network: PitchNet, known: Sequence[Known]) -> dict[str, float]:
    """RPA, OA and VFA at each signal-to-noise ratio."""
    engine = PitchEngine(copy.deepcopy(network), Version(name="pitch", version="0", sha256=""))
    figures = {}
    for name, snr_db in JUDGED_AT.items():
        overall = compared(engine.hear(noisy(known, snr_db)).paths, known)
        figures[f"rpa_{name}"] = overall.raw_pitch
        figures[f"oa_{name}"] = overall.overall
        figures[f"vfa_{name}"] = overall.voicing_false_alarm
    return figures


def noisy(known: Sequence[Known], snr_db: float | None, seed: int = 5) -> list[Audio]:
    """The clips in white, pink or babble noise by turns."""
    rng, talkers = np.random.default_rng(seed), [one.samples for one in known]
    takes = []
    for index, one in enumerate(known):
        sound: NDArray[np.floating] = one.samples
        if snr_db is not None:
            length = len(sound)
            kinds = (
                lambda n=length: augment.white(n, rng),
                lambda n=length: augment.coloured(n, 1.0, rng),
                lambda n=length: augment.babble(n, talkers, rng),
            )
            sound = augment.mixed(sound, kinds[index % 3](), snr_db)
        takes.append(Audio(augment.at_peak(sound, -6.0), ANALYSIS_RATE))
    return takes


def compared(found: Sequence[Path], known: Sequence[Known]) -> Accuracy:
    """Over all frames of all clips."""
    pairs = [
        (path, one, min(len(path.hz), len(one.f0_hz)))
        for path, one in zip(found, known, strict=True)
    ]
    return accuracy(
        np.concatenate([path.hz[:n] for path, _, n in pairs]),
        np.concatenate([path.voiced[:n] for path, _, n in pairs]),
        np.concatenate([one.f0_hz[:n] for _, one, n in pairs]),
    )


def _soft_labels(f0: Tensor) -> Tensor:
    """(batch, frames, bins): a Gaussian around the true pitch."""
    at = hz_to_bin(f0.clamp_min(1.0))[..., None]
    weight = torch.exp(-0.5 * ((torch.arange(BINS) - at) / BLUR) ** 2)
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-9)


def _crop(known: Known, rng: np.random.Generator) -> Known:
    """One second from a random frame on; silence where the clip is shorter."""
    frames = SECONDS * ANALYSIS_RATE // HOP
    start = int(rng.integers(max(1, len(known.f0_hz) - frames)))
    samples = np.zeros(frames * HOP, np.float32)
    f0 = np.zeros(frames + 1, np.float32)
    sound = known.samples[start * HOP : start * HOP + len(samples)]
    truth = known.f0_hz[start : start + len(f0)]
    samples[: len(sound)], f0[: len(truth)] = sound, truth
    return Known(samples, f0)
