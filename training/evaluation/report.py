"""What a measuring command prints and writes: tables, each with its method and its machine."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil


@dataclass(slots=True)
class Section:
    """One question, its answer as a table, and how it was measured."""

    title: str
    method: str
    columns: Sequence[str]
    rows: list[Sequence[object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self, heading: str = "##") -> str:
        lines = [f"{heading} {self.title}", "", self.method, ""]
        if self.rows:
            rule = ["---"] * len(self.columns)
            lines += [_row(row) for row in (self.columns, rule, *self.rows)] + [""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


@dataclass(slots=True)
class Part:
    """The sections of one family, dated; `vocality evaluate FAMILY` makes its part anew."""

    name: str
    sections: Sequence[Section]
    packages: Sequence[str]

    def markdown(self) -> str:
        head = f"## {self.name}\n\n{circumstances(self.packages)}\n"
        return "\n".join([head, *(section.markdown("###") for section in self.sections)])


def write(path: Path, title: str, sections: Sequence[Section], packages: Sequence[str]) -> None:
    """A report made in one run."""
    head = f"{title}\n\n{circumstances(packages)}\n"
    path.write_text("\n".join([head, *(section.markdown() for section in sections)]))


def renew(path: Path, title: str, parts: Sequence[Part], order: Sequence[str]) -> None:
    """A report of which only some parts were measured again; the others stay as they are."""
    kept = _parts(path.read_text()) if path.exists() else {}
    kept |= {part.name: part.markdown() for part in parts}
    path.write_text("\n".join([f"{title}\n", *(kept[name] for name in order if name in kept)]))


def circumstances(packages: Sequence[str]) -> str:
    """Date, machine and versions; a package that is not installed is named as missing."""
    memory = psutil.virtual_memory().total / 2**30
    machine = f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}"
    stated = ", ".join(f"{name} {_version(name)}" for name in packages)
    return f"{datetime.now(UTC):%Y-%m-%d}, {machine}, Python {platform.python_version()}, {stated}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _parts(text: str) -> dict[str, str]:
    """By name, from one heading of the second level to the next."""
    parts = ("\n" + text).split("\n## ")[1:]
    return {part.split("\n", 1)[0]: f"## {part}" for part in parts}


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |"
