"""`vocality jobs`: long work, watched and steered from a terminal."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import talking
from cli.talking import AsJson, Server, segment

verbs = typer.Typer(no_args_is_help=True, help="Retraining and reanalysis: watch and steer them.")

JobId = Annotated[str, typer.Argument(help="e.g. job_01932c...")]


@verbs.command("list")
def every(
    kind: Annotated[str | None, typer.Option(help="retraining or reanalysis.")] = None,
    state: Annotated[str | None, typer.Option(help="queued, running, paused, done, ...")] = None,
    limit: Annotated[int, typer.Option(help="Most jobs.", min=1, max=100)] = 20,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """The jobs, newest first."""
    from urllib.parse import urlencode

    given = {"kind": kind, "state": state, "limit": limit}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    _show("many", _ask(server, "GET", f"?{query}"), as_json)


@verbs.command()
def show(job: JobId, server: Server = None, as_json: AsJson = False) -> None:
    """How a job stands."""
    _show("one", _ask(server, "GET", segment(job)), as_json)


@verbs.command()
def watch(job: JobId, server: Server = None) -> None:
    """Its log and progress until it ends. Exit status 1 where it does not end well."""
    from cli.watching import watch as follow

    follow(server, job)


@verbs.command()
def logs(job: JobId, server: Server = None) -> None:
    """What it has written down so far."""
    from cli.asking import text

    print(text(server, f"/v1/jobs{segment(job)}/logs"), end="")


@verbs.command()
def report(
    job: JobId,
    output: Annotated[
        Path | None, typer.Option(help="Write it there: .html as a page, else JSON.")
    ] = None,
    server: Server = None,
) -> None:
    """What a finished reanalysis changed."""
    from cli.asking import text

    page = ".html" if output and output.suffix == ".html" else ""
    found = text(server, f"/v1/jobs{segment(job)}/report{page}")
    if output is None:
        print(found)
        return
    output.write_text(found)
    print(f"written: {output}")


@verbs.command()
def cancel(job: JobId, server: Server = None, as_json: AsJson = False) -> None:
    """Stop it for good."""
    _show("one", _ask(server, "POST", f"{segment(job)}/cancel"), as_json)


@verbs.command()
def pause(job: JobId, server: Server = None, as_json: AsJson = False) -> None:
    """Let a reanalysis rest; what it has measured stays."""
    _show("one", _ask(server, "POST", f"{segment(job)}/pause"), as_json)


@verbs.command()
def resume(job: JobId, server: Server = None, as_json: AsJson = False) -> None:
    """Go on with a paused reanalysis."""
    _show("one", _ask(server, "POST", f"{segment(job)}/resume"), as_json)


def _ask(server: str | None, method: str, path: str) -> Any:  # noqa: ANN401
    return talking.ask(server, method, f"/v1/jobs{path}")


def _show(how: str, said: Any, as_json: bool) -> None:  # noqa: ANN401
    talking.show("show_jobs", how, said, as_json)
