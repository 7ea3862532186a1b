"""Watching a job: its log as it is written, its progress as a line, until it ends."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import typer
from rich.console import Console

from cli import talking
from cli.asking import ask, client, fail
from cli.show_jobs import progress

ENDS = {"done": 0, "failed": 1, "cancelled": 1}
RETRY_S = 1.0
SILENT_S = 60.0  # the stream breathes every quarter of that

Told = tuple[str, dict[str, Any]]  # a type and what it tells


def begin(
    server: str | None, kind: str, body: Mapping[str, object], *, watched: bool, as_json: bool
) -> None:
    """Ask for a job of that kind, show it, and stay until it ends if that is wanted."""
    job = ask(server, "POST", f"/v1/jobs/{kind}", body)
    talking.show("show_jobs", "one", job, as_json)
    if watched:
        watch(server, job["id"])


def watch(server: str | None, job: str, console: Console | None = None) -> None:
    """Raises typer.Exit with status 1 where the job does not end well."""
    where, known = console or Console(), dict[str, Any]()
    with client(server) as asker, where.status("waiting") as status:
        for kind, told in events(asker, job):
            if kind == "log":
                for line in told["lines"]:
                    where.print(line, markup=False, highlight=False)
            elif kind == "progress":
                known |= {name: value for name, value in told.items() if name != "at"}
                status.update(f"running: {progress({'progress': known})}")
            elif kind not in ENDS:
                status.update(kind)
            if kind in ENDS:
                _say_how_it_ended(where, kind, told)
                raise typer.Exit(ENDS[kind])


def _say_how_it_ended(where: Console, kind: str, told: dict[str, Any]) -> None:
    failure = told.get("failure")
    why = f": {failure['detail']} ({failure['code']})" if failure else ""
    where.print(f"{kind}{why}", style="green" if kind == "done" else "red", markup=False)


def events(asker: httpx2.Client, job: str) -> Iterator[Told]:
    """Every event once, through broken connections, to the one that ends the job."""
    last_id: str | None = None
    while True:
        try:
            for event_id, kind, told in _stream(asker, job, last_id):
                last_id = event_id or last_id
                yield kind, told
                if kind in ENDS:
                    return
        except httpx2.HTTPError:
            time.sleep(RETRY_S)


def _stream(
    asker: httpx2.Client, job: str, last_id: str | None
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    path = f"/v1/jobs/{job}/events"
    with asker.stream("GET", path, headers=headers, timeout=SILENT_S) as reply:
        if not reply.is_success:
            fail(f"{job}: the server answered {reply.status_code}.")
        yield from parsed(reply.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Id, type and data of each event of a stream of server-sent events."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"])
            fields = {}
