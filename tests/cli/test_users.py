"""`vocality users`: accounts at the platform's own database, with nobody's key."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from app.permissions import SCOPES
from app.services import Services
from app.settings import settings
from app.tables import Account
from app.users.keys import service as api_keys
from cli.main import app

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(platform: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("DATABASE_URL", str(platform.settings.database_url))
    monkeypatch.setenv("VOCALITY_PASSWORD_MEMORY_KIB", "8192")
    settings.cache_clear()

    async def typed(*words: str, answers: str = "") -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, app, ["users", *words], input=answers, terminal_width=200
        )

    yield typed
    settings.cache_clear()


async def test_an_account_is_made_promoted_disabled_and_listed(run: Run) -> None:
    done = await run("create", "ada@example.org", "--role", "coach", "--json")
    [made] = json.loads(done.stdout)

    promoted = await run("role", "ada@example.org", "singer", "researcher", "--json")
    disabled = await run("disable", made["id"], "--json")
    listed = await run("list", "--role", "researcher")

    assert (made["email"], made["verified"], made["roles"]) == ("ada@example.org", True, ["coach"])
    assert json.loads(promoted.stdout)[0]["roles"] == ["researcher", "singer"]
    assert json.loads(disabled.stdout)[0]["disabled_at"] is not None
    assert made["id"] in listed.stdout
    assert "disabled" in listed.stdout


async def test_a_password_and_a_key_made_here_are_good(run: Run, platform: Services) -> None:
    await run("create", "ada@example.org")
    set_ = await run("password", "ada@example.org", answers="open the door 7\nopen the door 7\n")
    key = await run("key", "ada@example.org", "--scope", "recordings:read")
    whole = await run("key", "ada@example.org")

    assert set_.exit_code == 0, set_.output
    async with platform.transaction() as session:
        shown = await api_keys.resolve(session, key.stdout.strip())
        all_of_it = await api_keys.resolve(session, whole.stdout.strip())
        assert shown is not None
        assert all_of_it == (shown.account_id, SCOPES)
        assert shown.scopes == {"recordings:read"}
        account = await session.get_one(Account, shown.account_id)
    assert await platform.passwords.check("open the door 7", account.password_hash)
    assert "open the door" not in set_.output


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("create", "nobody"), 2, "no e-mail address"),
        (("create", "a@b", "--role", "owner"), 2, "singer"),
        (("disable", "nobody@example.org"), 1, "not_found"),
        (("key", "usr_1"), 1, "not_found"),
        (("password", "a@b"), 1, "not_found"),
    ],
)
async def test_what_cannot_be_done_is_said(
    run: Run, words: tuple[str, ...], status: int, said: str
) -> None:
    done = await run(*words, answers="open the door 7\nopen the door 7\n")

    assert done.exit_code == status
    assert said in done.output
    assert "Traceback" not in done.output


async def test_a_password_that_anybody_would_try_is_refused(run: Run) -> None:
    done = await run("create", "ada@example.org", "--password", answers="password\npassword\n")

    assert done.exit_code == 1
    assert "weak_password" in done.output
    assert "No accounts" in (await run("list")).stdout
