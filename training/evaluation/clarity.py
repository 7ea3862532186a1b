"""Clarity beside its peers: what was planted in clean voices of unseen speakers, found again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from models import engines
from models.audio import ANALYSIS_RATE, Audio
from models.clarity import ClarityEngine
from models.engine import Engine, Task
from models.results import Family, FamilyResult, Measure, Reason, absent
from training import data, planting, rooms
from training.evaluation import clarity_peers, intervals
from training.evaluation.intervals import Interval
from training.evaluation.report import Section
from training.planting import Clean, Plan, Planted
from training.recipes import clarity as recipe

PACKAGES = ("blind-rt60",)
AT_ONCE = 16  # takes
RATIOS = ((-5.0, 5.0), (5.0, 15.0), (15.0, 25.0), (25.0, 40.0))  # dB
TIMES = (0.15, 0.3, 0.5, 0.8, 1.2)  # s
EDGES = (2000.0, 3400.0, 5500.0, 7000.0)  # Hz
HUMS = (-30.0, -15.0, 0.0)  # dB re the voice
CLIPPED = (0.003, 0.01, 0.05)  # share of the samples
WITHIN = {"snr_db": 2.0, "t60_s": 0.25, "bandwidth_hz": 0.1}  # dB, relative, relative
ASKED = 3  # takes of each reverberation time that the slow peer is asked about
RISE = 1.0  # points of the 0-100 measure that count as a rise

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Voice:
    """A clean recording of a speaker the network has not learnt from."""

    speaker: str
    clean: Clean


@dataclass(frozen=True, slots=True)
class Case:
    """A degraded voice, and what the engine says of it."""

    voice: Voice
    planted: Planted
    said: FamilyResult

    def value(self, name: str) -> float:
        """Nan where the engine gave no value."""
        measure = self.said.measures.get(name)
        return measure.value if measure else float("nan")


class Listener:
    """The engines that clarity's conditions rest on; articulation is not asked for."""

    def __init__(self, first: Mapping[Family, Engine], clarity: Engine) -> None:
        self.first = first
        self.clarity = clarity

    @classmethod
    def load(cls) -> Self:
        needed: tuple[Family, ...] = ("activity", "pitch")
        first = {family: engines.load_or_unavailable(family) for family in needed}
        return cls(first, ClarityEngine.load())

    def hear(self, takes: Sequence[Floats]) -> list[FamilyResult]:
        """What `clarity` answers to samples at 16 kHz, a few takes at a time."""
        found: list[FamilyResult] = []
        for at in range(0, len(takes), AT_ONCE):
            found += self._hear(takes[at : at + AT_ONCE])
        return found

    def _hear(self, takes: Sequence[Floats]) -> list[FamilyResult]:
        audios = [Audio(np.asarray(take, np.float32), ANALYSIS_RATE) for take in takes]
        tasks = [Task(audio) for audio in audios]
        unasked = absent("timbre", Reason.not_requested)
        with torch.inference_mode():
            answers = {f: engine.analyze_batch(tasks) for f, engine in self.first.items()}
            told = [
                Task(audio, {"timbre": unasked, **{f: answers[f][i] for f in answers}})
                for i, audio in enumerate(audios)
            ]
            return self.clarity.analyze_batch(told)


def measure(corpora: Path) -> list[Section]:
    """All sections; `corpora` as `training.data` reads it."""
    voices = unseen(corpora)
    listener = Listener.load()
    noisy = noises(voices, listener)
    return [
        ratios(noisy),
        levels(noisy),
        reverberation(voices, listener),
        bandwidth(voices, listener),
        equipment(voices, listener),
        monotony(voices, listener),
    ]


def unseen(corpora: Path) -> list[Voice]:
    """The recipe's held-out speakers, their own steady noise taken down."""
    clips = [clip for clip in data.corpora(corpora, recipe.CORPORA) if clip.shippable]
    held_out = data.by_speaker(clips).held_out
    return [Voice(clip.speaker, planting.clean(clip.audio().samples)) for clip in held_out]


