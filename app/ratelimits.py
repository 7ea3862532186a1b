"""Rate limits: how often each may ask, as one table, counted in Redis."""

from dataclasses import dataclass
from time import monotonic, time

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import HTTPConnection

from app.errors import ServiceUnavailable, TooManyRequests
from app.settings import Settings

SPENT = "vocality.spent"  # in the scope: what app.headers tells the asker
MINUTE, HOUR = 60, 3600  # seconds
REST_S = 1.0  # after Redis has failed, nobody else waits for it so long


@dataclass(frozen=True, slots=True)
class Policy:
    """How many requests in a window: the settings' field `rate_<name>` has the number."""

    name: str
    window_s: int
    closed: bool  # without Redis: refused, or let pass


AUTH = Policy("auth", MINUTE, closed=True)
LETTERS = Policy("letters", HOUR, closed=True)
STRANGERS = Policy("strangers", MINUTE, closed=False)
READS = Policy("reads", MINUTE, closed=False)
WRITES = Policy("writes", MINUTE, closed=False)
HEAVY = Policy("heavy", MINUTE, closed=False)
KEYS = Policy("keys", MINUTE, closed=False)

# Operations that cost more than others.
DECODES = frozenset({"analyze", "create_recording"})
SENDS_LETTERS = frozenset({"register", "forgot_password", "change_email", "invite_singer"})


@dataclass(frozen=True, slots=True)
class Spent:
    """What is left of a policy after a request."""

    policy: Policy
    amount: int
    remaining: int
    reset_s: float
    allowed: bool


class Limiter:
    """Counts by sliding windows on Redis's clock, so that all replicas count together."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        storage = RedisStorage(
            "async+redis://",  # not used: the pool is ours
            implementation="redispy",
            key_prefix="limits",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]
        )
        self._windows = SlidingWindowCounterRateLimiter(storage)
        self._settings = settings
        self._resting_until = 0.0

    async def spend(self, policy: Policy, who: str) -> Spent | None:
        """Count one request of theirs. None: nobody counts now.

        Raises ServiceUnavailable where Redis is down and the policy is closed.
        """
        if not self._settings.rate_limits:
            return None
        try:
            return await self._counted(policy, who)
        except (RedisError, OSError) as error:
            if policy.closed:
                raise ServiceUnavailable("Such requests cannot be counted now.") from error
            return None

    async def _counted(self, policy: Policy, who: str) -> Spent:
        if monotonic() < self._resting_until:
            raise ConnectionError("Redis has just failed.")
        amount = int(getattr(self._settings, f"rate_{policy.name}"))
        item = RateLimitItemPerSecond(amount, policy.window_s)
        try:
            allowed = await self._windows.hit(item, policy.name, who)
            left = await self._windows.get_window_stats(item, policy.name, who)
        except (RedisError, OSError):
            self._resting_until = monotonic() + REST_S
            raise
        reset_s = max(0.0, left.reset_time - time()) + policy.window_s / amount
        return Spent(policy, amount, left.remaining if allowed else 0, reset_s, allowed)


async def spend(connection: HTTPConnection, policy: Policy, who: str) -> None:
    """Count this request, and note on it what is left. Raises TooManyRequests."""
    spent = await connection.app.state.services.limiter.spend(policy, who)
    if spent is None:
        return
    connection.scope.setdefault(SPENT, []).append(spent)
    if not spent.allowed:
        connection.app.state.services.metrics.rate_limited.labels(policy.name).inc()
        window = "an hour" if policy.window_s == HOUR else "a minute"
        raise TooManyRequests(
            f"At most {spent.amount} such requests are answered in {window}.",
            retry_after_s=spent.reset_s,
        )
