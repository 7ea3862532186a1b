"""How PitchNet is trained: soft labels on voices whose F0 is exact, in rooms and noise."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from models import decoding
from models.audio import ANALYSIS_RATE, Audio
from models.decoding import Calibration, Path
from models.pitch import PitchEngine
from models.pitchnet import BINS, MARGIN, REACH, PitchNet, hz_to_bin, levelled
from models.results import Version
from models.spectra import HOP
from training import augment, data, tensors, voices
from training.loop import Learnt, NothingToLearn, Plan, Run, Trained, fit
from training.melody_metrics import TOLERANCE, Accuracy, accuracy, errors
from training.tensors import Kept
from training.voices import Known

CORPORA = ("librispeech_subset", "small_asr", "picovoice_intent")
ORDERS = 120  # clips of picovoice_intent: enough of its microphones, and no more of its sentences
SHARES = {"speech": 0.8, "imagined": 0.2}  # of a batch
BATCH, SECONDS = 10, 2
BLUR = 0.9  # bins: standard deviation of the soft label, 30 cents
CHANNELS = 32
IMAGINED = 200  # voices made up, and as many tones
UNHEARD = 900  # seed of those that nobody learns from
UNDER_WAY = augment.Conditions(noise=0.6, room=0.15, codec=0.08)
JUDGED_AT = {"clean": None, "20db": 20.0, "10db": 10.0, "0db": 0.0}


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Batch:
    samples: NDArray[np.float32]  # (batch, samples)
    f0_hz: NDArray[np.float32]  # (batch, frames)


def train(run: Run) -> Trained:
    """From corpora to a network, and how well it does on speakers it has not heard."""
    parts = split(run.corpora)
    pools = material(parts.train, run)
    learnt = _learnt(pools, tuned_by(parts.held_out, run.work), run)
    network, calibration = network_of(Kept(learnt.tensors, learnt.metadata))
    figures = judged(network, calibration, held_out(run.corpora, run.work))
    steps = int(learnt.figures["steps"])
    text = card(figures, {kind: len(pool) for kind, pool in pools.items()}, steps)
    return Trained(learnt.tensors, learnt.metadata, "Apache-2.0", figures, text)


def retrain(run: Run) -> Learnt:
    """From clips of any source and voices made up.

    No clip needs a label: WORLD takes it apart and puts it together on a contour that we choose,
    so that its F0 is exact whoever spoke it, users' recordings too. The confidence is calibrated
    on speakers that the network has not heard: of the held-out ones where it had a start, as that
    may have heard all others; what the gate looks at does not depend on it.
    """
    split = run.split or data.Split([], [])
    within = data.by_speaker(split.train)
    pools = material(split.train if run.base else within.train, run)
    if not pools:
        raise NothingToLearn("There are neither clips nor voices made up.")
    tuning = tuned_by(split.held_out if run.base else within.held_out, run.work)
    return _learnt(pools, tuning or made_up(run.work), run)


def _learnt(pools: Mapping[str, Sequence[Known]], tuning: Sequence[Known], run: Run) -> Learnt:
    network = network_of(tensors.read(run.base))[0] if run.base else PitchNet(CHANNELS)
    batches = draw(pools, run.rng())
    kept = run.checkpoints / "pitch.pt"
    plan = Plan(run.minutes, run.learning_rate, checkpoint=kept, device=run.device)
    steps = fit(network, batches, loss, plan, run.report)
    calibration = calibrated(network, tuning)
    metadata = {"channels": str(CHANNELS), "steps": str(steps), **calibration.metadata()}
    return Learnt(network.state_dict(), metadata, {"steps": float(steps)})


def network_of(kept: Kept) -> tuple[PitchNet, Calibration | None]:
    network = PitchNet(int(kept.metadata["channels"]))
    network.load_state_dict(dict(kept.tensors))
    return network.eval(), Calibration.read(kept.metadata)


def material(clips: Sequence[data.Clip], run: Run) -> dict[str, list[Known]]:
    """All clips, by kind; made once and kept in `run.work`."""
    pools = {"speech": voices.of_clips(clips, run.work / "speech", run.seed)}
    if run.synthesis:
        count = min(IMAGINED, max(10, round(IMAGINED * run.minutes / 10)))  # less for a short run
        pools["imagined"] = voices.imagined(count, run.work / "imagined", run.seed)
    return {kind: pool for kind, pool in pools.items() if pool}


def made_up(work: File) -> list[Known]:
    """Voices that nobody has learnt from, where there are no other speakers."""
    return voices.imagined(10, work / "made_up", UNHEARD)


def split(corpora: File) -> data.Split:
    """Speakers to learn from and speakers to tune by: none of them is in `held_out`."""
    clips = data.by_speaker(data.corpora(corpora, CORPORA)).train
    within = data.by_speaker([clip for clip in clips if clip.shippable])
    orders = [clip for clip in within.train if clip.corpus == "picovoice_intent"]
    return data.Split(
        [clip for clip in within.train if clip not in orders[ORDERS:]], within.held_out
    )


def tuned_by(clips: Sequence[data.Clip], work: File) -> list[Known]:
    """Clips of other speakers, by whom the confidence is calibrated."""
    return voices.of_clips(clips, work / "tuned_by", 2, voices.plainly)


def held_out(corpora: File, work: File) -> list[Known]:
    """Clips of the speakers nobody trained on, spoken as in METHODS."""
    clips = data.by_speaker(data.corpora(corpora, CORPORA)).held_out
    return voices.of_clips(clips, work / "held_out", 1, voices.plainly)


def draw(pools: Mapping[str, Sequence[Known]], rng: np.random.Generator) -> Iterator[Batch]:
    """Crops, each under its own conditions."""
    talkers = [known.samples for known in pools.get("speech", pools.get("imagined", ()))]
    kinds = list(pools)
    shares = np.array([SHARES[kind] for kind in kinds])
    shares /= shares.sum()
    while True:
        chosen = [pools[str(rng.choice(kinds, p=shares))] for _ in range(BATCH)]
        crops = [_crop(pool[int(rng.integers(len(pool)))], rng) for pool in chosen]
        samples = [augment.degrade(crop.samples, rng, UNDER_WAY, talkers) for crop in crops]
        yield Batch(np.stack(samples), np.stack([crop.f0_hz for crop in crops]))


def loss(network: PitchNet, batch: Batch) -> Tensor:
    """Cross-entropy of the pitch where there is one, and of there being one."""
    device = network.voicing.weight.device
    samples = torch.from_numpy(batch.samples).to(device)
    lengths = torch.full((len(samples),), samples.shape[1], device=device)
    level, _ = levelled(samples, lengths)
    with torch.no_grad():
        stacked, clues = network.harmonics(nn.functional.pad(level, (MARGIN, MARGIN)))
    with torch.autocast(device.type, torch.bfloat16):  # the spectra need all their digits
        pitch, voicing = network.score(stacked, clues)
    truth = torch.from_numpy(batch.f0_hz).to(device)
    f0, certain = truth.nan_to_num(0.0), (~truth.isnan()).float()
    voiced = (f0 > 0).float()
    surprise = -(_soft_labels(f0) * torch.log_softmax(pitch.float(), -1)).sum(-1)
    heard = nn.functional.binary_cross_entropy_with_logits(voicing.float(), voiced, certain)
    return (surprise * voiced).sum() / voiced.sum().clamp_min(1) + heard


def calibrated(network: PitchNet, known: Sequence[Known]) -> Calibration:
    """What turns the network's two probabilities into the chance that a voiced frame is right."""
    clues: list[Floats] = []
    right: list[NDArray[np.bool_]] = []
    for snr_db in JUDGED_AT.values():
        takes = noisy(known, snr_db, seed=6)
        by_voicing, by_mass = (
            engine_of(network, calibration).hear(takes).paths
            for calibration in (Calibration(1, 0, 0), Calibration(0, 1, 0))
        )
        for voicing, mass, one in zip(by_voicing, by_mass, known, strict=True):
            count = min(len(one.f0_hz), len(voicing.hz))
            said = voicing.voiced[:count]
            pair = np.stack([voicing.confidence[:count], mass.confidence[:count]], 1)
            clues.append(decoding.logit(pair[said]))
            off = np.abs(errors(voicing.hz[:count], one.f0_hz[:count]))
            right.append((off < TOLERANCE)[said])
    return _fitted(np.concatenate(clues), np.concatenate(right))


