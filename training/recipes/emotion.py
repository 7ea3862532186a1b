"""Emotion: learn eight acted expressions from RAVDESS, judged on speakers it has not heard.

The weights inherit the corpus's licence, CC BY-NC-SA 4.0 (Livingstone & Russo, PLoS ONE 2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from models import activity, spectra
from models.audio import Audio
from models.emotion import Heard, hear
from models.emotionnet import CATEGORIES, MEMBERS, EmotionNet, Member
from training import data, emotion_metrics, expressions, tensors
from training.emotion_metrics import Judged
from training.expressions import Batch, Material
from training.loop import Learnt, NothingToLearn, Plan, Report, Run, Trained, fit
from training.tensors import Kept

LICENCE = "CC-BY-NC-SA-4.0"
CORPUS, FOREIGN = "ravdess", "emodb"
SMOOTHING = 0.05
SHRINKAGE = 0.04  # of the discriminant's covariance towards a multiple of the identity
MOST_STEPS = 1_000_000  # of a member: the steps of the next are counted from there
NEVER = -100.0  # log-odds of a category of which there was no clip
CONFIDENCE = 0.25  # of the discriminant: it takes the variants of a clip for different clips


def train(run: Run) -> Trained:
    """Learn from 17 actors, calibrate and judge on the other three.

    Needs the weights of `activity`, and `emodb` for the figures of another corpus.
    """
    split = data.by_speaker(data.corpus(run.corpora, CORPUS))
    known = expressions.material(split.train, CATEGORIES, np.random.default_rng(run.seed))
    network = learn(known, CATEGORIES, run.minutes, run.seed, report=run.report)
    own = judged(network, split.held_out, CATEGORIES)
    foreign = judged(network, data.corpus(run.corpora, FOREIGN), CATEGORIES)
    figures = emotion_metrics.figures(own, foreign)
    text = card(figures, by_category(own, CATEGORIES), sum(x.numel() for x in network.parameters()))
    return Trained(network.state_dict(), metadata(figures), LICENCE, figures, text)


def retrain(run: Run) -> Learnt:
    """From labelled clips of any source; what is not labelled as a category is left out.

    Recordings without labels teach nothing here: what the champion hears in them is what it
    knows already, and its errors with it. Calibrated on the held-out speakers, as no others are
    new to the weights it starts from; what the gate looks at does not depend on that.
    """
    clips = labelled(run.split.train if run.split else [])
    if not clips:
        raise NothingToLearn(f"No clip is labelled with one of {', '.join(CATEGORIES)}.")
    known = expressions.material(clips, CATEGORIES, run.rng())
    network = learn(
        known,
        CATEGORIES,
        run.minutes,
        run.seed,
        start=network_of(tensors.read(run.base)) if run.base else None,
        report=run.report,
        run=run,
    )
    apart = labelled(run.split.held_out if run.split else [])
    own = judged(network, apart or clips, CATEGORIES)
    found = emotion_metrics.figures(own, own)
    figures = {name: float(np.nan_to_num(value)) for name, value in found.items()}  # few speakers
    return Learnt(network.state_dict(), metadata(figures), {"clips": float(len(clips))})


def labelled(clips: Sequence[data.Clip]) -> list[data.Clip]:
    return [clip for clip in clips if expressions.name_of(clip) in CATEGORIES]


def network_of(kept: Kept) -> EmotionNet:
    network = EmotionNet()
    network.load_state_dict(dict(kept.tensors))
    return network.eval()


def learn(
    known: Material,
    names: Sequence[str],
    minutes: float,
    seed: int = 0,
    *,
    members: int = MEMBERS,
    start: EmotionNet | None = None,
    report: Report = lambda step, figures: None,
    run: Run | None = None,
) -> EmotionNet:
    """A network for the categories `names`; each member gets its share of the minutes.

    The members go on from those of `start`, but for the layers whose shape is another. A `run`
    says where checkpoints go, and which worker this is.
    """
    network = EmotionNet(members, len(names))
    _standardise(network, known)
    standard = network.standard(torch.from_numpy(known.measured))
    _discriminate(network.discriminant, standard, known, len(names))
    ready = replace(known, measured=standard.numpy())
    for place, member in enumerate(network.members):
        assert isinstance(member, Member)
        torch.manual_seed(1000 * seed + place)
        _begin(member, len(names), start.members[place % len(start.members)] if start else None)
        rng = np.random.default_rng([seed, place, *([run.rank] if run and run.rank else [])])
        plan = _plan(minutes / members, place, run)
        fit(member, expressions.batches(ready, len(names), rng), loss, plan, _after(report, place))
    return network.eval()


def _plan(minutes: float, place: int, run: Run | None) -> Plan:
    plan = Plan(minutes, weight_decay=0.02, warm_up_steps=30)
    if run is None:
        return plan
    kept = run.checkpoints / f"member-{place}.pt"
    return replace(plan, learning_rate=run.learning_rate, checkpoint=kept, device=run.device)


def _after(report: Report, place: int) -> Report:
    """Steps go on from those of the members before."""
    return lambda step, figures: report(place * MOST_STEPS + step, figures)


def _begin(member: Member, categories: int, other: nn.Module | None) -> None:
    """Fresh weights by the seed, or another member's."""
    fresh = Member(categories).state_dict()
    learnt = other.state_dict() if other else {}
    same = {name: x for name, x in learnt.items() if x.shape == fresh[name].shape}
    member.load_state_dict(fresh | same)
    # Quicker on a CPU; torch's stubs leave the argument out.
    member.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _standardise(network: EmotionNet, known: Material) -> None:
    measured = known.measured.reshape(-1, known.measured.shape[-1])
    network.centre.copy_(torch.from_numpy(measured.mean(0)))
    network.scale.copy_(torch.from_numpy(measured.std(0) + 1e-6))


