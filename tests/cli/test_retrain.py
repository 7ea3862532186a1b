"""`vocality retrain` asks for the job that its options say, against a real door."""

import asyncio
import json

from typer.testing import CliRunner, Result

from app.services import Services
from app.tables import Job
from cli.main import app


async def retrained(door: str, *words: str) -> Result:
    words = ("retrain", *words, "--no-watch", "--server", door)
    return await asyncio.to_thread(CliRunner().invoke, app, list(words), terminal_width=200)


async def test_options_become_a_job(platform: Services, door: str) -> None:
    done = await retrained(
        door, "clarity", "--minutes", "3.5", "--corpora", "one, two", "--recordings", "--json"
    )

    assert done.exit_code == 0, done.output
    async with platform.transaction() as session:
        row = await session.get_one(Job, json.loads(done.stdout)["id"])
    assert row.kind == "retraining"
    assert row.asked == {
        "family": "clarity",
        "minutes": 3.5,
        "seed": 0,
        "workers": 0,
        "base": None,
        "sources": {"synthesis": True, "corpora": ["one", "two"], "recordings": True},
    }


async def test_what_cannot_be_learnt_is_refused_at_the_door(door: str) -> None:
    nobody = await retrained(door, "timbre")
    unlabelled = await retrained(door, "emotion", "--corpora", "ravdess", "--recordings")
    outside = await retrained(door, "activity", "--corpora", "../secrets")

    assert [done.exit_code for done in (nobody, unlabelled, outside)] == [1, 1, 1]
    assert "/family" in nobody.output
    assert "emotion learns from labels" in unlabelled.output
    assert "/sources/corpora/0" in outside.output
