"""`vocality evaluate`: every family beside its peers, on real and on synthesised voices."""

import importlib
from pathlib import Path

import typer
from rich.console import Console

from training.evaluation.report import Part, renew

FAMILIES = {  # the part of the report, and the module of training.evaluation that measures it
    "pitch": "Pitch",
    "singing": "Singing",
    "timbre": "Voice quality",
    "activity": "Activity",
    "fluency": "Syllables, fluency and prosody",
    "clarity": "Clarity",
    "emotion": "Emotion",
    "scores": "Scores and feedback",
    "robustness": "Robustness",
}
PACKAGES = ("torch", "numpy", "scipy")
REPORT = Path("EVALUATION.md")
TITLE = """# Evaluation

Written by `make evaluate` (`vocality evaluate`), never by hand: each part by the run that it dates.
Peers are measured beside us, on the same material, in the same run; one that is not installed is
named as missing. Figures in brackets are 95 % bootstrap intervals over speakers."""
console = Console()


def run(family: str | None, corpora: Path, output: Path | None) -> None:
    if family and family not in FAMILIES:
        raise typer.BadParameter(f"no family {family}; there are {', '.join(FAMILIES)}")
    if not corpora.is_dir():
        raise typer.BadParameter(f"no corpora at {corpora}; say where they are with --corpora")
    for name in [family] if family else list(FAMILIES):
        console.print(f"evaluating: {name}", style="dim")
        part = _measured(name, corpora)
        console.print(part.markdown(), markup=False, highlight=False)
        renew(output or REPORT, TITLE, [part], list(FAMILIES.values()))
    console.print(f"written: {output or REPORT}")


def _measured(name: str, corpora: Path) -> Part:
    """Each module has `measure(corpora)` and the PACKAGES whose versions matter."""
    module = importlib.import_module(f"training.evaluation.{name}")
    return Part(FAMILIES[name], module.measure(corpora), (*PACKAGES, *module.PACKAGES))