def planted(
    voices: Sequence[Voice], plans: Iterable[tuple[int, Plan]], listener: Listener
) -> list[Case]:
    """Each plan carried out on the voice of that number, and heard."""
    talkers = [voice.clean.samples for voice in voices]
    done = [
        (voices[i], planting.plant(voices[i].clean, plan, talkers[:i] + talkers[i + 1 :]))
        for i, plan in plans
    ]
    said = listener.hear([one.samples for _, one in done])
    return [Case(voice, one, answer) for (voice, one), answer in zip(done, said, strict=True)]


def noises(voices: Sequence[Voice], listener: Listener) -> list[Case]:
    """Every kind of noise in every voice, at a ratio from each of the ranges in turn."""
    rng = np.random.default_rng(11)
    plans = [
        (i, Plan(noise=noise, snr_db=rng.uniform(*RATIOS[(i + k) % len(RATIOS)]), seed=97 * i + k))
        for i in range(len(voices))
        for k, noise in enumerate(planting.NOISES)
    ]
    return planted(voices, plans, listener)


def ratios(noisy: Sequence[Case]) -> Section:
    section = Section(
        "Signal-to-noise ratio by noise",
        f"{len({c.voice.speaker for c in noisy})} LibriSpeech speakers that the network has not "
        "learnt from, 8 s each, their own steady noise taken down (what is left counts in the "
        "truth); noise at -5 to 40 dB re the voice's active frames. Mean absolute error in dB, and "
        "the share of takes within 2 dB. Peers: WADA-SNR (Kim & Stern 2008) and minimum statistics "
        "(Martin 2001), both as published, written by us. Goal: 2 dB.",
        ("noise", "error, dB", "bias, dB", "within 2 dB", "no answer", "WADA", "min. statistics"),
    )
    for noise in (*planting.NOISES, "all"):
        cases = [c for c in noisy if noise in ("all", c.planted.plan.noise)]
        section.rows.append((noise, *_ratio_row(cases)))
    return section


def levels(noisy: Sequence[Case]) -> Section:
    section = Section(
        "Signal-to-noise ratio by level",
        "The same takes.",
        (
            "ratio, dB",
            "error, dB",
            "bias, dB",
            "within 2 dB",
            "no answer",
            "WADA",
            "min. statistics",
        ),
    )
    for low, high in RATIOS:
        cases = [c for c in noisy if low <= (c.planted.plan.snr_db or 0.0) < high]
        section.rows.append((f"{low:.0f} to {high:.0f}", *_ratio_row(cases)))
    return section


def _ratio_row(cases: Sequence[Case]) -> tuple[object, ...]:
    away = [c.value("snr_db") - c.planted.snr_db for c in cases]
    wada = [c.value("snr_wada_db") - c.planted.snr_db for c in cases]
    told = [clarity_peers.minimum_statistics_db(c.planted.samples) for c in cases]
    least = [max(db, -20.0) - c.planted.snr_db for db, c in zip(told, cases, strict=True)]
    return (
        _error(cases, away),
        _mean(away),
        _share(cases, away, WITHIN["snr_db"]),
        int(np.isnan(away).sum()),
        _mean(np.abs(wada)),
        _mean(np.abs(least)),
    )


def reverberation(voices: Sequence[Voice], listener: Listener) -> Section:
    section = Section(
        "Reverberation",
        "The same speakers in rooms: image sources with a diffuse tail 0.25 to 4 m from the voice, "
        "and exponential tails -6 to 15 dB under the direct sound; pink noise at 30 dB. Median "
        "relative error of T60, the share of takes within 25 % (the goal), mean absolute error of "
        "C50. Peer, on three takes of each row: blind-rt60 (Ratnam et al. 2003). SRMR "
        "(Falk et al. 2010): missing, there is no package of it on the index.",
        ("T60, s", "median error", "bias", "within 25 %", "C50, dB", "blind-rt60", "within 25 %"),
    )
    rng = np.random.default_rng(12)
    estimate = clarity_peers.blind_rt60()
    every: list[tuple[Case, float]] = []
    for seconds in TIMES:
        plans = [
            (i, Plan("pink", 30.0, rooms.design(rng, seconds), seed=int(rng.integers(1 << 31))))
            for i in range(len(voices))
        ]
        cases = planted(voices, plans, listener)
        pairs = [(case, _asked(estimate, case, i)) for i, case in enumerate(cases)]
        every += pairs
        section.rows.append((seconds, *_room_row(pairs, estimate is not None)))
    section.rows.append(("all", *_room_row(every, estimate is not None)))
    return section


