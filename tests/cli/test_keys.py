"""`vocality keys`: another key signs, and nobody is signed out."""

import asyncio

import pytest
from typer.testing import CliRunner

from app.services import Services
from app.settings import settings
from app.users import tokens
from cli.main import app
from tests.app.people import replica


async def test_after_a_rotation_tokens_of_the_old_key_and_of_the_new_one_are_good(
    platform: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", str(platform.settings.database_url))
    monkeypatch.setenv("VOCALITY_HOME", str(platform.settings.home))
    settings.cache_clear()
    async with platform.transaction() as session:
        old = await tokens.sign(platform, session, {"sub": "old"}, "any")

    done = await asyncio.to_thread(CliRunner().invoke, app, ["keys", "rotate"])
    settings.cache_clear()

    assert done.exit_code == 0, done.output
    later: Services = replica(platform).state.services
    async with platform.transaction() as session:
        new = await tokens.sign(later, session, {"sub": "new"}, "any")
    kids = [tokens.header_of(token)["kid"] for token in (old, new)]
    assert kids[1] in done.output
    assert kids[0] != kids[1]
    assert None not in [await later.keys.find(kid) for kid in kids]
