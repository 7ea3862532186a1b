"""Schemathesis finds no answer that the document does not promise; `make fuzz` asks more."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from app.main import create_app
from app.ratelimits import Limiter
from app.services import Services
from app.settings import Settings
from app.users.identity import identify
from tests import fuzz
from tests.app.conftest import client_with
from tests.asking import operations

CASES = 1000
# They need what no chance finds: a take, a letter's token, an authenticator, a provider.
BEYOND_CHANCE = 20  # operations


def test_no_answer_is_one_that_the_document_does_not_promise(
    servers: Settings, tmp_path: Path
) -> None:
    found = fuzz.run(servers.model_copy(update={"home": tmp_path}), CASES, seed=1)

    assert found.failures == {}, fuzz.shown(found, seed=1)
    assert found.cases >= CASES
    assert found.answers.keys() == {f"{one.method} {one.path}" for one in operations()}
    assert len(found.never_succeeded) <= BEYOND_CHANCE, found.never_succeeded


async def test_no_credentials_made_up_by_chance_open_or_break_anything(platform: Services) -> None:
    free = Limiter(platform.redis, platform.settings.model_copy(update={"rate_limits": False}))
    door = create_app(replace(platform, identity=identify, limiter=free))
    async with client_with(door, None) as client:
        for credentials in made_up(Random(1), 300):
            shown = [(b"Authorization", credentials)]
            answer = await client.get("/v1/me/sessions", headers=shown)

            assert answer.status_code == 401, credentials


def made_up(chance: Random, many: int) -> Iterator[bytes]:
    """As many ways to look like credentials; bytes that no server lets through are left out."""
    kinds: list[Callable[[Random], bytes]] = [_noise, _bearer, _key, _token]
    for _ in range(many):
        made = chance.choice(kinds)(chance)
        yield bytes(b for b in made if b > 31 and b != 127).strip()


def _noise(chance: Random) -> bytes:
    return chance.randbytes(chance.randrange(80))


def _bearer(chance: Random) -> bytes:
    return chance.choice([b"Bearer ", b"bearer\t", b"Bearer", b"Basic "]) + _noise(chance)


def _key(chance: Random) -> bytes:
    return b"Bearer voc_" + base64.urlsafe_b64encode(_noise(chance))


def _token(chance: Random) -> bytes:
    strange: list[object] = [
        None,
        0,
        -1,
        1e308,
        True,
        "",
        "x" * 999,
        [],
        {},
        ["none"],
        "../../etc/passwd",
        "\0",
    ]
    names = ["alg", "typ", "kid", "jku", "jwk", "x5u", "crit", "b64", "zip"]
    claims = ["iss", "aud", "sub", "client_id", "jti", "iat", "exp", "nbf", "sid", "epoch"]
    header: dict[str, object] = {
        "alg": chance.choice(["EdDSA", "none", "HS256", "ES256"]),
        "typ": "at+jwt",
    }
    header |= {name: chance.choice(strange) for name in chance.sample(names, chance.randrange(4))}
    payload = {name: chance.choice(strange) for name in claims}
    parts = [_part(header), _part(payload), base64.urlsafe_b64encode(_noise(chance))]
    return b"Bearer " + b".".join(parts[: chance.randint(1, 3)] * chance.randint(1, 2))


def _part(content: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")