def _discriminate(linear: nn.Linear, standard: Tensor, known: Material, categories: int) -> None:
    """Fisher's discriminant with a shrunk covariance, every category as likely as the others."""
    _, variants, count = standard.shape
    x = standard.reshape(-1, count).double()
    wanted = torch.from_numpy(known.categories).repeat_interleave(variants)
    there = torch.bincount(wanted, minlength=categories) > 0
    means = torch.stack(
        [x[wanted == one if there[one] else slice(None)].mean(0) for one in range(categories)]
    )
    far = x - means[wanted]
    spread = far.T @ far / len(x)
    even = spread.diagonal().mean() * torch.eye(count, dtype=x.dtype)
    weights = torch.linalg.solve((1 - SHRINKAGE) * spread + SHRINKAGE * even, means.T).T
    bias = -CONFIDENCE / 2 * (means * weights).sum(1)
    with torch.no_grad():
        linear.weight.copy_(CONFIDENCE * weights * there[:, None])
        linear.bias.copy_(torch.where(there, bias, NEVER))


def loss(member: Member, batch: Batch) -> Tensor:
    """Smoothed cross-entropy, and the squared error of the dimensions."""
    with torch.autocast(batch.known.device.type, torch.bfloat16):
        logits, heard = member(batch.seen, batch.known)
    wanted = batch.categories * (1 - SMOOTHING) + SMOOTHING / batch.categories.shape[1]
    entropy = -(wanted * torch.log_softmax(logits, 1)).sum(1).mean()
    return entropy + nn.functional.mse_loss(heard, batch.dimensions)


def judged(
    network: EmotionNet,
    clips: Sequence[data.Clip],
    names: Sequence[str],
    learnt: Sequence[str] | None = None,
) -> Judged:
    """By the same windows and weights as the engine; clips without voice are left out.

    Only clips of the categories `names` are asked about, and only these are told apart; `learnt`
    are the network's own, where they are others.
    """
    known = [clip for clip in clips if expressions.name_of(clip) in names]
    columns = [(learnt or names).index(name) for name in names]
    detector, _ = activity.load()
    told = [hear_one(network.eval(), detector, clip.audio()) for clip in known]
    pairs = [(clip, heard) for clip, heard in zip(known, told, strict=True) if heard]
    return Judged(
        np.array([heard.logits[columns] for _, heard in pairs]),
        np.array([heard.arousal_and_valence for _, heard in pairs]),
        np.array([names.index(expressions.name_of(clip)) for clip, _ in pairs]),
        np.array([expressions.truth(clip) for clip, _ in pairs]),
        np.array([clip.speaker for clip, _ in pairs]),
    )


def hear_one(network: EmotionNet, detector: activity.ActivityNet, audio: Audio) -> Heard | None:
    samples, lengths = spectra.batch([audio])
    return hear(network, samples, lengths, activity.detect(detector, samples, lengths))[0]


def metadata(figures: Mapping[str, float]) -> dict[str, str]:
    """What the engine needs to know beside the tensors."""
    values = {
        "temperature": figures["temperature"],
        "threshold": figures["threshold"],
        "arousal_error": figures["arousal_rmse"],
        "valence_error": figures["valence_rmse"],
        "arousal_confidence": max(figures["emodb_arousal_ccc"], 0.0),
        "valence_confidence": max(figures["emodb_valence_ccc"], 0.0),
    }
    return {name: f"{value:.3f}" for name, value in values.items()}


