"""Activity: learn where voices are, from clean recordings put into noise, rooms and silence.

The clean signal's energy says which frames are speech; a synthesised note is known to the sample.
Clips are mixed as mel powers, which costs a tenth of mixing them as samples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import mel
from models.activity import FLOOR_DB, MEL, SPEECH_BANDS, ActivityNet, posterior
from models.audio import ANALYSIS_RATE
from training import augment, data, synthesis, tensors, voiceless
from training.dataset import RECORDINGS
from training.loop import Learnt, NothingToLearn, Plan, Run, Trained, fit
from training.tensors import Kept

LICENCE = "Apache-2.0"
CORPORA = ("librispeech_subset", "picovoice_intent", "small_asr")
FRAMES = 400  # a clip of training: 4 s
LONG = 8 * ANALYSIS_RATE  # samples of a sound in stock
BATCH = 24
SUNG, VOICELESS, BABBLES = 300, 500, 200  # sounds made beforehand
SNR_DB, BABBLE_SNR_DB = (-5.0, 30.0), (-3.0, 25.0)
KINDS = (0.5, 0.25, 0.25)  # shares of clips: spoken, sung, nothing
SPEECH_DB, MARGIN_DB = 35.0, 4.0  # under the loud frames; not judged this near the threshold
BRIDGED, ISLAND = 8, 4  # frames: closures within words are speech, clicks are not
SURE, ENOUGH = 0.95, 20  # posterior of the champion; frames of either kind in a recording
TAIL = 15  # frames: what a room trails is neither
BINS = np.geomspace(2, 8, MEL.bands, dtype=np.float32)  # independent ones, in each mel band
HELD_HZ = (80, 110, 220, 440, 500, 550, 600, 650, 700, 800, 900, 1000)  # the vowels of the card

Samples = NDArray[np.floating]
Labels = NDArray[np.float32]  # a frame: 1 speech, 0 none, nan not judged
Power = NDArray[np.float32]  # (bands, frames)


@dataclass(frozen=True, slots=True)
class Voiced:
    """A clean voice and where it is."""

    samples: Samples
    labels: Labels


@dataclass(frozen=True, slots=True)
class Seen:
    """A sound as the network sees it."""

    power: Power
    labels: Labels  # (frames,)


@dataclass(frozen=True, slots=True)
class Stock:
    """What clips are made of."""

    spoken: Sequence[Seen]
    sung: Sequence[Seen]
    voiceless: Sequence[Seen]
    babble: Sequence[Seen]


@dataclass(frozen=True, slots=True)
class Batch:
    levels: Tensor  # dB (batch, bands, frames)
    labels: Tensor  # (batch, frames)


def train(run: Run) -> Trained:
    """Learn from all but the held-out speakers; the figures are theirs."""
    clips = [clip for clip in data.corpora(run.corpora, CORPORA) if clip.shippable]
    split = data.by_speaker(clips)
    learnt = retrain(replace(run, split=split))
    network = network_of(Kept(learnt.tensors, {}))
    figures = {**evaluate(network, voices(split.held_out)), **learnt.figures}
    return Trained(learnt.tensors, {}, LICENCE, figures, card(figures))


def retrain(run: Run) -> Learnt:
    """From clips of any source and songs made up.

    A corpus is taken for clean: its energy says where its voices are. Users' recordings are not:
    of them only the frames that the champion is sure of are learnt from, in other noise.
    """
    rng = run.rng()
    spoken = voices(run.split.train if run.split else [], _sure(run.champion))
    songs = sung(rng, _some(SUNG, run.minutes)) if run.synthesis else []
    if not spoken and not songs:
        raise NothingToLearn("No clip has pauses quiet enough to tell voice from none.")
    known = stock(spoken, songs, rng, run.minutes)
    network = network_of(tensors.read(run.base)) if run.base else ActivityNet()
    kept = run.checkpoints / "activity.pt"
    plan = Plan(
        run.minutes, run.learning_rate, weight_decay=1e-3, checkpoint=kept, device=run.device
    )
    steps = fit(network, batches(known, rng), loss, plan, run.report)
    return Learnt(network.state_dict(), {}, {"steps": float(steps)})


def network_of(kept: Kept) -> ActivityNet:
    network = ActivityNet()
    network.load_state_dict(dict(kept.tensors))
    return network.eval()


def _some(count: int, minutes: float) -> int:
    """What is made beforehand: less for a short run, which would not hear it all."""
    return min(count, max(8, round(count * minutes / 5)))


def stock(
    spoken: Sequence[Voiced], sung: Sequence[Voiced], rng: np.random.Generator, minutes: float
) -> Stock:
    """Every sound as mel powers: voices dry and in a room, songs, noises, babble."""
    roomy, songs = [_in_room(voice, rng) for voice in spoken], list(sung)
    songs[::2] = [_in_room(song, rng) for song in songs[::2]]
    talkers = [voice.samples for voice in spoken or sung]
    count = _some(BABBLES, minutes)
    crowds = [augment.babble(LONG, talkers, rng) for _ in range(count)]
    crowds[::2] = [augment.in_room(crowd, rng.uniform(0.2, 1.0), rng) for crowd in crowds[::2]]
    return Stock(
        spoken=[_seen(voice) for voice in (*spoken, *roomy)],
        sung=[_seen(song) for song in songs],
        voiceless=[
            _nobody(voiceless.any_sound(LONG, rng)) for _ in range(_some(VOICELESS, minutes))
        ],
        babble=[_nobody(crowd) for crowd in crowds],
    )


def _in_room(voice: Voiced, rng: np.random.Generator) -> Voiced:
    labels = voice.labels.copy()
    for end in np.flatnonzero(np.diff(np.nan_to_num(labels, nan=1.0)) < 0) + 1:
        tail = labels[end : end + TAIL]
        tail[tail == 0] = np.nan
    return Voiced(augment.in_room(voice.samples, rng.uniform(0.1, 0.7), rng), labels)


def _seen(voice: Voiced) -> Seen:
    """Its power where its voice is has a mean of 1."""
    power = _power(voice.samples)
    power, labels = power[:, : len(voice.labels)], voice.labels[: power.shape[1]]
    loud = power[:, labels == 1].sum(0).mean() if (labels == 1).any() else 1.0
    return Seen(power / loud, labels)


def _nobody(samples: Samples) -> Seen:
    power = _power(samples)
    return Seen(power / power.sum(0).mean(), np.zeros(power.shape[1], np.float32))


def _power(samples: Samples) -> Power:
    whole = torch.from_numpy(np.array(samples, np.float32))[None]
    return np.asarray(mel.power(whole, torch.tensor([len(samples)]), MEL)[0][0].numpy())


Labeller = Callable[[Samples], Labels | None]


def voices(clips: Sequence[data.Clip], unlabelled: Labeller | None = None) -> list[Voiced]:
    """The clips whose pauses are quiet enough to tell; recordings as `unlabelled` has them."""
    heard = [(clip, clip.audio().samples) for clip in clips]
    labelled = [
        (samples, (unlabelled if clip.corpus == RECORDINGS and unlabelled else labels_of)(samples))
        for clip, samples in heard
    ]
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


def _sure(champion: Path | None) -> Labeller | None:
    """Where that version is sure of a voice or of none; None for a take of too little of either."""
    if champion is None:
        return None
    network = network_of(tensors.read(champion))

    def told(samples: Samples) -> Labels | None:
        said = posteriors(network, samples)
        labels = np.where(said > SURE, 1.0, np.where(said < 1 - SURE, 0.0, np.nan))
        enough = min((labels == 1).sum(), (labels == 0).sum()) >= ENOUGH
        return labels.astype(np.float32) if enough else None

    return told


def _closed(active: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Runs of False inside, of up to `gap` frames, become True."""
    closed = active.copy()
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=1, append=1))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        if after - first <= gap and first > 0 and after < len(active):
            closed[first:after] = True
    return closed


