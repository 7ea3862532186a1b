"""Guesses at secrets are counted, and each that fails makes the next one wait for longer."""

import pytest

from app.errors import ServiceUnavailable, TooManyRequests
from app.services import Services, connect_redis
from app.users import attempts

ADA, HOUSE = "account:usr_ada", "ip:203.0.113.7"


async def wait_of(services: Services, *who: str) -> float | None:
    try:
        await attempts.check(services.redis, *who)
    except TooManyRequests as error:
        return error.retry_after_s
    return None


async def fail(services: Services, times: int, *who: str) -> None:
    for _ in range(times):
        await attempts.failed(services.redis, *who)


async def test_the_sixth_guess_waits_and_each_after_it_twice_as_long(platform: Services) -> None:
    await fail(platform, 4, ADA)
    assert await wait_of(platform, ADA) is None

    waits = []
    for _ in range(4):
        await fail(platform, 1, ADA)
        waits.append(round(await wait_of(platform, ADA) or 0))

    assert waits == [30, 60, 120, 240]
    assert await wait_of(platform, "account:usr_bob") is None


async def test_a_wait_is_never_longer_than_an_hour(platform: Services) -> None:
    await fail(platform, 100, ADA)

    assert round(await wait_of(platform, ADA) or 0) == attempts.LONGEST_LOCK


async def test_success_forgives_the_account_but_not_the_address(platform: Services) -> None:
    await fail(platform, attempts.FREE_ADDRESS, HOUSE)
    await fail(platform, 5, ADA)

    await attempts.succeeded(platform.redis, ADA, HOUSE)

    assert await wait_of(platform, ADA) is None
    assert await wait_of(platform, ADA, HOUSE) is not None


async def test_without_redis_nobody_may_guess() -> None:
    nobody = connect_redis("redis://127.0.0.1:1")

    for step in (attempts.check, attempts.failed, attempts.succeeded):
        with pytest.raises(ServiceUnavailable):
            await step(nobody, ADA)
    await nobody.aclose()
