"""The first start makes one administrator, whose key lies in a file and opens the door."""

import asyncio

from sqlalchemy import select

from app.permissions import SCOPES
from app.security import LOCAL_USER, Role
from app.services import Services
from app.tables import Account, ApiKey
from app.users import first_start
from app.users.keys import service as api_keys


async def test_the_first_start_makes_one_administrator_however_many_start_at_once(
    platform: Services,
) -> None:
    await asyncio.gather(*(first_start.prepare(platform.settings) for _ in range(3)))
    await first_start.prepare(platform.settings)

    file = platform.settings.admin_key
    async with platform.transaction() as session:
        [account] = await session.scalars(select(Account))
        [row] = await session.scalars(select(ApiKey))
        shown = await api_keys.resolve(session, file.read_text().strip())
    assert (account.id, account.roles) == (LOCAL_USER, [Role.admin])
    assert shown == (LOCAL_USER, SCOPES)
    assert file.stat().st_mode & 0o777 == 0o600
    assert row.digest not in file.read_text()


async def test_a_platform_that_has_somebody_gets_no_administrator(platform: Services) -> None:
    async with platform.transaction() as session:
        session.add(Account(id="usr_ada", roles=["singer"]))

    await first_start.prepare(platform.settings)

    async with platform.transaction() as session:
        assert list(await session.scalars(select(Account.id))) == ["usr_ada"]
    assert not platform.settings.admin_key.exists()
