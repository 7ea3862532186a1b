"""`vocality openapi`: write openapi.json, and never quietly take something from its clients."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import typer

from app.main import document
from app.settings import Settings
from cli.contract import broken

COMMITTED = Path(__file__).parent.parent / "openapi.json"


def run(output: Path, *, breaking: bool) -> None:
    new = current()
    found = broken(json.loads(output.read_text()), new) if output.exists() else []
    for sentence in found:
        typer.echo(sentence, err=True)
    if found and not breaking:
        typer.echo(f"{output} is unchanged: clients would break. Meant so? --breaking", err=True)
        raise typer.Exit(1)
    output.write_text(written(new))


@cache
def current() -> dict[str, Any]:
    return document(Settings())


def written(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
