"""The real door, served here; the command line shows it the key of the first administrator."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.main import create_app
from app.services import Services
from app.users import first_start
from app.users.identity import identify
from cli import asking
from tests.app.test_events import served


@pytest.fixture
async def door(platform: Services, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    await first_start.prepare(platform.settings)
    monkeypatch.setenv(asking.KEY, platform.settings.admin_key.read_text().strip())
    async with served(create_app(replace(platform, identity=identify))) as address:
        yield address