def sung(rng: np.random.Generator, count: int = SUNG) -> list[Voiced]:
    """Notes, glides and melodies with rests, in many throats."""
    return [song(rng, seed) for seed in range(count)]


def song(rng: np.random.Generator, seed: int) -> Voiced:
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


def batches(stock: Stock, rng: np.random.Generator) -> Iterator[Batch]:
    """For ever: spoken, sung and empty clips, at levels as they are within longer takes."""
    while True:
        made = [_clip(stock, rng) for _ in range(BATCH)]
        power = torch.from_numpy(np.stack([seen.power for seen in made]).astype(np.float32))
        power = power * 0.01  # of full scale, so that nothing counts as silence
        shift = torch.from_numpy(rng.uniform(-15, 6, BATCH).astype(np.float32))
        level = mel.reference(power) * 10 ** (-shift / 20)
        labels = torch.from_numpy(np.stack([seen.labels for seen in made]))
        yield Batch(mel.relative_db(power, level, FLOOR_DB), labels)


def _clip(stock: Stock, rng: np.random.Generator) -> Seen:
    kind = rng.choice(3, p=KINDS)
    if kind == 2:
        return _coloured(_noise(stock, rng)[0], rng)
    spoken = bool(stock.spoken) and (kind == 0 or not stock.sung)
    clip = placed(_any(stock.spoken if spoken else stock.sung, rng), rng)
    if spoken and rng.random() < 0.1:
        other = placed(_any(stock.spoken, rng), rng)  # two at once are speech as well
        clip = mixed(clip, other, rng.uniform(-10, 0), rng)
    clip = _coloured(clip, rng)
    if rng.random() < 0.85:
        noise, snr_db = _noise(stock, rng)
        clip = mixed(clip, _coloured(noise, rng), -rng.uniform(*snr_db), rng)
    return clip


