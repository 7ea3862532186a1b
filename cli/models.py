"""`vocality models`: what is here, and what can be fetched."""

import json

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from models import weights
from models.whisper_checkpoints import FetchFailed, cache
from models.whisper_checkpoints import fetch as fetch_checkpoint

errors = Console(stderr=True)


def show() -> None:
    table = Table("weights", "version", "sha256", "licence", "checked", box=None)
    for name, versions in json.loads((weights.FOLDER / weights.MANIFEST).read_text()).items():
        for version, entry in versions.items():
            table.add_row(
                name, version, entry["sha256"][:16], entry["licence"], _state(name, version)
            )
    Console().print(table)


def _state(name: str, version: str) -> str:
    try:
        weights.load(name, version)
    except weights.WeightsUnavailable as error:
        return f"[red]{error}[/red]"
    return "[green]ok[/green]"


def fetch(name: str) -> None:
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn()) as bar:
        task = bar.add_task(f"whisper {name}", total=None)
        try:
            arriving = fetch_checkpoint(
                name, progress=lambda there, of: bar.update(task, completed=there, total=of)
            )
            path = arriving.result()
        except FetchFailed as error:
            errors.print(str(error), style="red", markup=False)
            errors.print(f"Where there is no network, copy its .pt file into {cache()}.")
            raise typer.Exit(1) from error
    Console().print(f"{path}\nUse it with VOCALITY_TRANSCRIPT_MODEL={name}", highlight=False)
