"""What the verbs share that ask a running platform: their options, and how an answer is shown."""

from importlib import import_module
from typing import Annotated, Any
from urllib.parse import quote

import typer

Server = Annotated[
    str | None, typer.Option(help="The platform's address; the one of the settings by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="What the platform said, as JSON.")]


def listed(text: str) -> list[str]:
    """A comma list as it is typed."""
    return [name.strip() for name in text.split(",") if name.strip()]


def ask(server: str | None, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    from cli import asking

    return asking.ask(server, method, path, body)


def segment(name: str) -> str:
    """A name as one step of a path."""
    return f"/{quote(name, safe='')}"


def show(module: str, how: str, said: Any, as_json: bool) -> None:  # noqa: ANN401
    """By the function `how` of cli/MODULE.py, which is imported only for that."""
    if as_json:
        import json

        print(json.dumps(said))
        return
    getattr(import_module(f"cli.{module}"), how)(said)
