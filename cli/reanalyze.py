"""`vocality reanalyze`: many recordings measured again, by the versions that are named."""

import json
from collections.abc import Mapping

import typer

from cli import show_jobs
from cli.asking import ask
from cli.watching import watch


def run(
    families: str,
    *,
    versions: list[str],
    selection: Mapping[str, object],
    via: str,
    server: str | None,
    watched: bool,
    as_json: bool,
) -> None:
    body = {
        "selection": {name: value for name, value in selection.items() if value},
        "families": listed(families),
        "versions": _pairs(versions),
        "via": via,
    }
    job = ask(server, "POST", "/v1/jobs/reanalysis", body)
    if as_json:
        print(json.dumps(job))
    else:
        show_jobs.one(job)
    if watched:
        watch(server, job["id"])


def listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pairs(pairs: list[str]) -> dict[str, str]:
    named = [pair.partition("=") for pair in pairs]
    if wrong := [name for name, equals, version in named if not (name and equals and version)]:
        raise typer.BadParameter(f"a version is FAMILY=VERSION, e.g. pitch=2, not {wrong[0]!r}")
    return {name: version for name, _, version in named}
