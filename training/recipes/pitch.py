"""How PitchNet is trained: soft labels on voices whose F0 is exact, in rooms and noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.audio import ANALYSIS_RATE
from models.pitchnet import BINS, MARGIN, PitchNet, hz_to_bin, levelled
from models.spectra import HOP
from training import augment, data, voices
from training.loop import Plan, Run, Trained, fit
from training.voices import Known

CORPORA = ("librispeech_subset", "small_asr")
SHARES = {"speech": 0.75, "imagined": 0.25}  # of a batch
BATCH, SECONDS = 20, 1
BLUR = 0.9  # bins: standard deviation of the soft label, 30 cents
CHANNELS = 24


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
    return Trained(network.state_dict(), metadata, "Apache-2.0")


def material(run: Run) -> dict[str, list[Known]]:
    """All clips, by kind; made once and kept in `run.work`."""
    clips = data.by_speaker(data.corpora(run.corpora, CORPORA)).train
    shippable = [clip for clip in clips if clip.shippable]
    return {
        "speech": voices.of_clips(shippable, run.work / "speech", run.seed),
        "imagined": voices.imagined(120, run.work / "imagined", run.seed),
    }


def held_out(corpora: Path, work: Path) -> list[Known]:
    """Clips of the speakers nobody trained on, spoken as in METHODS."""
    clips = data.by_speaker(data.corpora(corpora, CORPORA)).held_out
    return voices.of_clips(clips, work / "held_out", seed=1, plainly=True)


def draw(pools: dict[str, list[Known]], rng: np.random.Generator) -> Iterator[Batch]:
    """Crops, each under its own conditions."""
    talkers = [known.samples for known in pools["speech"]]
    kinds, shares = list(SHARES), list(SHARES.values())
    while True:
        chosen = [pools[str(rng.choice(kinds, p=shares))] for _ in range(BATCH)]
        crops = [_crop(pool[int(rng.integers(len(pool)))], rng) for pool in chosen]
        samples = [augment.degrade(crop.samples, rng, voices=talkers) for crop in crops]
        yield Batch(np.stack(samples), np.stack([crop.f0_hz for crop in crops]))


def loss(network: PitchNet, batch: Batch) -> Tensor:
    """Cross-entropy of the pitch where there is one, and of there being one."""
    samples = torch.from_numpy(batch.samples)
    lengths = torch.full((len(samples),), samples.shape[1])
    level, _ = levelled(samples, lengths)
    stacked = network.harmonics(nn.functional.pad(level, (MARGIN, MARGIN)))
    with torch.autocast("cpu", torch.bfloat16):  # the spectra need all their digits
        pitch, voicing = network.score(stacked)
    f0 = torch.from_numpy(batch.f0_hz)
    voiced = (f0 > 0).float()
    surprise = -(_soft_labels(f0) * torch.log_softmax(pitch.float(), -1)).sum(-1)
    heard = nn.functional.binary_cross_entropy_with_logits(voicing.float(), voiced)
    return (surprise * voiced).sum() / voiced.sum().clamp_min(1) + heard


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


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


__all__: Sequence[str] = ("held_out", "parameters", "train")