def by_category(own: Judged, names: Sequence[str]) -> dict[str, float]:
    """Recall of each that was asked about."""
    right = own.logits.argmax(1) == own.wanted
    asked = [(name, own.wanted == one) for one, name in enumerate(names)]
    return {name: float(right[here].mean()) for name, here in asked if here.any()}


def card(figures: Mapping[str, float], recalls: Mapping[str, float], parameters: int) -> str:
    return CARD.format(
        **figures,
        parameters=f"{parameters:,}".replace(",", " "),
        members=MEMBERS,
        variants=expressions.VARIANTS,
        recalls=", ".join(f"{name} {value:.2f}" for name, value in recalls.items()),
    )


CARD = """Which of eight expressions listeners would hear in a voice, and how aroused it sounds.

**It describes expression in the voice, not what somebody feels.** Do not decide anything about a
person by it.

| | |
|---|---|
| network | `EmotionNet` in `models/emotionnet.py`: {members} small networks trained apart and a linear discriminant (Fisher 1936) on functionals; {parameters} parameters |
| input | mono, 16 kHz, any level: 64 mel bands re the window's own level, periodicity at 48 pitches a semitone apart, and 490 functionals of both; windows of 3 s every second |
| output | probabilities of eight categories or `unsure`, arousal and valence in -1..1 |
| not used | the speaker's other takes: nothing is normalised by speaker |
| licence of the weights | **CC-BY-NC-SA-4.0**, stated in the file, in the manifest and in every answer |

## Licence

Inherited from the training material: not for commercial use, and what is built from these weights
is shared under the same licence. Weights trained by the same command on recordings of your own
carry the licence you give them. `VOCALITY_DISABLED_FAMILIES=emotion` turns the family off: it then
answers `model_unavailable`, as it does where the file is missing.

## Data

RAVDESS: S. R. Livingstone, F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and
Song", *PLoS ONE* 13(5), 2018, CC BY-NC-SA 4.0. Actors 01-17, 1020 acted clips of two English
sentences, each in {variants} variants: other paces and pitches, rooms, noise, microphones; on the
fly other tempi, formants and melodies, holes (Park et al. 2019) and mixtures of pairs (Zhang et
al. 2018). Recipe: `training/recipes/emotion.py`.

**Arousal and valence are derived from the categories, not rated**: no listener rated these clips.
Each category stands where the word was rated by Russell & Mehrabian (1977), "Evidence for a
three-factor theory of emotions", *Journal of Research in Personality* 11 ("relaxed" for calm), and
arousal 0.1 over or under it by the corpus's strong and normal intensity. Valence leans on words,
which the network does not hear: its confidence is low on purpose.

## Held-out actors 18-20

By the windows and weights of the engine. No checkpoint was chosen by these figures, but the kinds
of functionals and the discriminant's shrinkage were chosen by its recall in folds over all actors,
these three among them: the figures are that much too kind.

| | |
|---|---|
| unweighted average recall (chance .125) | {uar:.3f} |
| expected calibration error, each actor calibrated by the others | {ece:.3f} |
| arousal: root mean square error, concordance | {arousal_rmse:.3f}, {arousal_ccc:.3f} |
| valence: root mean square error, concordance | {valence_rmse:.3f}, {valence_ccc:.3f} |
| EMO-DB (German, acted; evaluation only; boredom left out): recall | {emodb_uar:.3f} |
| EMO-DB: concordance of arousal, valence | {emodb_arousal_ccc:.3f}, {emodb_valence_ccc:.3f} |

Three actors are few: the recall's standard error over speakers is about .06, and EVALUATION.md's
folds over all twenty are the better figure. Recall by category: {recalls}.

Probabilities are calibrated on these actors: temperature {temperature:.3f}. A label is given from a
probability of {threshold:.3f}: {labelled:.0%} of the clips get one, {labels_right:.0%} of those are
right; below it the answer is `unsure`. Arousal's and valence's standard errors are these; their
confidences are the concordances in the other corpus.

## Limits

Acted, in a studio, two sentences, North American English, adults. Spontaneous expression is weaker
and mixed. In another corpus recall falls to what is said above; other languages, singing and
children were not learnt from.

## Recordings of your own

Put a folder `ravdess` of the same form under `--corpora`: `labels.csv` with the columns file,
speaker, gender, label (neutral, calm, happiness, sadness, anger, fear, disgust, surprise),
transcript, language, duration_s, licence, train_ok, extra (JSON, `{{"intensity": "strong"}}` or
`"normal"`), and the audio files it names. The last 15 % of the speakers, by name, are held out.
Give the licence in `LICENCE` of the recipe.
"""
