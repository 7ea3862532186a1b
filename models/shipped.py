"""What a release ships of each family: weights by digest, algorithms by that of their source."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from models.results import Family

FOLDER = Path(__file__).parent / "weights"
MANIFEST = "manifest.json"
PROFILES = "profiles.json"  # see training/shipping.py
SOURCES = Path(__file__).parent

# What computes a family that has no weights: a change of any of these is another version.
CODE: Mapping[Family, tuple[str, ...]] = {
    "timbre": (
        "timbre", "periods", "perturbation", "harmonicity", "formants", "cepstrum", "spectrum",
        "voice_report", "intensity", "perception", "conditions", "framing", "resampling",
    ),
    "prosody": ("prosody", "melody", "utterance", "syllables", "loudness"),
    "fluency": ("fluency", "utterance", "syllables", "loudness"),
}  # fmt: skip
NETWORKS: tuple[Family, ...] = ("activity", "pitch", "emotion", "clarity")

Manifest = dict[str, dict[str, dict[str, str]]]  # name -> version -> sha256 and licence


@dataclass(frozen=True, slots=True)
class Shipped:
    """A family's version as it lies in this release."""

    family: Family
    sha256: str
    licence: str
    files: tuple[Path, ...]  # the weights, or the source
    card: str
    memory_bytes: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)  # models.profiles.Profile
    code_digest: str = ""  # of what made the weights
    data_digest: str = ""  # of the manifest of the material


@cache  # a release does not change while it runs
def everything() -> dict[Family, Shipped]:
    """The newest weights of each network, and every algorithm. Whisper's weights never ship."""
    known = manifest(FOLDER)
    networks = {family: _network(family, known[family]) for family in NETWORKS if family in known}
    return networks | {family: _algorithm(family) for family in CODE}


def manifest(folder: Path) -> Manifest:
    """Empty where there is none."""
    try:
        found: Manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return found


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(family: Family) -> str:
    digest = hashlib.sha256()
    for source in _sources(family):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _network(family: Family, versions: Mapping[str, Mapping[str, str]]) -> Shipped:
    label = max(versions, key=int)
    entry = versions[label]
    card = FOLDER / f"{family}-{label}.md"
    return Shipped(
        family=family,
        sha256=entry["sha256"],
        licence=entry["licence"],
        files=(FOLDER / f"{family}-{label}.safetensors",),
        card=card.read_text() if card.is_file() else "",
        **_measured(family, entry["sha256"]),
    )


def _algorithm(family: Family) -> Shipped:
    digest, sources = code_digest(family), _sources(family)
    says = sources[0].read_text().split('"""')[1].strip()
    names = ", ".join(f"`models/{source.name}`" for source in sources)
    return Shipped(
        family=family,
        sha256=digest,
        licence="Apache-2.0",
        files=sources,
        card=f"# {family}\n\n{says}\n\nAn algorithm without weights: {names}.\n",
        **{"code_digest": digest, **_measured(family, digest)},
    )


def _sources(family: Family) -> tuple[Path, ...]:
    return tuple(SOURCES / f"{name}.py" for name in CODE[family])


def _measured(family: Family, sha256: str) -> dict[str, Any]:
    """What this very version was measured to need and to answer; nothing of another's."""
    try:
        kept: dict[str, Any] = json.loads((FOLDER / PROFILES).read_text())[family]
    except (OSError, ValueError, KeyError):
        return {}
    if kept.pop("sha256") != sha256:
        return {"memory_bytes": kept["memory_bytes"]}
    return dict(kept)
