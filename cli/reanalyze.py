"""`vocality reanalyze`: many recordings measured again, by the versions that are named."""

from collections.abc import Mapping

import typer

from cli import watching
from cli.talking import listed


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
    watching.begin(server, "reanalysis", body, watched=watched, as_json=as_json)


def _pairs(pairs: list[str]) -> dict[str, str]:
    named = [pair.partition("=") for pair in pairs]
    if wrong := [name for name, equals, version in named if not (name and equals and version)]:
        raise typer.BadParameter(f"a version is FAMILY=VERSION, e.g. pitch=2, not {wrong[0]!r}")
    return {name: version for name, _, version in named}
