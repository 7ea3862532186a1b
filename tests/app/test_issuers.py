"""Tokens of outside issuers are read as strictly as our own, by keys that are fetched seldom."""

import asyncio
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from app.errors import ServiceUnavailable
from app.main import create_app
from app.services import Services
from app.users.identity import identify
from app.users.outside import published
from app.users.outside.configuration import OutsideIssuer
from app.users.outside.published import Published
from app.users.standing import Standings
from tests.app import people
from tests.app.authenticator import told
from tests.app.conftest import Client, client_with
from tests.app.test_problems import check_problem

Json = dict[str, Any]
AUDIENCE = "authenticated"


@dataclass
class Issuer:
    """Signs tokens, and publishes its keys at an address of its own; counts who asks there."""

    key: Key = field(
        default_factory=lambda: ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
    )
    published: list[Json] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    address: str = ""

    def __post_init__(self) -> None:
        self.published = [self.key.as_dict(private=False)]

    def claims(self, **told: object) -> Json:
        now = int(time.time())
        whole = {"iss": self.address, "aud": AUDIENCE, "sub": "5f1c", "role": "authenticated"}
        found = whole | {"iat": now, "exp": now + 60} | told
        return {name: value for name, value in found.items() if value is not None}

    def token(self, *, key: Key | None = None, header: Json | None = None, **told: object) -> str:
        used = key or self.key
        shown = {"alg": "ES256", "kid": self.key.kid, "typ": "JWT"} | (header or {})
        written = {name: value for name, value in shown.items() if value is not None}
        return jwt.encode(
            written, self.claims(**told), used, algorithms=[written["alg"]], default_type=None
        )


def signed_with_the_public_key(issuer: Issuer) -> str:
    """By hand: no library does this any more."""
    assert isinstance(issuer.key, ECKey)
    header = {"alg": "HS256", "kid": issuer.key.kid, "typ": "JWT"}
    parts = [told(json.dumps(part).encode()) for part in (header, issuer.claims())]
    content = ".".join(parts)
    secret = issuer.key.as_pem(private=False)
    return f"{content}.{told(hmac.digest(secret, content.encode(), 'sha256'))}"