def _asked(estimate: Callable[[Floats], float] | None, case: Case, number: int) -> float:
    """The peer's T60; nan where it is not asked, as it takes seconds a take."""
    return estimate(case.planted.samples) if estimate and number < ASKED else float("nan")


def _room_row(pairs: Sequence[tuple[Case, float]], peer: bool) -> tuple[object, ...]:
    cases = [case for case, _ in pairs]
    built = [cast(rooms.Design, case.planted.plan.room).built for case in cases]
    away = [c.value("t60_s") / room.t60_s - 1 for c, room in zip(cases, built, strict=True)]
    early = [
        c.value("c50_db") - min(room.c50_db, recipe.CLEAREST_DB)
        for c, room in zip(cases, built, strict=True)
    ]
    other = [said / room.t60_s - 1 for (_, said), room in zip(pairs, built, strict=True)]
    return (
        float(np.nanmedian(np.abs(away))),
        float(np.nanmedian(away)),
        _share(cases, away, WITHIN["t60_s"]),
        float(np.nanmean(np.abs(early))),
        float(np.nanmedian(np.abs(other))) if peer else "missing",
        float(np.nanmean(_near(other))) if peer else "missing",
    )


def _near(away: Sequence[float]) -> NDArray[np.float64]:
    found = np.abs(np.array(away))
    return np.where(np.isnan(found), np.nan, found <= WITHIN["t60_s"])


def bandwidth(voices: Sequence[Voice], listener: Listener) -> Section:
    section = Section(
        "Bandwidth",
        "The same speakers, pink noise at 25 dB, then a low-pass filter: steep as a resampler's, "
        "or gentle (Butterworth of order 8, its -3 dB point being the truth). Goal: within 10 %.",
        ("edge, Hz", "filter", "median error", "bias", "within 10 %"),
    )
    rng = np.random.default_rng(13)
    for edge in EDGES:
        for kind in ("steep", "gentle"):
            plans = [
                (i, Plan("pink", 25.0, width_hz=edge, filter=kind, seed=int(rng.integers(1 << 31))))
                for i in range(0, len(voices), 2)
            ]
            cases = planted(voices, plans, listener)
            away = [c.value("bandwidth_hz") / c.planted.width_hz - 1 for c in cases]
            median = float(np.nanmedian(np.abs(away)))
            bias, near = float(np.nanmedian(away)), _share(cases, away, WITHIN["bandwidth_hz"])
            section.rows.append((edge, kind, median, bias, near))
    return section


def equipment(voices: Sequence[Voice], listener: Listener) -> Section:
    section = Section(
        "Hum, clipping and offset",
        "The same speakers. Hum: a comb of 50 or 60 Hz with six harmonics re the voice; clipping: "
        "that share of the samples flattened; offset: 0.1 of full scale added. Mean absolute "
        "error.",
        ("planted", "error", "found"),
    )
    for db in HUMS:
        cases = planted(
            voices, [(i, Plan(hum_db=db, seed=i)) for i in range(len(voices))], listener
        )
        away = [c.value("hum_db") - db for c in cases]
        right = [c.said.conditions.get("hum_mains_hz") == _mains(c) for c in cases]
        section.rows.append((f"hum at {db:.0f} dB", f"{_error(cases, away)} dB", _percent(right)))
    for share in CLIPPED:
        cases = planted(voices, [(i, Plan(clipped=share)) for i in range(len(voices))], listener)
        away = [c.value("clipped_fraction") / share - 1 for c in cases]
        seen = [c.value("clipped_fraction") > 0 for c in cases]
        error = f"{100 * float(np.nanmean(np.abs(away))):.1f} % of the share"
        section.rows.append((f"{100 * share:g} % clipped", error, _percent(seen)))
    said = listener.hear([voice.clean.samples * 0.5 + 0.1 for voice in voices])
    offset = [_value(answer, "dc_offset") - 0.1 for answer in said]
    flagged = ["dc_offset" in str(answer.conditions.get("quality_flags")) for answer in said]
    error = f"{float(np.nanmean(np.abs(offset))):.4f}"
    section.rows.append(("offset of 0.1", error, _percent(flagged)))
    return section


