"""Rollouts for people: who answers, what was done, and how a trial compares with the champion."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = dict[str, Any]

STYLES = {"steady": "green", "starting": "yellow", "canary": "cyan", "shadow": "magenta"}
MOST_DIFFERENCES = 12  # lines of each kind; --json has all


def rollouts(said: Json) -> None:
    """One, or a list of them."""
    table = _table("family", "state", "champion", "on trial", "previous", "answers now", "registry")
    for one in said.get("items", [said]):
        table.add_row(
            one["family"],
            Text(one["state"], STYLES[one["state"]]),
            one["champion"],
            _trial(one),
            one["previous"] or "",
            _answers(one["route"]),
            "knows" if one["registry_knows"] else "not told yet",
        )
    Console().print(table)


def _trial(one: Json) -> str:
    if one["challenger"]:
        return f"{one['challenger']} at {one['percent']:g} %"
    return f"{one['shadow']} as shadow" if one["shadow"] else ""


def _answers(route: Json) -> str:
    shares = [f"{version} {share:g} %" for version, share in route["percent"].items()]
    rest = 100 - sum(route["percent"].values())
    return ", ".join([f"{route['champion']} {rest:g} %", *shares])


def history(said: Json) -> None:
    table = _table("when", "who", "what", "champion", "on trial", "why")
    for one in said["items"]:
        table.add_row(
            one["created_at"][:19].replace("T", " "),
            one["actor_id"],
            one["action"],
            _step(one["before"]["champion"], one["after"]["champion"]),
            _step(_trial(one["before"]), _trial(one["after"])),
            Text(one["reason"]),
        )
    Console().print(table)


def _step(before: str, after: str) -> str:
    return after if before == after else f"{before or 'none'} → {after or 'none'}"


def comparison(said: Json) -> None:
    sides = _table(
        f"{said['family']} since {said['since'][:19]}",
        "version",
        "requests",
        "errors",
        "timeouts",
        "not finite",
        "p50",
        "p95",
    )
    for part, name in (("champion", "champion"), ("trial", said["mode"])):
        sides.add_row(name, *_side(said[part]))
    console = Console()
    console.print(sides)
    console.print(f"\n{said['compared']} takes compared, {said['unlike']} measured by one only")
    for kind, title in (("scores", "score, points"), ("measures", "measure, its unit")):
        if said[kind]:
            console.print(_differences(said[kind][:MOST_DIFFERENCES], title))
    if said["objection"]:
        console.print(Text(f"\nguardrails: {said['objection']}", "red"))


def _side(side: Json) -> Iterable[str]:
    yield side["version"]
    yield str(side["requests"])
    for rate in ("error_rate", "timeout_rate", "not_finite_rate"):
        yield "" if side[rate] is None else f"{side[rate]:.1%}"
    for latency in ("latency_p50_s", "latency_p95_s"):
        yield "" if side[latency] is None else f"{side[latency]:.3f} s"


def _differences(found: list[Json], title: str) -> Table:
    table = _table(title, "mean", "rms", "largest", "n")
    for one in found:
        numbers = (f"{one[name]:+.3g}" if name == "mean" else f"{one[name]:.3g}" for name in _SIZES)
        table.add_row(one["name"], *numbers, str(one["n"]))
    return table


_SIZES = ("mean", "rms", "largest")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "when")
    return table