def _fitted(clues: Floats, right: NDArray[np.bool_]) -> Calibration:
    """Logistic regression of `right` (frames,) on `clues` (frames, 2)."""

    def surprise(weights: Floats) -> float:
        score = clues @ weights[:2] + weights[2]
        return float(np.mean(np.logaddexp(0, np.where(right, -score, score))))

    voicing, mass, bias = minimize(surprise, np.array([1.0, 1.0, 0.0])).x
    return Calibration(float(voicing), float(mass), float(bias))


def judged(
    network: PitchNet, calibration: Calibration | None, known: Sequence[Known]
) -> dict[str, float]:
    """RPA, OA and VFA at each signal-to-noise ratio; cents and octaves where it is clean."""
    engine = engine_of(network, calibration)
    figures = {}
    for name, snr_db in JUDGED_AT.items():
        overall = compared(engine.hear(noisy(known, snr_db)).paths, known)
        figures[f"rpa_{name}"] = overall.raw_pitch
        figures[f"oa_{name}"] = overall.overall
        figures[f"vfa_{name}"] = overall.voicing_false_alarm
        figures[f"error_cents_{name}"] = overall.error_cents
    return figures


def engine_of(network: PitchNet, calibration: Calibration | None) -> PitchEngine:
    version = Version(name="pitch", version="0", sha256="")
    return PitchEngine(copy.deepcopy(network), version, calibration=calibration)


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
    weight = torch.exp(-0.5 * ((torch.arange(BINS, device=at.device) - at) / BLUR) ** 2)
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-9)