@contextmanager
def listening(issuer: Issuer) -> Iterator[None]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            content = json.dumps({"keys": issuer.published}).encode()
            self.send_response(500 if issuer.down else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    issuer.address = f"http://127.0.0.1:{server.server_port}/auth/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    with listening(made):
        yield made


def trusting(platform: Services, issuer: Issuer, kept: Published) -> FastAPI:
    """A door that takes this issuer's tokens, as it would a Supabase project's."""
    known = OutsideIssuer(
        issuer=issuer.address, audience=AUDIENCE, claims={"role": "authenticated"}
    )
    settings = platform.settings.model_copy(update={"outside_issuers": (known,)})
    standings = Standings(platform.sessions, 0.0)
    return create_app(
        replace(platform, identity=identify, settings=settings, published=kept, standings=standings)
    )


@pytest.fixture
async def client(platform: Services, issuer: Issuer) -> AsyncIterator[Client]:
    async with client_with(trusting(platform, issuer, Published()), None) as made:
        yield made


async def shown(client: Client, token: str) -> int:
    headers = [(b"Authorization", b"Bearer " + token.encode())]
    answer = await client.get("/v1/recordings", headers=headers)
    if answer.status_code != 200:
        check_problem(answer)
    return answer.status_code


async def test_who_comes_with_an_outside_token_has_an_account_of_their_own(
    client: Client, issuer: Issuer
) -> None:
    tokens = [issuer.token(), issuer.token(sub="another"), issuer.token(aud=["x", AUDIENCE])]

    shown_ids = []
    for token in tokens:
        answer = await client.get("/v1/me", headers=people.bearer(token))
        shown_ids.append(answer.json()["id"])

    assert shown_ids[0] == shown_ids[2] != shown_ids[1]
    assert issuer.asked == ["/auth/v1/.well-known/jwks.json"]


NOT_FOR_US: list[Json] = [
    {"aud": "another-service"},
    {"aud": None},
    {"aud": {"authenticated": 1}},
    {"iss": "https://evil.example/auth/v1"},
    {"iss": None},
    {"exp": None},
    {"exp": int(time.time()) - 60},
    {"exp": "never"},
    {"exp": True},
    {"iat": None},
    {"iat": int(time.time()) + 3600},
    {"nbf": int(time.time()) + 3600},
    {"sub": None},
    {"sub": 7},
    {"sub": ""},
    {"sub": "a\0b"},
    {"sub": "x" * 256},
    {"role": "anon"},
    {"role": None},
    {"nonce": "of an ID token"},
    {"at_hash": "of an ID token"},
]


async def test_an_outside_token_that_is_not_meant_for_us_is_refused(
    client: Client, issuer: Issuer
) -> None:
    for wrong in NOT_FOR_US:
        assert await shown(client, issuer.token(**wrong)) == 401, wrong


async def test_tricks_with_an_outside_tokens_header_are_refused(
    client: Client, issuer: Issuer
) -> None:
    stranger = ECKey.generate_key("P-256")
    content = issuer.token().split(".")
    tricks = [
        issuer.token(key=stranger),
        issuer.token(key=stranger, header={"jwk": stranger.as_dict(private=False)}),
        issuer.token(key=stranger, header={"jku": f"{issuer.address}/evil", "kid": "evil"}),
        issuer.token(key=stranger, header={"kid": "unknown"}),
        issuer.token(header={"typ": "refresh+jwt"}),
        signed_with_the_public_key(issuer),
        ".".join(["eyJhbGciOiJub25lIn0", content[1], ""]),
        ".".join([content[0], content[1], content[2][:-4] + "AAAA"]),
        ".".join([content[0], content[1], ""]),
        ".".join(content[:2]),
    ]

    for trick in tricks:
        assert await shown(client, trick) == 401
    assert "/auth/v1/evil" not in issuer.asked
    assert len(issuer.asked) <= 2  # whatever they name, the keys are not fetched again and again


async def test_other_kinds_of_keys_verify_and_shared_secrets_never(
    client: Client, issuer: Issuer
) -> None:
    kinds: list[tuple[Key, str]] = [
        (RSAKey.generate_key(2048, auto_kid=True), "RS256"),
        (OKPKey.generate_key("Ed25519", auto_kid=True), "EdDSA"),
    ]
    secret = OctKey.generate_key(256, auto_kid=True)
    issuer.published += [key.as_dict(private=False) for key, _ in kinds]
    issuer.published += [secret.as_dict(), {"kty": "unheard of"}, {"nonsense": 1}]

    for key, algorithm in kinds:
        token = issuer.token(key=key, header={"alg": algorithm, "kid": key.kid})
        assert await shown(client, token) == 200
    token = issuer.token(key=secret, header={"alg": "HS256", "kid": secret.kid})
    assert await shown(client, token) == 401


async def test_a_new_key_is_found_and_an_outage_is_survived(
    platform: Services, issuer: Issuer
) -> None:
    forgetful = Published(fresh_s=0.0, hurry_s=0.0, rest_s=0.0)
    patient = Published(hurry_s=0.0, rest_s=0.0)
    fresh = ECKey.generate_key("P-256", auto_kid=True)
    async with (
        client_with(trusting(platform, issuer, patient), None) as client,
        client_with(trusting(platform, issuer, forgetful), None) as other,
    ):
        assert await shown(client, issuer.token()) == 200
        assert await shown(other, issuer.token()) == 200
        issuer.published.append(fresh.as_dict(private=False))
        assert await shown(client, issuer.token(key=fresh, header={"kid": fresh.kid})) == 200
        issuer.down = True
        assert await shown(other, issuer.token()) == 200


async def test_without_any_keys_the_answer_is_come_back_later(
    client: Client, issuer: Issuer
) -> None:
    issuer.down = True

    assert [await shown(client, issuer.token()) for _ in range(3)] == [503, 503, 503]
    assert len(issuer.asked) == 1  # nobody waits for the same failure twice


async def test_a_disabled_account_is_not_opened_from_outside(
    client: Client, issuer: Issuer, platform: Services
) -> None:
    answer = await client.get("/v1/me", headers=people.bearer(issuer.token()))

    await people.changed(platform, answer.json()["id"], disabled_at=datetime.now(UTC))

    assert await shown(client, issuer.token()) == 401


async def test_an_issuer_that_drips_keeps_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "LONGEST_S", 0.3)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(3):
        with pytest.raises(ServiceUnavailable):
            await Published().document(url)
    server.close()
