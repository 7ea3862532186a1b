"""Ordinary takes and repeated takes: what `models/norms.py` holds, and the command that writes it.

python -m training.evaluation.score_norms CORPORA
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models import dimensions, norms, scores
from models.audio import ANALYSIS_RATE, Audio
from models.engine import Engine, Options
from models.results import Family
from training import data
from training.data import Clip
from training.evaluation import score_takes
from training.evaluation.intervals import Interval, of_ratio
from training.evaluation.score_takes import ORDINARY, Take, values

NORMS = Path(norms.__file__)
READERS = "librispeech_subset"
OF_READERS = (  # an order is said in one breath: it tells nothing of pauses
    "fluency.phonation_ratio",
    "fluency.pauses_per_minute",
    "fluency.mean_length_of_run",
)
FEWEST_PAIRS = 15
CALM = ("neutral", "calm")  # joined to long takes
MAIN = (  # measures that no score uses, or not alone, but that people follow
    "pitch.f0_median_hz",
    "prosody.f0_sd_semitones",
    "prosody.loudness_range_db",
    "fluency.speech_rate_sps",
    "timbre.alpha_ratio_db",
    "timbre.h1_h2_db",
)

OF_PAUSES = ("fluency", "fluency.speech_rate_sps", *OF_READERS)

Pair = tuple[Take, Take]


@dataclass(frozen=True, slots=True)
class Spread:
    """How repeated takes of one person differ (Bland & Altman 1999; Shrout & Fleiss 1979)."""

    sd: Interval  # within a person, over actors
    icc: float  # ICC(1,1) of persons, sentence, emotion and intensity being the same
    pairs: int
    people: int

    @property
    def smallest_real_change(self) -> float:
        return norms.LIMIT * self.sd.value


def repeated(takes: Iterable[Take]) -> list[Pair]:
    """RAVDESS's repetitions: the same actor, sentence, emotion and intensity."""
    said = defaultdict[tuple[str, ...], dict[str, Take]](dict)
    for take in takes:
        said[(*take.asked, take.speaker)][take.repetition] = take
    return [(both["01"], both["02"]) for both in said.values() if len(both) == 2]


def joined(clips: Sequence[Clip]) -> list[tuple[Clip, Audio]]:
    """What each actor said calmly, the first time and again: a long take, and its repetition."""
    found = []
    for speaker, rep in sorted({(clip.speaker, clip.extra["rep"]) for clip in clips}):
        own = [c for c in clips if (c.speaker, c.extra["rep"]) == (speaker, rep)]
        calm = [clip for clip in own if clip.label in CALM]
        if calm:
            sound = np.concatenate([clip.audio().samples for clip in calm])
            found.append((calm[0], Audio(sound, ANALYSIS_RATE)))
    return found


def heard_joined(clips: Sequence[Clip], using: Mapping[Family, Engine]) -> list[Take]:
    sounds = joined(clips)
    takes = score_takes.heard([audio for _, audio in sounds], using)
    return [
        replace(take, speaker=clip.speaker, asked=("joined",), repetition=clip.extra["rep"])
        for (clip, _), take in zip(sounds, takes, strict=True)
    ]


def spoken_s(pairs: Sequence[Pair]) -> float:
    """Speech in a take, the median."""
    spans = [take.results["activity"].speech_s for pair in pairs for take in pair]  # type: ignore[attr-defined]
    return float(np.median([sum(end - start for start, end in each) for each in spans]))


def spread(pairs: Sequence[Pair], name: str) -> Spread | None:
    """Of a score or measure; None where too few pairs have it twice."""
    found = [(first, first.value(name), second.value(name)) for first, second in pairs]
    kept = [(take, a, b) for take, a, b in found if a is not None and b is not None]
    if len(kept) < FEWEST_PAIRS:
        return None
    squares = defaultdict[str, list[float]](list)
    asked = defaultdict[tuple[str, ...], list[tuple[float, float]]](list)
    for take, a, b in kept:
        squares[take.speaker].append((a - b) ** 2 / 2)
        asked[take.asked].append((a, b))
    mean = of_ratio({who: (sum(each), len(each)) for who, each in squares.items()})
    sd = Interval(mean.value**0.5, mean.low**0.5, mean.high**0.5)
    return Spread(sd, _icc(list(asked.values())), len(kept), len(squares))


