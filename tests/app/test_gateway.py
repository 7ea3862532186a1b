"""The door itself: what it asks for, counts, says and keeps to itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from starlette.requests import HTTPConnection
from starlette.types import Message

from app import permissions, ratelimits, services
from app.addresses import client_address, household
from app.guards import Unguarded, operations
from app.main import create_app
from app.ratelimits import Limiter, Policy
from app.redaction import REDACTED, clean, redact
from app.sealing import opaque
from app.services import Services
from app.settings import Settings
from app.users.identity import identify
from models.decode import Decoder
from tests.app.conftest import client_of, client_with
from tests.app.test_flow import TAKE
from tests.app.test_identity import someone
from tests.app.test_problems import check_problem
from tests.conftest import clean as cleaned
from tests.fakes import FakeAnalyzer, named_by_header

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def counted(settings: Settings, decoder: Decoder) -> AsyncIterator[Services]:
    """Services that count, and let few pass."""
    few = {"rate_limits": True, "rate_reads": 20, "rate_auth": 5, "rate_strangers": 5}
    made = services.build(settings.model_copy(update=few), FakeAnalyzer(), decoder, named_by_header)
    await cleaned(made)
    yield made
    await made.close()


async def test_a_route_without_a_permission_does_not_start(platform: Services) -> None:
    router = APIRouter()

    @router.get("/v1/everything")
    async def everything() -> str:
        return "for everybody"

    with pytest.raises(Unguarded, match="everything: state a permission"):
        create_app(platform, [(router, 0)])


async def test_each_reason_to_be_public_belongs_to_a_route_that_asks_for_nothing(
    door: FastAPI,
) -> None:
    bare = {each.name for each in operations(door) if not each.permissions}

    assert bare == set(permissions.PUBLIC)
    assert all(permissions.PUBLIC.values())


async def test_every_guarded_operation_says_so_in_the_document(door: FastAPI) -> None:
    asked = {each.name: each for each in operations(door)}
    for path in door.openapi()["paths"].values():
        for entry in path.values():
            if asked[entry["operationId"]].permissions:
                assert {"401", "403", "429", "503"} <= set(entry["responses"])
                assert entry["security"]


async def test_a_limit_is_exact_however_many_ask_at_once(counted: Services) -> None:
    other = replace(counted, limiter=Limiter(counted.redis, counted.settings))  # another replica
    doors = (create_app(counted), create_app(other))
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(client_of(doors[number % 2], "usr_ada"))
            for number in range(50)
        ]
        asking = [client.get("/v1/recordings") for client in clients for _ in range(2)]
        answers = await asyncio.gather(*asking)

    assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 80}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert check_problem(refused)["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 63
    assert refused.headers["ratelimit-policy"] == '"reads";q=20;w=60'
    assert refused.headers["ratelimit"].startswith('"reads";r=0;t=')


def test_every_policy_has_its_number_in_the_settings_and_its_line_in_the_readme() -> None:
    policies = [each for each in vars(ratelimits).values() if isinstance(each, Policy)]
    readme = Path("README.md").read_text()

    assert {f"rate_{each.name}" for each in policies} == {
        name for name in Settings.model_fields if name.startswith("rate_")
    } - {"rate_limits"}
    assert all(f"`{each.name}`" in readme for each in policies)


async def test_everybody_is_counted_alone(counted: Services) -> None:
    app = create_app(counted)
    async with client_of(app, "usr_ada") as ada, client_of(app, "usr_bob") as bob:
        for _ in range(21):
            hers = await ada.get("/v1/recordings")
        his = await bob.get("/v1/recordings")

    assert (hers.status_code, his.status_code) == (429, 200)
    assert his.headers["ratelimit"].startswith('"reads";r=19;t=')


async def test_a_key_is_counted_beside_its_owner(counted: Services) -> None:
    app = create_app(replace(counted, identity=identify))
    _, key = await someone(counted)
    async with client_with(app, key) as program:
        response = await program.get("/v1/recordings")
        respelt = {"Authorization": f"bearer   {key}"}
        again = await program.get("/v1/recordings", headers=respelt)

    assert response.headers["ratelimit-policy"] == '"reads";q=20;w=60, "keys";q=600;w=60'
    assert '"keys";r=598' in again.headers["ratelimit"]


async def test_strangers_and_guesses_are_counted_by_address(counted: Services) -> None:
    app = create_app(replace(counted, identity=identify))
    guess = {"email": "ada@example.org", "password": "correct horse battery"}
    async with client_with(app, None) as stranger:
        unknown = [(await stranger.get("/v1/recordings")).status_code for _ in range(7)]
        guesses = [
            (await stranger.post("/v1/auth/sign-in", json=guess)).status_code for _ in range(7)
        ]

    assert unknown == [401] * 5 + [429] * 2
    assert guesses == [401] * 5 + [429] * 2


async def test_no_spelling_of_an_address_goes_around_the_threshold(counted: Services) -> None:
    """A line break after the end is the end, too, for a router."""
    app = create_app(replace(counted, identity=identify))
    guess, read = {"email": "ada@example.org", "password": "correct horse battery"}, 0

    async def nonsense() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{"

    async with client_with(app, None) as stranger:
        guessed = await stranger.post("/v1/auth/sign-in%0A", json=guess)
        refused = await stranger.post("/v1/coachings%0A", content=nonsense(), headers=JSON)

    assert guessed.status_code == 401
    assert guessed.headers["ratelimit-policy"] == '"auth";q=5;w=60'
    assert (refused.status_code, read) == (401, 0)


async def test_a_query_of_any_bytes_is_no_failure_of_ours(door: FastAPI) -> None:
    answered: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        answered.append(message)

    for path in ("/v1/recordings", "/nowhere"):
        await door(
            {
                "type": "http",
                "method": "GET",
                "path": path,
                "query_string": b"cursor=\xff\xfe",
                "headers": [(b"x-user", b"usr_ada"), (b"host", b"[")],
                "client": ("192.0.2.1", 1),
                "server": ("test", 80),
            },
            receive,
            send,
        )

    assert [m["status"] for m in answered if m["type"] == "http.response.start"] == [400, 404]


async def test_without_redis_signing_in_waits_and_all_else_goes_on(
    settings: Settings, platform: Services, decoder: Decoder
) -> None:
    nowhere = {"rate_limits": True, "redis_url": "redis://127.0.0.1:9"}
    blind = services.build(
        settings.model_copy(update=nowhere), FakeAnalyzer(), decoder, named_by_header
    )
    guess = {"email": "ada@example.org", "password": "correct horse battery"}
    async with client_of(create_app(blind), "usr_ada") as ada:
        reading = await ada.get("/v1/recordings")
        signing_in = await ada.post("/v1/auth/sign-in", json=guess)
    await blind.close()

    assert reading.status_code == 200
    assert "ratelimit" not in reading.headers
    check_problem(signing_in, 503)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),  # no proxy of ours
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # the first one is invented
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", ["evil\nline"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, "], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, forwarded: list[str], expected: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1), "headers": headers}
    settings = Settings.model_validate({"trusted_proxies": "10.0.0.0/8"})

    assert client_address(HTTPConnection(scope), settings) == expected


def test_addresses_that_one_household_can_choose_from_are_one() -> None:
    assert household("2001:db8:1:2::3") == household("2001:db8:1:2:ffff::1")
    assert household("2001:db8:1:2::3") != household("2001:db8:1:3::3")
    assert household("203.0.113.9") == "203.0.113.9"


async def test_every_answer_tells_browsers_to_be_careful(ada: Client) -> None:
    for path in ("/v1/recordings", "/nowhere", "/v1/recordings/rec_x", "/healthz"):
        headers = (await ada.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert (await ada.get("/v1/recordings")).headers["cache-control"] == "no-store"
    assert "jsdelivr" in (await ada.get("/docs")).headers["content-security-policy"]


async def test_where_serve_answers_the_request_id_we_do_not(platform: Services) -> None:
    async with client_of(create_app(platform, answers_id=False), "usr_ada") as ada:
        refused = await ada.get("/nowhere", headers={"X-Request-Id": "mine"})

    assert refused.json()["request_id"] == "mine"
    assert "x-request-id" not in refused.headers


async def test_https_is_asked_for_where_it_is_served(platform: Services) -> None:
    settings = platform.settings.model_copy(update={"public_url": "https://voice.example.org"})
    async with client_of(create_app(replace(platform, settings=settings)), "usr_ada") as ada:
        assert "strict-transport-security" in (await ada.get("/healthz")).headers


async def test_only_pages_of_listed_origins_may_call(platform: Services, ada: Client) -> None:
    settings = platform.settings.model_copy(update={"cors_origins": ("https://good.example",)})
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "if-match"}
    async with client_of(create_app(replace(platform, settings=settings)), "usr_ada") as client:

        async def preflight(origin: str) -> httpx2.Response:
            return await client.options("/v1/recordings", headers={"Origin": origin, **ask})

        good, bad = await preflight("https://good.example"), await preflight("https://evil.example")
        read = await client.get("/v1/recordings", headers={"Origin": "https://good.example"})
        stolen = await client.get("/v1/recordings", headers={"Origin": "https://good.example.evil"})

    assert good.headers["access-control-allow-origin"] == "https://good.example"
    assert "access-control-allow-credentials" not in good.headers
    assert (bad.status_code, bad.headers["content-type"]) == (400, "application/problem+json")
    assert "access-control-allow-origin" not in bad.headers
    assert read.headers["access-control-allow-origin"] == "https://good.example"
    assert "access-control-allow-origin" not in stolen.headers
    assert "access-control-allow-origin" not in (await ada.get("/healthz")).headers


async def test_a_trace_goes_on_or_begins(ada: Client) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    given = f"00-{trace}-00f067aa0ba902b7-01"
    with logged() as lines:
        went_on = await ada.get("/v1/recordings", headers={"traceparent": given})
    assert went_on.headers["traceresponse"].startswith(f"00-{trace}-")
    assert went_on.headers["traceresponse"] != given
    assert f"trace_id={trace}" in lines[-1]

    for broken in (
        "",
        "00-0-0-0",
        f"ff-{trace}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-{'1' * 16}-00",
    ):
        begun = await ada.get("/v1/recordings", headers={"traceparent": broken})
        assert trace not in begun.headers["traceresponse"]


@contextmanager
def logged() -> Iterator[list[str]]:
    """The lines of the log, as they are written out."""
    lines: list[str] = []

    def kept(_logger: object, _method: str, line: str) -> str:
        lines.append(line)
        return line

    processors = structlog.get_config()["processors"]  # loggers that are in use share this list
    processors.append(kept)
    try:
        yield lines
    finally:
        processors.remove(kept)


async def test_no_secret_of_a_request_reaches_the_log(
    platform: Services, real_door: FastAPI
) -> None:
    _, key = await someone(platform)
    token, password = opaque(), "correct horse battery"
    with logged() as lines:
        async with client_with(real_door, key) as client:
            await client.get("/v1/recordings", params={"token": token, "sig": "hunter2"})
            await client.get(f"/v1/recordings/{token}")
            await client.get("/v1/recordings/eyJhbGciOiJub25lIn0.e30.c2ln")
            guess = {"email": "ada@example.org", "password": password}
            await client.post("/v1/auth/sign-in", json=guess)
            await client.post("/v1/auth/refresh", json={"refresh_token": token})

    assert len(lines) == 5
    for secret in (key, token, password, "hunter2", "eyJhbGci"):
        assert not any(secret in line for line in lines)


def test_what_looks_like_a_secret_is_redacted_wherever_it_stands() -> None:
    secrets = (
        "Bearer abc.def",
        "voc_" + opaque(),
        opaque(),
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3IifQ.c2lnbmF0dXJl",
        "https://s3/x?X-Amz-Signature=hunter2&a=1",
        "https://door/callback?code=hunter2",
        "postgresql://user:hunter2@host/db",
    )
    for secret in secrets:
        cleaned_text = clean(f'failed at "{secret}", sorry')
        assert REDACTED in cleaned_text
        assert "hunter2" not in cleaned_text
        assert "sorry" in cleaned_text

    harmless = f"rec_{'0' * 32} {'a' * 64} /v1/recordings/{{recording_id}} key=value"
    assert clean(harmless) == harmless


@pytest.mark.parametrize("name", ["password", "refresh_token", "secret_key", "Authorization"])
def test_a_field_with_the_name_of_a_secret_is_redacted(name: str) -> None:
    assert redact(None, "info", {name: "x", "event": "y"}) == {name: REDACTED, "event": "y"}


INJECTIONS = (
    "x\nlevel=error event=forged",
    "x\r\nX: y",
    "'; DROP TABLE users; --",
    "return redis.call('FLUSHALL')",
    "\x1b[31mred",
    "a\u2028b",
    '" level=error event="forged',
)


@pytest.mark.parametrize("text", INJECTIONS)
async def test_an_injection_is_only_text(ada: Client, platform: Services, text: str) -> None:
    """In an address, a query, a header, a file name: literal or refused, and one line each."""
    with logged() as lines:
        answers = [
            await ada.get("/v1/recordings/" + quote(text)),
            await ada.get("/v1/recordings", params={"cursor": text, "limit": "1"}),
            await ada.get("/v1/recordings", headers={b"X-Request-Id": text.encode()}),
            await ada.get("/v1/recordings", headers={b"traceparent": text.encode()}),
            await ada.get("/v1/audit", params={"target": text}, headers={"X-Roles": "admin"}),
            await ada.post("/v1/recordings", files={"file": (text, TAKE)}),
        ]

    assert [answer.status_code for answer in answers] == [404, 400, 200, 200, 422, 201]
    assert len(lines) == len(answers)
    assert not any(set(line) & set("\n\r\x1b\u2028") for line in lines)
    assert not any('event="forged' in line for line in lines)


@pytest.mark.parametrize("limit", ["-1", "0", "101", "1000000000", "1e3", "x"])
@pytest.mark.parametrize("path", ["/v1/recordings", "/v1/jobs", "/v1/audit", "/v1/users"])
async def test_a_limit_out_of_range_is_refused(ada: Client, path: str, limit: str) -> None:
    headers = {"X-Roles": "admin"}
    check_problem(await ada.get(path, params={"limit": limit}, headers=headers), 422)


@pytest.mark.parametrize(
    "field", ["role", "roles", "user_id", "id", "verified", "verified_at", "score", "epoch"]
)
async def test_nobody_patches_what_is_not_theirs_to_change(
    platform: Services, real_door: FastAPI, field: str
) -> None:
    _, key = await someone(platform)
    async with client_with(real_door, key) as client:
        before = await client.get("/v1/me")
        refused = await client.patch(
            "/v1/me", json={field: ["admin"]}, headers={"If-Match": before.headers["etag"]}
        )
        after = await client.get("/v1/me")

    assert check_problem(refused, 422)["errors"][0]["pointer"] == f"/{field}"
    assert after.text == before.text
