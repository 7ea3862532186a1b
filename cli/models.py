"""`vocality models`: what is here, what the registry holds, and what can be fetched."""

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from app.settings import settings
from cli import tracking
from models import registry, shipped, weights
from models.registry import Aliases, Entry, RegistryUnavailable
from models.whisper_checkpoints import FetchFailed, cache
from models.whisper_checkpoints import fetch as fetch_checkpoint

errors = Console(stderr=True)


def list_versions() -> None:
    console = Console()
    console.print(_shipped())
    tracking.find(settings())
    try:
        entries, aliases = registry.versions(), registry.aliases()
    except RegistryUnavailable as error:
        console.print(f"\n{error}", highlight=False, markup=False)
        return
    console.print()
    console.print(_registered(entries, aliases))


def show(family: str, version: str) -> None:
    tracking.find(settings())
    try:
        wanted = f"{family}/{version}" if version.isdecimal() else f"{family}@{version}"
        entry = registry.read(*registry.resolve(f"models:/{wanted}"))
        named = registry.read_aliases(family) or Aliases()
    except RegistryUnavailable as error:
        errors.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    console = Console()
    console.print(Markdown(entry.facts.card or f"# {family} {entry.version}"))
    console.print(_facts(entry, named))


def _shipped() -> Table:
    table = Table("weights", "version", "sha256", "licence", "checked", box=None)
    for name, versions in shipped.manifest(shipped.FOLDER).items():
        for version, entry in versions.items():
            digest = entry["sha256"][:16]
            table.add_row(name, version, digest, entry["licence"], _state(name, version))
    return table


def _state(name: str, version: str) -> str:
    try:
        weights.load(name, version)
    except weights.WeightsUnavailable as error:
        return f"[red]{error}[/red]"
    return "[green]ok[/green]"


def _registered(entries: list[Entry], aliases: dict[str, Aliases]) -> Table:
    table = Table("registered", "version", "is", "gate", "sha256", "licence", "since", box=None)
    for entry in sorted(entries, key=lambda one: (one.family, int(one.version))):
        facts = entry.facts
        table.add_row(
            entry.family,
            entry.version,
            _role(entry, aliases.get(entry.family, Aliases())),
            escape(_gate(entry)),
            facts.sha256[:16],
            facts.licence,
            f"{entry.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def _role(entry: Entry, named: Aliases) -> str:
    """What the version is for now."""
    roles = [name for name in registry.NAMED if getattr(named, name) == entry.version]
    share = f" {named.percent:g} %" if entry.version == named.challenger else ""
    return ", ".join(roles) + share


def _gate(entry: Entry) -> str:
    why = entry.facts.gate_reason
    return f"{entry.facts.gate}: {why}" if why else entry.facts.gate


def _facts(entry: Entry, named: Aliases) -> Table:
    facts = entry.facts
    table = Table(show_header=False, box=None)
    rows = {
        "version": f"{entry.family} {entry.version}",
        "is": _role(entry, named),
        "gate": _gate(entry),
        "metrics": ", ".join(f"{name} {value:.4g}" for name, value in facts.metrics.items()),
        "weights": facts.sha256,
        "code": facts.code_digest,
        "data": facts.data_digest,
        "schema": facts.schema_digest,
        "licence": facts.licence,
        "memory": f"{facts.memory_bytes / 2**20:.0f} MiB",
        "tags": ", ".join(f"{name}={value}" for name, value in entry.tags.items()),
        "run": entry.run_id or "",
        "since": f"{entry.created_at:%Y-%m-%d %H:%M} UTC",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, escape(value))
    return table


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
