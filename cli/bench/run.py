"""`vocality bench`: runs the parts that were asked for and writes the report."""

from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console

from training.evaluation.report import Section, write

PACKAGES = ("torch", "ray", "fastapi", "nnAudio", "openai-whisper", "av")
TITLE = """# Benchmarks

Written by `make bench` (`vocality bench`), never by hand. Peers are measured beside us, on the same
machine, in the same run; read figures as ratios."""
PARTS = ("graph", "http", "transcript", "reanalysis", "rollout", "gateway", "gpu")
console = Console()


def run(only: str | None, output: Path | None) -> None:
    chosen = tuple(only.split(",")) if only else PARTS
    if unknown := set(chosen) - set(PARTS):
        raise typer.BadParameter(f"no part {', '.join(sorted(unknown))}; there are {PARTS}")
    sections: list[Section] = []
    for part in PARTS:
        if part in chosen:
            console.print(f"measuring: {part}", style="dim")
            sections += _measured(part)
    sections.sort(key=lambda section: section.title)
    for section in sections:
        console.print(section.markdown(), markup=False, highlight=False)
    where = output or (Path("BENCHMARKS.md") if not only else None)
    if where:
        write(where, TITLE, sections, PACKAGES)
        console.print(f"written: {where}")


def _measured(part: str) -> list[Section]:
    from cli.bench import (
        entering,
        in_process,
        on_gpu,
        over_http,
        reanalysing,
        rolling,
        transcribing,
    )

    measures: dict[str, Callable[[], list[Section]]] = {
        "graph": lambda: [in_process.measure()],
        "http": lambda: list(over_http.measure()),
        "transcript": lambda: [transcribing.measure()],
        "reanalysis": reanalysing.measure,
        "rollout": lambda: [rolling.measure()],
        "gateway": lambda: [entering.measure()],
        "gpu": lambda: [on_gpu.measure()],
    }
    return measures[part]()