def _noise(stock: Stock, rng: np.random.Generator) -> tuple[Seen, tuple[float, float]]:
    """Four seconds without a voice of their own, and the range of ratios they are met at."""
    crowd = rng.random() < 0.25
    noise = _any(stock.babble if crowd else stock.voiceless, rng)
    start = int(rng.integers(noise.power.shape[1] - FRAMES + 1))
    cut = Seen(noise.power[:, start : start + FRAMES], noise.labels[start : start + FRAMES])
    return cut, BABBLE_SNR_DB if crowd else SNR_DB


def _any(seen: Sequence[Seen], rng: np.random.Generator) -> Seen:
    return seen[int(rng.integers(len(seen)))]


def placed(voice: Seen, rng: np.random.Generator) -> Seen:
    """A stretch of the voice somewhere in four seconds of silence."""
    power, labels = np.zeros((MEL.bands, FRAMES), np.float32), np.zeros(FRAMES, np.float32)
    frames = min(FRAMES if rng.random() < 0.5 else int(rng.integers(60, FRAMES)), len(voice.labels))
    start = int(rng.integers(len(voice.labels) - frames + 1))
    at = int(rng.integers(FRAMES - frames + 1))
    power[:, at : at + frames] = voice.power[:, start : start + frames]
    labels[at : at + frames] = voice.labels[start : start + frames]
    return Seen(power, labels)


def mixed(voice: Seen, other: Seen, gain_db: float, rng: np.random.Generator) -> Seen:
    """The sum. Sounds meet at random phases: powers add, plus a term of their product."""
    louder = other.power * np.float32(10 ** (gain_db / 10))
    phases = rng.standard_normal((2, *voice.power.shape)).astype(np.float32)
    meeting = np.sqrt(voice.power * louder * 2 / BINS[:, None])
    drift = (phases[0] + np.roll(phases[0], 1, 1) + phases[1]) / np.float32(
        3**0.5
    )  # frames overlap
    total = np.maximum(voice.power + louder + meeting * drift, 0.05 * (voice.power + louder))
    both = np.stack([voice.labels, other.labels])
    said = np.where((both == 1).any(0), 1, both.sum(0))  # nan where one is nan and none speaks
    return Seen(total, said.astype(np.float32))


def _coloured(clip: Seen, rng: np.random.Generator) -> Seen:
    """Half of the time through a microphone's response: a smooth curve over the bands."""
    if rng.random() < 0.5:
        return clip
    knots = np.linspace(0, MEL.bands - 1, 7)
    gain_db = np.interp(np.arange(MEL.bands), knots, rng.uniform(-15, 6, 7))
    return Seen(clip.power * (10 ** (gain_db / 10)).astype(np.float32)[:, None], clip.labels)


def at_snr(samples: Samples, noise: Samples, labels: Labels, snr_db: float) -> Samples:
    """The sum, with the noise set against the RMS of the speech frames."""
    speech = np.repeat(np.nan_to_num(labels, nan=1.0) > 0.5, MEL.hop)[: len(samples)]
    level = np.sqrt(np.mean(np.square(samples[: len(speech)][speech]))) if speech.any() else 0.1
    gain = level / (np.sqrt(np.mean(np.square(noise))) + 1e-9) * 10 ** (-snr_db / 20)
    return np.asarray(samples + gain * noise)


def loss(network: nn.Module, batch: Batch) -> Tensor:
    judged = ~batch.labels.isnan()
    odds = network(batch.levels, torch.full((len(batch.levels),), FRAMES))
    return nn.functional.binary_cross_entropy_with_logits(odds[judged], batch.labels[judged])


def evaluate(network: ActivityNet, others: Sequence[Voiced], seed: int = 1) -> dict[str, float]:
    """Areas under the curve over the frames of held-out speakers; shares of what is no voice, and
    of held vowels, that is taken for one."""
    network.eval()
    rng = np.random.default_rng(seed)
    figures = {"auc_clean": area(network, [(voice.samples, voice.labels) for voice in others])}
    for name, noise in noises(others).items():
        for snr in (10.0, 0.0):
            made = [(voice, noise(voice, rng)) for voice in others]
            noisy = [(at_snr(v.samples, n, v.labels, snr), v.labels) for v, n in made]
            figures[f"auc_{name}_{snr:.0f}_db"] = area(network, noisy)
    for maker in voiceless.MAKERS:
        heard = [posteriors(network, maker(LONG, rng)) > 0.5 for _ in range(10)]
        figures[f"false_{maker.__name__}"] = float(np.mean(np.concatenate(heard)))
    for hz in HELD_HZ:
        vowel = synthesis.sing(synthesis.contour(3.0, hz)).audio
        figures[f"held_{hz}_hz"] = float((posteriors(network, vowel.samples) > 0.5).mean())
    return figures


