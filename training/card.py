"""The model card of a retrained version: what it learnt from, how it was judged, what it may do."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from training.dataset import APART, TRAIN, Entry, Manifest
from training.gate import Verdict, table

ROOT = Path(__file__).resolve().parents[1]
MADE_BY = ("training", "models")  # the packages whose code makes a version
CAVEATS = {
    "emotion": "**It describes expression in the voice, not what somebody feels.** Do not decide "
    "anything about a person by it.",
}


def write(
    family: str,
    manifest: Manifest,
    verdict: Verdict,
    licence: str,
    asked: Mapping[str, object],
) -> str:
    parts = [
        f"A retrained version of {family}. `training/recipes/{family}.py` says how it learns, "
        f"`training/judging/{family}.py` how it is judged.",
        CAVEATS.get(family, ""),
        f"**Licence** {licence}: the strictest of its sources.",
        f"## Data\n\n{_material(manifest)}",
        f"## Against the champion, on held-out speakers\n\n{table(verdict)}",
        f"## Retraining\n\n{', '.join(f'{name} {value}' for name, value in asked.items())}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _material(manifest: Manifest) -> str:
    """By source; never who."""
    by_source: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in manifest.clips:
        by_source[entry.source, entry.licence].append(entry)
    rows = [_row(*key, entries) for key, entries in sorted(by_source.items())]
    head = "| source | licence | clips learnt from | held out | speakers | hours |\n" + "|---" * 6
    made = "Voices and sounds made up by `training/synthesis.py` beside it." * manifest.synthesis
    left = [f"{count} clips: {why}" for why, count in manifest.left_out.items()]
    left_out = f"Left out: {'; '.join(left)}." if left else ""
    rest = f"Manifest {manifest.digest}. {made} {left_out}".strip()
    return f"{head}|\n" + "\n".join(rows) + f"\n\n{rest}"


def _row(source: str, licence: str, entries: list[Entry]) -> str:
    splits = Counter(entry.split for entry in entries)
    speakers = len({entry.speaker for entry in entries if entry.speaker}) or "unknown"
    hours = sum(entry.seconds for entry in entries) / 3600
    return (
        f"| {source} | {licence} | {splits[TRAIN]} | {splits[APART]} | {speakers} | {hours:.2f} |"
    )


def code_digest() -> str:
    """Of all code that makes versions."""
    digest = hashlib.sha256()
    for package in MADE_BY:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
