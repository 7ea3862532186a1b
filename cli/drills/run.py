"""`vocality drill`: every drill of the platform on a platform of its own, as a table."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from rich.console import Console
from rich.table import Table

from cli.drills import drill, kills, rollout, versions
from cli.drills.drill import Outcome, Step
from cli.served import Platform, serving

RATE = 5.0  # requests a second
EFFECT_S = 1.0  # after which a change is in effect everywhere
SAYS_S = 30
STEPS = {**rollout.STEPS, **kills.STEPS}
console = Console()


def run(watch_s: float) -> None:
    outcomes = []
    for outcome in drills(watch_s):
        mark = "FAILED" if not outcome.held else "LATE" if outcome.late else "held"
        console.print(f"{mark:7}{outcome.drill}: {outcome.found}", highlight=False, markup=False)
        outcomes.append(outcome)
    console.print(_table(outcomes))
    failed = sum(outcome.late or not outcome.held for outcome in outcomes)
    console.print(f"drills: {len(outcomes) - failed} held, {failed} failed", highlight=False)
    if failed:
        raise typer.Exit(1)


def drills(
    watch_s: float, steps: Mapping[str, Step] = STEPS, effect_s: float = EFFECT_S
) -> Iterator[Outcome]:
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="vocality-drill-"))
        platform = stack.enter_context(serving(Path(folder) / "var", {"VOCALITY_DRILLS": "1"}))
        versions.register(registry_of(platform))
        ready = stack.enter_context(drill.under_load(platform, RATE, watch_s, effect_s))
        versions.await_known(ready.client)
        yield from drill.run(ready, steps, rollout.PROMISED_S)


def registry_of(platform: Platform) -> str:
    """Where the platform's own MLflow answers, as it says once all has started."""
    log = platform.home.parent / f"{platform.home.name}.log"
    deadline = time.monotonic() + SAYS_S
    while time.monotonic() < deadline:
        if found := re.findall(r"MLflow\s+(http://\S+)", log.read_text()):
            return str(found[-1])
        time.sleep(0.2)
    raise TimeoutError(f"{log} does not say where MLflow is.")


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("drill", "requests", "failed", "seconds", "held", "found", box=None)
    for one in outcomes:
        held = "[red]no[/red]" if not one.held else "[red]late[/red]" if one.late else "yes"
        numbers = (str(one.requests), str(one.failed), f"{one.seconds:.1f}")
        table.add_row(one.drill, *numbers, held, one.found)
    return table