def noises(
    others: Sequence[Voiced],
) -> Mapping[str, Callable[[Voiced, np.random.Generator], Samples]]:
    talkers = [voice.samples for voice in others]
    return {
        "white": lambda voice, rng: augment.white(len(voice.samples), rng),
        "pink": lambda voice, rng: augment.coloured(len(voice.samples), 1.0, rng),
        "dishes": lambda voice, rng: voiceless.dishes(len(voice.samples), rng),
        "babble": lambda voice, rng: augment.babble(len(voice.samples), talkers, rng),
    }


def area(network: ActivityNet, takes: Sequence[tuple[Samples, Labels]]) -> float:
    said = np.concatenate([posteriors(network, samples) for samples, _ in takes])
    truth = np.concatenate([labels for _, labels in takes])
    said, truth = said[~np.isnan(truth)], truth[~np.isnan(truth)]
    ranks = np.empty(len(said))
    ranks[np.argsort(said, kind="stable")] = np.arange(1, len(said) + 1)
    speech = truth > 0.5
    above = ranks[speech].sum() - speech.sum() * (speech.sum() + 1) / 2
    return float(above / (speech.sum() * (~speech).sum()))


def posteriors(network: ActivityNet, samples: Samples) -> NDArray[np.float32]:
    whole = torch.from_numpy(np.array(samples, np.float32))[None]
    power, counts = mel.power(whole, torch.tensor([len(samples)]), MEL)
    return np.asarray(posterior(network, power, counts)[0].numpy())


def card(figures: Mapping[str, float]) -> str:
    """The model card; the figures are those of the run that made the weights."""
    areas = "\n".join(f"| {name} | {value:.3f} |" for name, value in _group(figures, "auc_"))
    false = ", ".join(f"{name} {100 * value:.1f} %" for name, value in _group(figures, "false_"))
    held = ", ".join(f"{name} {value:.2f}" for name, value in _group(figures, "held_"))
    return CARD.format(areas=areas, false=false, held=held, steps=figures["steps"])


def _group(figures: Mapping[str, float], prefix: str) -> list[tuple[str, float]]:
    return [
        (name.removeprefix(prefix).replace("_", " ").replace("hz", "Hz").replace("db", "dB"), value)
        for name, value in figures.items()
        if name.startswith(prefix)
    ]


CARD = """Probability of voice, spoken or sung, every 10 ms. `ActivityNet` in `models/activity.py`: 87 489
parameters, 40 mel bands relative to the take's own level, six dilated residual convolutions that
look 0.65 s ahead and back.

**Licence** Apache-2.0.

**Learnt from** 188 LibriSpeech speakers of train-clean-100 (V. Panayotov, G. Chen, D. Povey & S.
Khudanpur, CC BY 4.0), Picovoice's spoken orders (Apache-2.0) and six public-domain or BSD-2
sentences, each with the clean signal's energy as label; notes and melodies of the source-filter
synthesiser (`training/synthesis.py`), 75 to 1100 Hz; sounds without a voice
(`training/voiceless.py`): white, coloured and swelling noise, knocks, dishes, beeps, plucked
strings, mains hum; and babble of three to eight of the same speakers, which is background and not
speech; two speakers at once are speech. Noise at -5 to 30 dB signal-to-noise ratio, babble at -3
to 25 dB, rooms up to 0.7 s, microphones' responses.
Recipe `training/recipes/activity.py`, one run of {steps:.0f} steps of {clips} clips of 4 s.

**Judged on** 33 LibriSpeech speakers it has not learnt from, 8 s each, labels from the clean
signal's energy (so "clean" flatters any detector that looks at energy); the babble is of these
speakers too.

| area under the ROC curve | |
|---|---|
{areas}

EVALUATION.md judges the engine's decisions, beside other detectors, on other noises and other
speakers.

**Limits** Background babble of several talkers is told from the nearest speaker by its level:
near 0 dB it cannot be. Television with one speaker is speech. Plucked strings, beeps and bells
can be taken for sung notes; frames taken for voice: {false}. Sung vowels without any jitter near
600 and 1000 Hz are the hardest; share of the frames of a steady /a/ found: {held}. Never judged
on children or on real singing: no recordings of either were at hand.
""".replace("{clips}", str(BATCH))
