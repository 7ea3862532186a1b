"""Pitch beside other people's trackers: exactness, agreement on speech, calibration and speed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE, Audio
from models.pitch import PitchEngine
from models.spectra import HOP
from training.evaluation import pitch_material
from training.evaluation.pitch_answers import (
    Answers,
    Clips,
    Samples,
    asked,
    consensus,
)
from training.evaluation.pitch_material import Spoken, Uttered
from training.evaluation.pitch_tables import Row, calibration, details, goals, other_making, shares
from training.evaluation.report import Section
from training.evaluation.trackers import PEERS, Curve, Missing, Peer, Track, ready
from training.recipes.pitch import JUDGED_AT, noisy

PACKAGES = (
    "swift-f0",
    "torchfcpe",
    "praat-parselmouth",
    "pesto-pitch",
    "torchcrepe",
    "penn",
    "librosa",
)
OURS = "**ours**"
JUDGES = ("Praat AC", "SwiftF0", "FCPE")  # of natural speech
ROUNDS = 3
LONG_S = 60


@dataclass(frozen=True, slots=True)
class Field:
    """Who takes part, and who cannot."""

    ours: Track
    peers: Mapping[str, tuple[Peer, Track]]
    missing: Mapping[str, str]


def measure(
    corpora: Path, engine: PitchEngine | None = None, peers: Sequence[Peer] = PEERS
) -> list[Section]:
    """Everything about pitch but singing; the engine is the one that ships, or the one given."""
    engine = engine or PitchEngine.load()
    with one_thread():
        field = gathered(engine, peers)
        exact = pitch_material.exact(corpora)
        world = compared(field, exact.world)
        return [
            goals(world),
            shares("Overall accuracy (OA), speech with exact F0", "OA", world, field.missing),
            shares("Raw pitch accuracy (RPA), speech with exact F0", "RPA", world, field.missing),
            details(world),
            other_making(
                "Speech resynthesised by linear prediction",
                "The same speakers without WORLD: pulses and noise through the clip's own"
                f" order-{pitch_material.ORDER} filters. No tracker was trained on this making.",
                compared(field, exact.predicted, fast_only=True),
            ),
            other_making(
                "Source-filter voices",
                f"{pitch_material.IMAGINED} voices of our synthesiser on sung lines of 46-1400 Hz,"
                " throats at random; the babble is of the same voices, so that noise sings too."
                " Home ground: our training held others of their kind.",
                compared(field, pitch_material.imagined(), fast_only=True),
            ),
            *agreement(field, pitch_material.natural(corpora)),
            calibration(world[0]),
            speed(engine, field, exact.world),
        ]


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ours(engine: PitchEngine) -> Track:
    """The engine as one tracker among others: a take at a time."""

    def track(samples: Samples) -> Curve:
        path = engine.hear([Audio(samples, ANALYSIS_RATE)]).paths[0]
        return Curve(path.hz, path.voiced, path.confidence)

    return track


def gathered(engine: PitchEngine, peers: Sequence[Peer]) -> Field:
    found = {peer.name: (peer, ready(peer)) for peer in peers}
    here = {n: (p, track) for n, (p, track) in found.items() if not isinstance(track, Missing)}
    missing = {n: track.why for n, (_, track) in found.items() if isinstance(track, Missing)}
    return Field(ours(engine), here, missing)


def compared(field: Field, uttered: Sequence[Uttered], fast_only: bool = False) -> list[Row]:
    """All who take part, ours first; the slow ones on a fixed part of the clips, or not at all."""
    asked_of = {name: _clips(uttered, snr_db) for name, snr_db in JUDGED_AT.items()}
    rows = [Row(OURS, {name: asked(field.ours, clips) for name, clips in asked_of.items()})]
    for name, (peer, track) in field.peers.items():
        if fast_only and peer.every > 1:
            continue
        answers = {c: asked(track, clips.some(peer.every)) for c, clips in asked_of.items()}
        rows.append(Row(name, answers, peer.every))
    return rows


def agreement(field: Field, natural: Mapping[str, Sequence[Spoken]]) -> list[Section]:
    """With the consensus of three trackers; and each of those with that of the other two."""
    lacking = [name for name in JUDGES if name not in field.peers]
    if lacking:
        why = f"No consensus without {' and '.join(lacking)}."
        return [Section("Natural speech", why, ())]
    answers = {name: _heard(field, spoken) for name, spoken in natural.items()}
    return [_with_all(answers), _head_to_head(answers)]


def speed(engine: PitchEngine, field: Field, uttered: Sequence[Uttered]) -> Section:
    """CPU seconds per second of sound, the median of rounds taken by turns."""
    takes = [one.known.samples for one in uttered[::4]]
    samples = np.resize(np.concatenate(takes), LONG_S * ANALYSIS_RATE)
    section = Section(
        "Cost on one CPU thread",
        f"CPU seconds per second of sound, the median of {ROUNDS} rounds by turns, for"
        f" {len(takes)} takes of {pitch_material.SECONDS} s and for one of {LONG_S} s. Ours is the"
        " whole path to F0: network, Viterbi path and refinement.",
        ("tracker", "take by take", "all at once", "one long take"),
    )
    rounds = [_round(engine, field, takes, samples) for _ in range(ROUNDS)]
    for name in rounds[0]:
        costs = np.median([one[name] for one in rounds], axis=0)
        section.rows.append((name, *("" if np.isnan(c) else f"{c:.4f}" for c in costs)))
    return section


def _round(
    engine: PitchEngine, field: Field, takes: Sequence[Samples], long: Samples
) -> dict[str, tuple[float, float, float]]:
    """By tracker: take by take, in a batch (NaN where it knows none), one long take."""
    batch = [Audio(take, ANALYSIS_RATE) for take in takes]
    seconds = sum(take.seconds for take in batch)
    before = time.process_time()
    engine.hear(batch)
    together = (time.process_time() - before) / seconds
    trackers = {OURS: field.ours} | {
        name: field.peers[name][1] for name in JUDGES if name in field.peers
    }
    return {
        name: (_cost(track, takes), together if name == OURS else np.nan, _cost(track, [long]))
        for name, track in trackers.items()
    }


def _cost(track: Track, takes: Sequence[Samples]) -> float:
    return asked(track, _unknown(takes, [""] * len(takes))).cost


def _heard(field: Field, spoken: Sequence[Spoken]) -> dict[str, Answers]:
    """What we and the three judges make of natural speech."""
    clips = _unknown([one.samples for one in spoken], [one.speaker for one in spoken])
    judges = {name: asked(field.peers[name][1], clips) for name in JUDGES}
    return {OURS: asked(field.ours, clips)} | judges


def _with_all(answers: Mapping[str, Mapping[str, Answers]]) -> Section:
    section = Section(
        "Natural speech: agreement with the consensus of Praat, SwiftF0 and FCPE",
        "Speech as it was, none of it trained on (some talkers of Picovoice's other orders may be:"
        " it names none). A frame counts as voiced where at least two of the three hear a voice"
        " within 50 cents of each other, as unvoiced where none hears one, and not at all"
        " otherwise. Within 50 cents: our F0 there, whatever our voicing.",
        ("corpus", "clips", "within 50 cents", "voicing recall", "voicing false alarm"),
    )
    for corpus, by_tracker in answers.items():
        truth = _consensus([by_tracker[name] for name in JUDGES])
        held = by_tracker[OURS].against(truth)
        figures = (held.share(measure) for measure in ("RPA", "VR", "VFA"))
        section.rows.append((corpus, len(truth), *figures))
    return section


def _head_to_head(answers: Mapping[str, Mapping[str, Answers]]) -> Section:
    section = Section(
        "Natural speech: each of the three, and ours, against the other two",
        "The same speech, all corpora together. The consensus is that of the two that are not"
        " named: both hear a voice within 50 cents, or neither does. Both are judged by the same"
        " frames.",
        ("tracker", "within 50 cents", "ours", "recall", "ours", "false alarm", "ours"),
    )
    for judged in JUDGES:
        cells: list[object] = [judged]
        others = [name for name in JUDGES if name != judged]
        held = [
            [by[who].against(_consensus([by[n] for n in others])) for by in answers.values()]
            for who in (judged, OURS)
        ]
        both = [_pooled(parts) for parts in held]
        for measure in ("RPA", "VR", "VFA"):
            cells += [one.share(measure) for one in both]
        section.rows.append(cells)
    return section


def _consensus(judges: Sequence[Answers]) -> list[NDArray[np.float64]]:
    rows = zip(*(judge.curves for judge in judges), strict=True)
    return [consensus(curves) for curves in rows]


def _pooled(parts: Sequence[Answers]) -> Answers:
    """Several corpora as one."""
    clips = Clips(
        [speaker for part in parts for speaker in part.clips.speakers],
        [take for part in parts for take in part.clips.takes],
        [truth for part in parts for truth in part.clips.truth],
    )
    return Answers(clips, [curve for part in parts for curve in part.curves], parts[0].cost)


def _clips(uttered: Sequence[Uttered], snr_db: float | None) -> Clips:
    takes = noisy([one.known for one in uttered], snr_db)
    counts = [min(len(o.known.f0_hz), len(o.known.samples) // HOP + 1) for o in uttered]
    truth = [one.known.f0_hz[:count] for one, count in zip(uttered, counts, strict=True)]
    return Clips([one.speaker for one in uttered], [take.samples for take in takes], truth)


def _unknown(takes: Sequence[Samples], speakers: Sequence[str]) -> Clips:
    return Clips(speakers, takes, [np.full(len(take) // HOP + 1, np.nan) for take in takes])