def _mains(case: Case) -> float:
    """The comb that the plan's seed drew: the first thing its generator is asked for."""
    return float(np.random.default_rng(case.planted.plan.seed).choice([50.0, 60.0]))


def monotony(voices: Sequence[Voice], listener: Listener) -> Section:
    section = Section(
        "Monotony of `intelligible_recording`",
        "Voices of ten of the speakers and of the synthesiser, each with ever more of one "
        "degradation, five steps and more a ladder. A rise is a step that makes the measure larger "
        f"by over {RISE:.0f} point of its 100. Goal: none.",
        ("degradation", "voices", "steps", "rises", "largest rise", "first value", "last value"),
    )
    real = [voice.clean for voice in voices[:10]]
    made = recipe.made(np.random.default_rng(14), 5)
    for name, plans in LADDERS.items():
        for kind, clean in (("real", real), ("synthesised", made)):
            climbs = np.array([_climb(voice, plans, real, listener) for voice in clean])
            steps = np.diff(climbs, axis=1)
            rises, largest = int((steps > RISE).sum()), max(float(steps.max()), 0.0)
            first, last = climbs.mean(0)[[0, -1]]
            section.rows.append((name, kind, steps.size, rises, largest, float(first), float(last)))
    return section


def _climb(
    voice: Clean, plans: Sequence[Plan], others: Sequence[Clean], listener: Listener
) -> list[float]:
    talkers = [other.samples for other in others if other is not voice]
    takes = [planting.plant(voice, plan, talkers).samples for plan in plans]
    return [_value(said, "intelligible_recording") for said in listener.hear(takes)]


def _ladder(change: Callable[[float], Plan], steps: Sequence[float]) -> list[Plan]:
    return [change(step) for step in steps]


_ROOM = rooms.Design(0.2, 1.5, 0.0, 5)
LADDERS: Mapping[str, list[Plan]] = {
    **{
        f"{noise} noise": [
            Plan(noise=noise, snr_db=snr, seed=3) for snr in (40.0, 30, 20, 15, 10, 5, 0, -5)
        ]
        for noise in ("white", "pink", "brown", "babble")
    },
    "reverberation": _ladder(
        lambda s: Plan(room=replace(_ROOM, t60_s=s)), (0.2, 0.35, 0.5, 0.8, 1.2, 1.8)
    ),
    "bandwidth": _ladder(lambda hz: Plan(width_hz=hz), (8000, 6500, 5000, 4000, 3000, 2200, 1600)),
    "clipping": _ladder(lambda share: Plan(clipped=share), (0.0, 0.003, 0.01, 0.03, 0.1, 0.2)),
    "hum": _ladder(lambda db: Plan(hum_db=db, seed=3), (-50, -40, -30, -20, -10, 0)),
}


def _value(said: FamilyResult, name: str) -> float:
    measure: Measure | None = said.measures.get(name)
    return measure.value if measure else float("nan")


def _by_speaker(cases: Sequence[Case], values: Sequence[float]) -> dict[str, float]:
    speakers: dict[str, list[float]] = {}
    for case, value in zip(cases, values, strict=True):
        if not np.isnan(value):
            speakers.setdefault(case.voice.speaker, []).append(value)
    return {speaker: float(np.mean(mine)) for speaker, mine in speakers.items()}


def _error(cases: Sequence[Case], away: Sequence[float]) -> Interval:
    return intervals.of_mean(_by_speaker(cases, [abs(one) for one in away]))


def _share(cases: Sequence[Case], away: Sequence[float], tolerance: float) -> Interval:
    """Of all takes: one without an answer is not within."""
    near = [float(abs(one) <= tolerance) for one in away]
    return intervals.of_mean(_by_speaker(cases, near))


def _mean(values: Sequence[float] | Floats) -> float:
    """Of those that are known; nan where none is."""
    known = np.array(values)[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _percent(flags: Sequence[bool]) -> str:
    return f"{100 * float(np.mean(flags)):.0f} %"
