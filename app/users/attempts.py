"""Failed attempts at a secret: five are free, then each locks for twice as long as the last."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import HTTPConnection

from app.addresses import client_address, household
from app.errors import ServiceUnavailable, TooManyRequests
from app.settings import Settings

FREE = 5  # failures that lock nothing
FREE_ADDRESS = 20  # of one address: a house or a school has more than one forgetful singer
FIRST_LOCK = 30  # seconds; the next failure locks for twice as long
LONGEST_LOCK = 3600  # seconds
REMEMBERED = 24 * 3600  # seconds after the last failure

# KEYS: failures, lock. ARGV: free, first lock, longest lock, remembered (seconds).
_COUNT = """
local failures = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
local over = failures - tonumber(ARGV[1])
if over >= 0 then
  local lock = math.min(tonumber(ARGV[2]) * 2 ^ math.min(over, 20), tonumber(ARGV[3]))
  redis.call('SET', KEYS[2], 1, 'EX', math.floor(lock))
end
return failures
"""


def house(connection: HTTPConnection, settings: Settings) -> str:
    """From where somebody guesses: whoever has a network has only one such name."""
    return f"ip:{household(client_address(connection, settings))}"


async def check(redis: Redis, *who: str) -> None:
    """Raises TooManyRequests while one of these is locked, e.g. `account:usr_1`, `ip:1.2.3.4`."""
    async with _closed_without_redis():
        left = [await redis.pttl(_lock(name)) for name in who]
    if (longest := max(left, default=0)) > 0:
        raise TooManyRequests(
            "Too many failed attempts. Wait, then try again.", retry_after_s=longest / 1000
        )


async def failed(redis: Redis, *who: str) -> None:
    """Counted at once and whatever becomes of the request's transaction."""
    async with _closed_without_redis():
        for name in who:
            free = FREE_ADDRESS if name.startswith("ip:") else FREE
            limits = (free, FIRST_LOCK, LONGEST_LOCK, REMEMBERED)
            await redis.eval(_COUNT, 2, _failures(name), _lock(name), *map(str, limits))


async def succeeded(redis: Redis, *who: str) -> None:
    """Forgets what failed; an address is not forgiven: its next guess may be at another account."""
    async with _closed_without_redis():
        for name in who:
            if not name.startswith("ip:"):
                await redis.delete(_failures(name), _lock(name))


def _failures(name: str) -> str:
    return f"attempts:{_short(name)}:failures"


def _lock(name: str) -> str:
    return f"attempts:{_short(name)}:lock"


def _short(name: str) -> str:
    """No e-mail address lies in Redis, and no name is longer than another."""
    return sha256(name.encode()).hexdigest()


@asynccontextmanager
async def _closed_without_redis() -> AsyncIterator[None]:
    """Who cannot count guesses must not take any."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise ServiceUnavailable(
            "Signing in has to wait: attempts cannot be counted now.", code="attempts_unavailable"
        ) from error
