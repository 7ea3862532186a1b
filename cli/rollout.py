"""`vocality rollout`: which version of a family answers whom."""

from typing import Annotated, Any

import typer

from cli import talking
from cli.talking import AsJson, Server, segment

verbs = typer.Typer(no_args_is_help=True, help="Versions on their way to users, and back.")

Family = Annotated[str, typer.Argument(help="e.g. pitch")]
Reason = Annotated[str, typer.Option(help="Kept in the history.")]
Percent = Annotated[float | None, typer.Option(help="Share of the singers.", min=0, max=100)]
Limits = Annotated[
    list[str] | None, typer.Option("--limit", help="A guardrail, e.g. max_p95_ratio=4; repeat.")
]

BY_HAND = "by hand"


@verbs.command()
def status(
    family: Annotated[str | None, typer.Argument(help="One family; all by default.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Which versions are wanted, and who answers now."""
    said = _ask(server, "GET", segment(family) if family else "")
    _show("rollouts", said, as_json)


@verbs.command()
def start(
    family: Family,
    version: Annotated[str, typer.Argument(help="See GET /v1/models.")],
    percent: Percent = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Ask it too, tell nobody.")] = False,
    limit: Limits = None,
    reason: Reason = BY_HAND,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Try a version: on a share of the singers (10 by default), or as a shadow."""
    body = {
        "family": family,
        "version": version,
        "mode": "shadow" if shadow else "canary",
        "percent": percent,
        "limits": _limits(limit),
        "reason": reason,
    }
    _show("rollouts", _ask(server, "POST", "", _given(body)), as_json)


@verbs.command()
def adjust(
    family: Family,
    percent: Percent = None,
    mode: Annotated[str | None, typer.Option(help="canary or shadow.")] = None,
    limit: Limits = None,
    reason: Reason = BY_HAND,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Another share, other limits, or a canary instead of a shadow and back."""
    seen = _ask(server, "GET", segment(family))
    body = {
        "percent": percent,
        "mode": mode,
        "limits": seen["limits"] | changed if (changed := _limits(limit)) else None,
        "reason": reason,
        "generation": seen["generation"],
    }
    _show("rollouts", _ask(server, "PATCH", segment(family), _given(body)), as_json)


@verbs.command()
def promote(
    family: Family, reason: Reason = BY_HAND, server: Server = None, as_json: AsJson = False
) -> None:
    """Make the version on trial the champion, at once."""
    _act("promote", family, reason, server, as_json)


@verbs.command()
def rollback(
    family: Family, reason: Reason = BY_HAND, server: Server = None, as_json: AsJson = False
) -> None:
    """Drop what is on trial; where nothing is, go back to the previous champion. At once."""
    _act("rollback", family, reason, server, as_json)


@verbs.command()
def retire(
    family: Family, reason: Reason = BY_HAND, server: Server = None, as_json: AsJson = False
) -> None:
    """Keep the previous version warm no more."""
    _act("retire", family, reason, server, as_json)


@verbs.command()
def history(
    family: Family,
    limit: Annotated[int, typer.Option(help="Most changes.", min=1, max=100)] = 20,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """What was done, by whom and why, newest first."""
    _show("history", _ask(server, "GET", f"{segment(family)}/history?limit={limit}"), as_json)


@verbs.command()
def compare(family: Family, server: Server = None, as_json: AsJson = False) -> None:
    """The version on trial beside the champion, since the trial began."""
    _show("comparison", _ask(server, "GET", f"{segment(family)}/compare"), as_json)


def _act(action: str, family: str, reason: str, server: str | None, as_json: bool) -> None:
    """Refused when somebody, a guardrail too, was quicker: twice would be two steps."""
    seen = _ask(server, "GET", segment(family))
    body = {"reason": reason, "generation": seen["generation"]}
    _show("rollouts", _ask(server, "POST", f"{segment(family)}/{action}", body), as_json)


def _ask(server: str | None, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    return talking.ask(server, method, f"/v1/rollouts{path}", body)


def _show(what: str, said: Any, as_json: bool) -> None:  # noqa: ANN401
    talking.show("show_rollout", what, said, as_json)


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _limits(pairs: list[str] | None) -> dict[str, float] | None:
    if not pairs:
        return None
    try:
        named = (pair.split("=", 1) for pair in pairs)
        return {name.strip(): float(value) for name, value in named}
    except ValueError as error:
        raise typer.BadParameter("a limit is NAME=NUMBER, e.g. max_error_rate=0.1") from error