def _crop(known: Known, rng: np.random.Generator) -> Known:
    """Two seconds from a random frame on; silence where the clip is shorter."""
    frames = SECONDS * ANALYSIS_RATE // HOP
    start = int(rng.integers(max(1, len(known.f0_hz) - frames)))
    samples = np.zeros(frames * HOP, np.float32)
    f0 = np.zeros(frames + 1, np.float32)
    sound = known.samples[start * HOP : start * HOP + len(samples)]
    truth = known.f0_hz[start : start + len(f0)]
    samples[: len(sound)], f0[: len(truth)] = sound, truth
    return Known(samples, f0)


def card(figures: Mapping[str, float], clips: Mapping[str, int], steps: int) -> str:
    rows = [
        f"| {name} | {figures[f'rpa_{name}']:.3f} | {figures[f'oa_{name}']:.3f} "
        f"| {figures[f'vfa_{name}']:.3f} | {figures[f'error_cents_{name}']:.1f} |"
        for name in JUDGED_AT
    ]
    count = sum(weight.numel() for weight in PitchNet(CHANNELS).parameters())
    return CARD.format(
        parameters=f"{count:,}".replace(",", " "),
        speech=clips["speech"],
        imagined=clips["imagined"],
        heard=f"{steps * BATCH * SECONDS / 3600:.0f}",
        rows="\n".join(rows),
        look_ahead=round(1000 * (REACH * HOP + MARGIN) / ANALYSIS_RATE),
    )


CARD = """PitchNet (`models/pitchnet.py`): F0 of one voice, every 10 ms, 46-1400 Hz.

| | |
|---|---|
| parameters | {parameters} |
| input | mono, 16 kHz, any level; log spectra of 64 ms and 128 ms at 36 bins an octave, harmonics stacked (x0.5, 1, 2, 3, 4, 5, 6, 8 and x1, 2, 3) |
| output | a score for each of 180 bins from 45 Hz, and one for there being a voice |
| then | Viterbi path (`models/decoding.py`), F0 refined by the phase of its harmonics (`models/refinement.py`) |
| confidence | the chance that a voiced frame is voiced and within 50 cents, by logistic regression on speakers of its own |
| look-ahead | {look_ahead} ms; less when streamed (`models/pitch_stream.py`) |
| licence of the weights | Apache-2.0 |

## Data

Most clips were resynthesised by WORLD (Morise et al. 2016) with an F0 contour that we imposed, so
the truth is exact (the method of MDB-stem-synth, Salamon et al. 2017): {speech} clips of speech, each
recording once as it was (its F0 only where two estimates agree), twice transposed, once put to a
melody and drawn out; and {imagined} source-filter voices and tones of one to twelve harmonics.

- LibriSpeech, train-clean-100, one utterance a speaker. V. Panayotov, G. Chen, D. Povey,
  S. Khudanpur, "LibriSpeech: an ASR corpus based on public domain audio books", ICASSP 2015;
  CC BY 4.0, <https://www.openslr.org/12>. Changed: cut to 8 s, taken apart, formants warped,
  resynthesised.
- Picovoice's spoken orders, Apache-2.0; six sentences in the public domain or under BSD-2.
- Under way: white, coloured and babble noise and hum from -6 to 30 dB, rooms of 0.1-0.8 s, EQ,
  clipping, Opus, MP3 and the telephone's mu-law, levels from -30 to 0 dBFS (`training/augment.py`).

Crops of 2 s, about {heard} hours heard in all.

## How good

Speakers who were held out, one utterance each, resynthesised by WORLD and transposed by up to
0.7 octaves; noise is white, pink or babble, drawn for each clip. EVALUATION.md has the peers beside
it, on this, on source-filter voices and on natural speech.

| noise | RPA | OA | VFA | median error, cents |
|---|---|---|---|---|
{rows}

The resynthesis, its voicing rule and the noise are those of training, and the babble is of the
held-out speakers themselves: part of this is home ground.

## Limits

One voice at a time: of two voices it follows one, and instruments are heard as voices. Trained on
read and spoken English and synthetic singing: growls, vocal fry under 46 Hz, whistles over 1400 Hz
and breathy onsets are outside it. Never judged on children or on real singing: no recordings of
either were at hand.
"""
