"""(i) The door: what it costs to know who asks, and to let somebody in by password."""

import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx2
import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from app import database, embedded
from app.settings import Settings
from app.users import accounts
from app.users.passwords import Passwords
from cli.asking import bearer
from cli.served import serving
from training.evaluation.report import Section

REQUESTS = 400  # of each kind
AT_ONCE = 8
SIGN_INS = 20
WARM = 50
EMAIL, PASSWORD = "bench@example.org", "a bench that hums in B flat"
# Counted as everywhere else, but never too often.
COUNTED = {
    "VOCALITY_RATE_LIMITS": "1",
    **{f"VOCALITY_RATE_{name}": "1000000" for name in ("AUTH", "STRANGERS", "READS", "KEYS")},
    "VOCALITY_DRILLS": "1",
}
BELIEVED, REFUSED = "unauthenticated", "refused"
Kinds = dict[str, dict[str, str]]  # headers by what they are called


def measure() -> Section:
    section = Section(
        "(i) The door: knowing who asks, and signing in",
        f"`GET /v1/me` through Ray Serve, laptop profile, {REQUESTS} requests of each kind in "
        "turn, all counted by the rate limits. Ratio: median over the median of the same route "
        "unauthenticated, which believes the name that it is told, as in a drill. Refused: no "
        "credentials, 401; nothing is read from the database for that.",
        ("clients", "credentials", "p50 ms", "p95 ms", "ratio"),
    )
    with TemporaryDirectory() as folder:
        home = Path(folder) / "var"
        with serving(home, COUNTED) as platform:
            account_id = asyncio.run(_register(home))
            key = Settings(home=home).admin_key.read_text().strip()
            asyncio.run(_fill(section, platform.door, account_id, key))
    return section


async def _register(home: Path) -> str:
    """The id of an account with a password, without the way by letter."""
    found = await asyncio.to_thread(embedded.complete, Settings(home=home))
    passwords = Passwords(found.password_memory_kib)
    hashed = await passwords.hash(PASSWORD)
    engine = database.engine(str(found.database_url), pool_size=1)
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        account = await accounts.create(session, EMAIL, verified=True, password_hash=hashed)
    await engine.dispose()
    passwords.close()
    return account.id


async def _fill(section: Section, door: str, account_id: str, key: str) -> None:
    async with httpx2.AsyncClient(base_url=door, timeout=60) as client:
        sign_ins, token = await _sign_ins(client)
        kinds: Kinds = {
            BELIEVED: {"X-Drill-User": account_id},
            "access token": bearer(token),
            "API key": bearer(key),
            REFUSED: {},
        }
        for clients in (1, AT_ONCE):
            seen = await _mixed(client, clients, kinds)
            base = median(seen[BELIEVED])
            for name, seconds in seen.items():
                p50, p95 = np.percentile(seconds, (50, 95)) * 1000
                section.rows.append((clients, name, p50, p95, median(seconds) / base))
    argon2 = await _argon2()
    section.notes.append(
        f"Signing in takes {1000 * median(sign_ins):.0f} ms, of which argon2id on the same "
        f"machine {1000 * argon2:.0f} ms: **{argon2 / median(sign_ins):.0%}**."
    )


async def _sign_ins(client: httpx2.AsyncClient) -> tuple[list[float], str]:
    seconds, token = list[float](), ""
    for _ in range(SIGN_INS):
        started = time.perf_counter()
        asked = {"email": EMAIL, "password": PASSWORD}
        reply = (await client.post("/v1/auth/sign-in", json=asked)).raise_for_status()
        seconds.append(time.perf_counter() - started)
        token = reply.json()["access_token"]
    return seconds, token


async def _mixed(client: httpx2.AsyncClient, clients: int, kinds: Kinds) -> dict[str, list[float]]:
    """Each kind in turn, so that whatever else the machine does is shared by all."""
    seen: dict[str, list[float]] = {name: [] for name in kinds}

    async def ask(rounds: int) -> None:
        for _ in range(rounds):
            for name, headers in kinds.items():
                started = time.perf_counter()
                reply = await client.get("/v1/me", headers=headers)
                seen[name].append(time.perf_counter() - started)
                assert reply.status_code == (401 if name == REFUSED else 200), reply.text

    await ask(WARM)
    seen.update({name: [] for name in kinds})
    await asyncio.gather(*(ask(REQUESTS // clients) for _ in range(clients)))
    return seen


async def _argon2() -> float:
    """Seconds of one check, as the platform is set by default."""
    passwords = Passwords(Settings().password_memory_kib)
    hashed = await passwords.hash(PASSWORD)
    seconds = [await _timed(passwords, hashed) for _ in range(SIGN_INS)]
    passwords.close()
    return median(seconds)


async def _timed(passwords: Passwords, hashed: str) -> float:
    started = time.perf_counter()
    await passwords.check(PASSWORD, hashed)
    return time.perf_counter() - started
