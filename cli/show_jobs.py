"""Jobs for people: a table of them, and one of them whole."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"done": "green", "failed": "red", "cancelled": "dim", "running": "cyan"}

Said = Mapping[str, Any]


def many(page: Said, console: Console | None = None) -> None:
    where = console or Console()
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in ("job", "kind", "state", "progress", "asked at"):
        table.add_column(column, overflow="fold", no_wrap=column == "job")  # it is to be copied
    for job in page["items"]:
        table.add_row(job["id"], job["kind"], _state(job), progress(job), _moment(job))
    where.print(table if page["items"] else "No jobs.")


def one(job: Said, console: Console | None = None) -> None:
    where = console or Console()
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in _facts(job):
        table.add_row(name, value)
    where.print(table)


def _facts(job: Said) -> list[tuple[str, Text | str]]:
    facts: list[tuple[str, Text | str]] = [
        ("job", job["id"]),
        ("kind", job["kind"]),
        ("state", _state(job)),
        ("by", job["owner_id"]),
        ("asked at", _moment(job)),
    ]
    if job["progress"]:
        facts.append(("progress", progress(job)))
    if job["failure"]:
        facts.append(("why", f"{job['failure']['detail']} ({job['failure']['code']})"))
    for name, value in (job["result"] or {}).items():
        facts.append((name.replace("_", " "), value if isinstance(value, str) else _plain(value)))
    return facts


def progress(job: Said) -> str:
    """Of a reanalysis the share that is done; of anything else what it says of itself."""
    told = job["progress"]
    if "results" in told and "done" in told:
        failed = f", {told['failed']} failed" if told.get("failed") else ""
        return f"{told['done']} of {told['results']}{failed}"
    return ", ".join(f"{name} {_plain(value)}" for name, value in told.items())


def _state(job: Said) -> Text:
    position = f" ({job['queue_position']})" if job["queue_position"] else ""
    return Text(job["state"] + position, style=COLOURS.get(job["state"], ""))


def _moment(job: Said) -> str:
    return str(job["created_at"])[:19].replace("T", " ")


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
