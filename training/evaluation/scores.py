"""Scores: who earns what, what repeats of a take move, and whether worse sounds score worse."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models import dimensions, norms
from models.engine import Engine
from models.results import Family
from training import data
from training.evaluation import score_ladders, score_norms, score_takes
from training.evaluation.report import Section
from training.evaluation.score_ladders import (
    OF_SONG,
    OF_SPEECH,
    RESYNTHESISED_S,
    SINGERS_HZ,
    Climbed,
    Reader,
)
from training.evaluation.score_norms import CALM, Pair, Spread
from training.evaluation.score_takes import ORDINARY, Floats, Take, values

PACKAGES = ("pyworld", "pydantic")
SHOWN = (5, 25, 50, 75, 95)  # percent of the takes
STUCK = 0.10  # of ordinary takes may earn 0 or 100, not more
READERS = 4  # of LibriSpeech, made worse
ACTED = (*CALM, "happiness", "anger")  # of the eight: enough for a look at what the API states
NAMES = {
    "librispeech_subset": "LibriSpeech",
    "picovoice_intent": "Picovoice",
    "emodb": "EMO-DB",
    "ravdess": "RAVDESS",
}


def measure(corpora: Path) -> list[Section]:
    """The corpora once through the graph, then what is made worse of them."""
    using = score_takes.loaded()
    clips = {name: data.corpus(corpora, name) for name in NAMES}
    clips |= {name: clips[name][::2] for name in ("picovoice_intent", "emodb")}
    clips["ravdess"] = [clip for clip in clips["ravdess"] if _repeated(clip)]
    takes = {name: score_takes.of_clips(each, using) for name, each in clips.items()}
    return [
        distribution(takes),
        anchors({name: takes[name] for name in ORDINARY}),
        repeats(
            score_norms.repeated(takes["ravdess"]),
            score_norms.repeated(score_norms.heard_joined(clips["ravdess"], using)),
        ),
        ladders(_climbed(_readers(clips[ORDINARY[0]], takes[ORDINARY[0]]), using)),
        advice({name: takes[name] for name in ORDINARY}),
    ]


def _repeated(clip: data.Clip) -> bool:
    return clip.label in CALM or (clip.label in ACTED and clip.extra["intensity"] == "normal")


def distribution(takes: Mapping[str, Sequence[Take]]) -> Section:
    """How the takes of each corpus are scored, and whether scores are stuck at an end."""
    section = Section(
        "Who earns what",
        "LibriSpeech, every second take of Picovoice and EMO-DB, and RAVDESS (neutral, calm, happy "
        "and angry, normal intensity) through the graph. Goal: at most 10 % of ordinary takes "
        "(LibriSpeech, Picovoice) at 0 or at 100. No peer exists for composite scores: what other "
        "programs call so has no published definition.",
        ("score", "corpus", "scored", *(f"{share} %" for share in SHOWN), "at 0", "at 100"),
    )
    for name in dimensions.DIMENSIONS:
        for corpus, each in takes.items():
            found = values(each, name)
            if len(found):
                spread = (round(float(value)) for value in np.percentile(found, SHOWN))
                ends = (f"{np.mean(found == end):.1%}" for end in (0, 100))
                count = f"{len(found)} of {len(each)}"
                section.rows.append([name, NAMES[corpus], count, *spread, *ends])
                section.notes += _stuck(name, corpus, float(np.mean((found == 0) | (found == 100))))
    section.notes.append(f"Takes whose evidence lies outside them: {_outside(takes)}.")
    section.notes.append(
        "No corpus holds song: intonation, pitch stability and resonance are only "
        "met in the table of sounds made worse."
    )
    return section


def _stuck(name: str, corpus: str, share: float) -> list[str]:
    if corpus not in ORDINARY or share <= STUCK:
        return []
    return [f"Behind the goal: {name} is at an end for {share:.0%} of {NAMES[corpus]}."]


def _outside(takes: Mapping[str, Sequence[Take]]) -> int:
    """Of any score; a frame of 10 ms may reach over the end."""
    return sum(
        any(
            start < 0 or end > take.seconds + 0.01 or start > end
            for score in take.scores.values()
            for start, end in score.evidence_s
        )
        for each in takes.values()
        for take in each
    )


def anchors(takes: Mapping[str, Sequence[Take]]) -> Section:
    """Where the points of every measure lie among ordinary takes."""
    shares = (f"{NAMES[name]} >= {points}" for name in takes for points in (75, 100))
    section = Section(
        "Where the anchors lie",
        "For every measure of running speech: the value that earns 0, 75 and 100 points, and the "
        "share of ordinary takes that earn at least 75, and at least 100. Anchors that no source "
        "gives are set on these takes (models/norms.py), so 75 is near their middle by design.",
        ("score", "measure", "0", "75", "100", *shares),
    )
    for name, dimension in dimensions.DIMENSIONS.items():
        for term in dimension.terms:
            found = [values(each, term.measure) for each in takes.values()]
            if dimension.of == "song" or not any(len(each) for each in found):
                continue
            ends = (_where(term, points) for points in (0, 75, 100))
            earned = (_share(term, each, points) for each in found for points in (75, 100))
            section.rows.append([name, term.measure, *ends, *earned])
    return section


def _where(term: dimensions.Term, points: float) -> str:
    """The value or values of that many points."""
    line = term.spoken.anchors
    exact = [at for at, earned in line if abs(earned - points) < 1e-9]
    found = exact or ([term.spoken.target(at) for at in (line[0][0], line[-1][0])])
    return " / ".join(dict.fromkeys(f"{at:.3g}" for at in found))


def _share(term: dimensions.Term, found: Floats, points: float) -> str:
    if not len(found):
        return "-"
    return f"{np.mean([term.spoken.points(value) >= points - 1e-9 for value in found]):.0%}"


def repeats(short: Sequence[Pair], long: Sequence[Pair]) -> Section:
    """Test and retest."""
    spoken = tuple(score_norms.spoken_s(pairs) for pairs in (short, long))
    section = Section(
        "Repeated takes",
        "RAVDESS, the takes above: two of the same sentence and emotion by the same actor, minutes "
        f"apart ({spoken[0]:.1f} s of speech); and six calm ones joined ({spoken[1]:.1f} s), which "
        "repeat no pauses. SD: within a person (interval over actors); ICC(1,1) of actors where "
        "sentence and emotion are the same (Shrout & Fleiss 1979); smallest real change = 1.96 x "
        "sqrt(2) x SD (Bland & Altman 1999), here and as the API states it, which `python -m "
        "training.evaluation.score_norms CORPORA` writes from all of RAVDESS.",
        (
            "score or measure",
            "pairs",
            "SD, short",
            "ICC, short",
            "SD, long",
            "ICC, long",
            "smallest real change, short / long",
            "as stated",
        ),
    )
    names = [*dimensions.DIMENSIONS, *score_norms.measures()]
    first, then = score_norms.spreads(short, names), score_norms.spreads(long, names)
    section.rows += [_repeat(name, each, then.get(name)) for name, each in first.items()]
    section.notes += [
        "A lower bound for takes of different days. Between the two lengths the variance is taken "
        "to fall with 1 / seconds of speech; beyond them nothing is extrapolated.",
        "No corpus has repeated song, nor repeated pauses: scores of song and fluency state no "
        "smallest real change, and two takes are compared by their standard errors alone.",
    ]
    return section


def _repeat(name: str, short: Spread, long: Spread | None) -> list[object]:
    if name in score_norms.OF_PAUSES:
        long = None
    stated = norms.WITHIN_PERSON_SD.get(name)
    return [
        name,
        short.pairs,
        str(short.sd),
        short.icc,
        "-" if long is None else str(long.sd),
        "-" if long is None else long.icc,
        _changes((short.sd.value, long.sd.value if long else None)),
        "-" if stated is None else _changes(stated),
    ]


def _changes(sds: Sequence[float | None]) -> str:
    return " / ".join("-" if sd is None else f"{norms.LIMIT * sd:.3g}" for sd in sds)


def _readers(clips: Sequence[data.Clip], takes: Sequence[Take]) -> list[Reader]:
    """A few, evenly apart, that have a rate."""
    found: list[Reader] = []
    step = max(len(clips) // READERS, 1)
    for clip, take in list(zip(clips, takes, strict=True))[::step][:READERS]:
        rate = take.value("fluency.articulation_rate_sps")
        if rate is not None:
            sound = clip.audio().samples.astype(np.float64)
            found.append(score_ladders.read(sound, clip.speaker, rate))
    return found


def _climbed(readers: Sequence[Reader], using: Mapping[Family, Engine]) -> list[Climbed]:
    speech = [score_ladders.climb(ladder, readers, using) for ladder in OF_SPEECH]
    return speech + [score_ladders.climb(ladder, SINGERS_HZ, using) for ladder in OF_SONG]


def ladders(climbed: Sequence[Climbed]) -> Section:
    """Worse sounds, and their scores."""
    section = Section(
        "Sounds made worse",
        f"{READERS} readers of LibriSpeech changed by noise, rooms and silence (8 s each) and by "
        f"WORLD ({RESYNTHESISED_S:g} s), and three synthesised singers, in five steps from better "
        "to worse. The score's median at each step, and Spearman's correlation of step and score "
        "within each voice (mean, interval over voices; -1: every step scores worse).",
        ("made worse", "score", "steps", "median scores", "Spearman", "scored"),
    )
    section.rows += [
        [
            each.title,
            each.score,
            ", ".join(f"{step:g}" for step in each.steps),
            ", ".join("-" if np.isnan(median) else f"{median:.0f}" for median in each.medians),
            str(each.correlation),
            f"{each.scored:.0%}",
        ]
        for each in climbed
    ]
    section.notes.append(
        "AVQI (Maryn et al. 2010) would be a peer for voice quality, but it is defined on a held "
        "vowel joined to running speech of one speaker, which no corpus here has: not compared."
    )
    return section


def advice(takes: Mapping[str, Sequence[Take]]) -> Section:
    """What comes first."""
    section = Section(
        "What feedback says first",
        "The share of ordinary takes whose first advice is on each score. The sentences are rules "
        "over scores and evidence; that none scolds, diagnoses or lacks its ground is a property "
        "test (tests/models/test_score_properties.py).",
        ("first advice on", *(NAMES[name] for name in takes)),
    )
    first = {name: Counter(_first(take) for take in each) for name, each in takes.items()}
    for dimension in [*dimensions.DIMENSIONS, "nothing"]:
        if any(counts[dimension] for counts in first.values()):
            shares = [f"{first[name][dimension] / len(takes[name]):.0%}" for name in takes]
            section.rows.append([dimension, *shares])
    return section


def _first(take: Take) -> str:
    return take.feedback[0].dimension if take.feedback else "nothing"
