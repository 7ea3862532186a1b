"""`vocality reanalyze` and `vocality jobs`: the routes as commands, against a real door."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner, Result

from app.jobs import queue
from app.jobs.driving import KINDS
from app.services import Services
from app.tables import Rollout
from cli.main import app
from tests.app.test_jobs import recording, version

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def run(platform: Services, door: str) -> Run:
    """The command line in a thread, with its platform served here: two takes, pitch 1 and 2."""
    async with platform.transaction() as session:
        session.add_all([recording(), recording(), version("pitch", "1"), version("pitch", "2")])
        session.add(Rollout(family="pitch", champion="1", route={}))

    async def at_door(*words: str) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, app, [*words, "--server", door], terminal_width=200
        )

    return at_door


async def started(run: Run, *words: str) -> str:
    done = await run("reanalyze", "pitch", "--json", *words)
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["id"])


async def test_a_reanalysis_is_started_paused_resumed_and_cancelled(run: Run) -> None:
    job = await started(run, "--version", "pitch=latest", "--owner", "usr_ada")

    states = []
    for word in ("pause", "resume", "cancel"):
        done = await run("jobs", word, job, "--json")
        states.append(json.loads(done.stdout)["state"])

    shown = await run("jobs", "show", job)
    refused = await run("jobs", "pause", job)
    assert states == ["paused", "queued", "cancelled"]
    assert "0 of 2" in shown.stdout
    assert (refused.exit_code, "already_finished" in refused.output) == (1, True)
    assert job in (await run("jobs", "list")).stdout


async def test_a_job_is_watched_to_its_end_with_its_log(run: Run, platform: Services) -> None:
    good, bad = await started(run), await started(run)
    for job, code in ((good, None), (bad, "model_unavailable")):
        async with platform.transaction() as session:
            claim = await queue.claim(session, KINDS, lease_s=60, max_attempts=3)
            assert claim
            await queue.note(session, job, claim.token, {"done": 2}, ["half way [bold]there"])
            if code:
                await queue.fail(session, job, claim.token, code, "No such weights.")
            else:
                await queue.finish(session, job, claim.token, {})

    well, ill = await run("jobs", "watch", good), await run("jobs", "watch", bad)

    assert (well.exit_code, ill.exit_code) == (0, 1)
    assert "half way [bold]there" in well.stdout
    assert "No such weights. (model_unavailable)" in ill.stdout
    assert "half way" in (await run("jobs", "logs", good)).stdout


async def test_a_version_that_is_no_pair_is_refused(run: Run) -> None:
    done = await run("reanalyze", "pitch", "--version", "2")

    assert done.exit_code == 2
    assert "FAMILY=VERSION" in done.output
