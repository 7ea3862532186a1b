"""BENCHMARKS.md: every figure as a ratio to something measured in the same run."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("torch", "ray", "fastapi", "nnAudio", "openai-whisper", "av")


@dataclass(slots=True)
class Section:
    """One question, its answer as a table, and how it was measured."""

    title: str
    method: str
    columns: Sequence[str]
    rows: list[Sequence[object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.method, ""]
        if self.rows:
            rule = ["---"] * len(self.columns)
            lines += [_row(row) for row in (self.columns, rule, *self.rows)] + [""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


def write(path: Path, sections: Sequence[Section]) -> None:
    head = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`vocality bench`), never by hand. Peers are measured beside us, "
        "on the same machine, in the same run; read figures as ratios.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "",
    ]
    path.write_text("\n".join(head) + "\n" + "\n".join(section.markdown() for section in sections))


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |"
