"""`vocality rollout`: the routes as commands, for people and as JSON, against a real door."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner, Result

from app.rollouts.observations import Seen, Spread
from app.services import Services
from cli.main import app
from tests.app.rollouts import observe, serve, wish

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(door: str) -> Run:
    """The command line in a thread, with its platform served here."""

    async def at_door(*words: str) -> Result:
        command = ["rollout", *words, "--server", door]
        return await asyncio.to_thread(CliRunner().invoke, app, command)

    return at_door


async def test_the_whole_way_by_hand(run: Run, platform: Services) -> None:
    await serve(platform)

    for words in (
        ("start", "pitch", "2", "--shadow", "--limit", "window_s=30", "--reason", "quieter"),
        ("adjust", "pitch", "--mode", "canary", "--percent", "20", "--limit", "max_unlike=0.5"),
        ("promote", "pitch"),
        ("rollback", "pitch"),
        ("retire", "pitch"),
    ):
        done = await run(*words)
        assert done.exit_code == 0, done.output

    row = await wish(platform)
    assert (row.champion, row.previous, row.generation) == ("1", None, 6)
    assert (row.limits["window_s"], row.limits["max_unlike"]) == (30, 0.5)
    told = json.loads((await run("history", "pitch", "--json")).stdout)["items"]
    assert [change["action"] for change in told] == [
        "retire",
        "rollback",
        "promote",
        "adjust",
        "start",
    ]
    assert (told[-1]["actor_id"], told[-1]["reason"]) == ("usr_local", "quieter")


async def test_people_see_tables(
    run: Run, platform: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    await serve(platform)
    await run("start", "pitch", "2", "--percent", "20", "--reason", "[bold]quieter[/bold]")
    seen = Seen(requests=8, errors=8, compared=9, scores={"tone": Spread()})
    for _ in range(9):
        seen.scores["tone"].add(7.0)
    await observe(platform, "2", seen)

    status = (await run("status")).stdout
    history = (await run("history", "pitch")).stdout
    compared = (await run("compare", "pitch")).stdout

    assert "2 at 20 %" in status
    assert "1 80 %, 2 20 %" in status
    assert "[bold]quieter[/bold]" in history
    assert "100.0%" in compared
    assert "tone" in compared
    assert "8 of 8 requests failed" in compared


async def test_what_the_platform_refuses_is_said_and_fails(run: Run, platform: Services) -> None:
    await serve(platform)

    for words, sentence in (
        (("start", "pitch", "9"), "pitch has no version 9"),
        (("promote", "pitch"), "Nothing is on trial for pitch"),
        (("start", "pitch", "2", "--limit", "window_s=0"), "/limits/window_s"),
        (("status", "../x"), "nothing at this address"),
        (("status", "emotion"), "Nothing serves emotion"),
    ):
        done = await run(*words)
        assert done.exit_code == 1
        assert sentence in done.stderr
        assert done.stdout == ""


def test_a_platform_that_is_not_there_is_said() -> None:
    done = CliRunner().invoke(app, ["rollout", "status", "--server", "http://127.0.0.1:9"])

    assert done.exit_code == 1
    assert "does not answer" in done.stderr