def _icc(asked: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Pooled over what was asked for; each pair is one person's two takes of it."""
    tables = [np.array(pairs) for pairs in asked if len(pairs) > 1]  # (people, 2)
    free = sum(len(table) - 1 for table in tables)
    means = [table.mean(1) for table in tables]
    between = sum(2 * float(np.sum((mean - mean.mean()) ** 2)) for mean in means) / free
    within = float(np.mean(np.concatenate([np.diff(table)[:, 0] ** 2 / 2 for table in tables])))
    return (between - within) / (between + within) if between + within else float("nan")


def percentiles(
    ordinary: Mapping[str, Sequence[Take]], names: Iterable[str] = tuple(norms.PERCENTILES)
) -> dict[str, tuple[float, ...]]:
    """Of every measure that is scored by rank: at norms.RANKS."""
    found = {}
    for name in names:
        heard = [READERS] if name in OF_READERS else list(ordinary)
        pool = np.concatenate([values(ordinary[corpus], name) for corpus in heard])
        found[name] = tuple(_three_digits(each) for each in np.percentile(pool, norms.RANKS))
    return found


def measures() -> list[str]:
    """Those that scores are made of, and MAIN."""
    terms = [term.measure for each in dimensions.DIMENSIONS.values() for term in each.terms]
    return sorted(set(terms) - set(scores.DERIVED)) + list(MAIN)


def spreads(pairs: Sequence[Pair], names: Iterable[str]) -> dict[str, Spread]:
    found = ((name, spread(pairs, name)) for name in names)
    return {name: each for name, each in found if each is not None}


def scored_by(take: Take, ranks: Mapping[str, Sequence[float]]) -> Take:
    """The same take, its scores against these percentiles."""
    found = scores.score(take.results, Options(), dimensions.of(ranks))
    return replace(take, scores=found)


def write(
    path: Path,
    ranks: Mapping[str, Sequence[float]],
    spoken: Sequence[float],
    sds: Mapping[str, Sequence[float]],
) -> None:
    """Put the tables into models/norms.py; the rest of the file stays."""
    text = _filled(path.read_text(), "PERCENTILES: [^=]*", _table(ranks))
    text = _filled(text, "SPOKEN_S", _row(spoken))
    path.write_text(_filled(text, "WITHIN_PERSON_SD: [^=]*", _table(sds)))


def _filled(text: str, name: str, value: str) -> str:
    pattern = rf"(^{name} ?= )(\{{.*?\}}|\([^)]*\))$"
    filled, count = re.subn(pattern, lambda m: m[1] + value, text, flags=re.M | re.S)
    if count != 1:
        raise ValueError(f"no table {name} to fill")
    return filled


def _table(rows: Mapping[str, Sequence[float]]) -> str:
    lines = "".join(f'    "{name}": {_row(row)},\n' for name, row in sorted(rows.items()))
    return f"{{\n{lines}}}" if rows else "{}"


def _row(values: Sequence[float]) -> str:
    return "(" + ", ".join(repr(_three_digits(value)) for value in values) + ")"


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def short_and_long(short: Sequence[Pair], long: Sequence[Pair]) -> dict[str, tuple[float, float]]:
    """Within-person SDs of takes of a sentence and of six; pauses between those were put there."""
    names = [name for name in (*dimensions.DIMENSIONS, *measures()) if name not in OF_PAUSES]
    first, then = spreads(short, names), spreads(long, names)
    return {
        name: (each.sd.value, then.get(name, each).sd.value)
        for name, each in first.items()
        if each.sd.value > 0  # one studio, one bandwidth: that is no repeatability
    }


def main(root: Path) -> None:
    using = score_takes.loaded()
    ordinary = {name: score_takes.corpus(root, name, using) for name in ORDINARY}
    ranks = percentiles(ordinary)
    clips = data.corpus(root, "ravdess")
    both = (score_takes.of_clips(clips, using), heard_joined(clips, using))
    short, long = (repeated(scored_by(take, ranks) for take in takes) for takes in both)
    write(NORMS, ranks, (spoken_s(short), spoken_s(long)), short_and_long(short, long))
    sys.stdout.write(f"written: {NORMS}, from {len(short)} and {len(long)} pairs of takes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
