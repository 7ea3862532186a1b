"""Who may do what: every operation of the OpenAPI document, so that new ones are tried at once."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from app import guards, ids, pages
from app.errors import Unauthorized
from app.main import create_app
from app.permissions import GRANTS, PUBLIC, SCOPES, Permission
from app.ratelimits import Limiter
from app.security import Role, User
from app.services import Services
from tests import belongings
from tests.app.conftest import client_of
from tests.asking import Operation, operations
from tests.belongings import Ids

Client = httpx2.AsyncClient
GLANCE_S = 0.5  # at a stream of events, which may have no end
VARYING = {"x-request-id", "traceresponse", "date"}  # headers
ALL_ROLES = " ".join(Role)
GUARDED = tuple(one for one in operations() if one.id not in PUBLIC)


async def named(connection: HTTPConnection) -> User:
    """Whoever the headers name; nobody where they name none."""
    told = connection.headers
    if "x-roles" not in told:
        raise Unauthorized("Nobody is signed in.")
    scopes = frozenset(told["x-scopes"].split()) if "x-scopes" in told else None
    roles = frozenset(map(Role, told["x-roles"].split()))
    return User(told["x-user"], roles, scopes, device_of(told["x-user"]))


def device_of(user: str) -> str:
    return user.replace("usr", "ses")


@pytest.fixture
def guarded(platform: Services) -> FastAPI:
    unlimited = platform.settings.model_copy(update={"rate_limits": False})
    limiter = Limiter(platform.redis, unlimited)
    return create_app(
        dataclasses.replace(platform, settings=unlimited, identity=named, limiter=limiter)
    )


@pytest.fixture
async def ann(guarded: FastAPI) -> AsyncIterator[Client]:
    async with client_of(guarded, "usr_ann") as client:
        yield client


@pytest.fixture
async def shared(platform: Services) -> Ids:
    """What is nobody's own."""
    async with platform.transaction() as session:
        for user in ("usr_ann", "usr_ben"):
            session.add(belongings.account(user))
            await session.flush()
            session.add(belongings.device(user, device_of(user)))
        return await belongings.share(session)


@pytest.fixture
async def bens(platform: Services, shared: Ids) -> Ids:
    """What Ben owns."""
    async with platform.transaction() as session:
        return await belongings.give(session, "usr_ben")


def of_somebody(owned: Ids) -> list[Operation]:
    return [one for one in GUARDED if set(one.path_names) & owned.keys()]


async def asked(
    client: Client, operation: Operation, named: Ids, **headers: str
) -> httpx2.Response | None:
    """The answer; None of a stream, which has begun."""
    request = client.build_request(**operation.request(named), headers=headers)
    with suppress(TimeoutError):
        return await asyncio.wait_for(client.send(request), GLANCE_S if operation.streams else 30)
    return None


def unlike(owned: Ids) -> Ids:
    """Ids of the same form, of nothing."""
    return {name: f"{value.split('_')[0]}_{ids.uuid7().hex}" for name, value in owned.items()}


def test_it_is_known_of_every_id_whose_it_is(shared: Ids, bens: Ids) -> None:
    for operation in operations():
        for name in operation.path_names:
            assert name in shared | bens, (
                f"{operation.path}: let tests/belongings.py give somebody a {name}, "
                "or share one where it is nobody's own."
            )


async def test_who_is_signed_out_is_told_so_by_every_operation(
    ann: Client, shared: Ids, bens: Ids
) -> None:
    for operation in GUARDED:
        answer = await asked(ann, operation, shared | bens)

        assert answer is not None, operation
        assert answer.status_code == 401, (operation, answer.text)


async def test_who_is_signed_out_or_may_not_is_told_so_before_anything_is_read(
    ann: Client, shared: Ids, bens: Ids
) -> None:
    read = 0

    async def nonsense() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b'{"'

    for operation in (one for one in GUARDED if one.bodies):
        url, kind = operation.path.format_map(shared | bens), next(iter(operation.bodies))
        for told, status in (({}, 401), ({"X-Roles": "singer", "X-Scopes": ""}, 403)):
            headers = {**told, "Content-Type": f"{kind}; boundary=b"}
            answer = await ann.request(operation.method, url, content=nonsense(), headers=headers)

            assert (answer.status_code, read) == (status, 0), (operation, answer.text)


async def test_the_id_of_somebody_else_is_like_one_of_nothing(
    ann: Client, shared: Ids, bens: Ids
) -> None:
    ann.headers["X-Roles"] = ALL_ROLES  # what she is refused is refused for whose it is
    for operation in of_somebody(bens):
        nothing = unlike(bens)
        theirs = await asked(ann, operation, shared | bens)
        none = await asked(ann, operation, shared | nothing)

        assert theirs is not None, operation
        assert none is not None, operation
        assert theirs.status_code == 404, (operation, theirs.text)
        assert bare(theirs, bens) == bare(none, nothing), operation


def bare(response: httpx2.Response, owned: Ids) -> tuple[Any, ...]:
    """All of an answer but the ids in it."""
    text = response.text.replace(response.headers["x-request-id"], "")
    for value in owned.values():
        text = text.replace(value, "")
    headers = {n: v for n, v in response.headers.items() if n not in VARYING}
    return response.status_code, headers, text


async def test_the_same_ids_are_found_by_their_owner(
    guarded: FastAPI, platform: Services, shared: Ids, bens: Ids
) -> None:
    """Else the test before would show nothing."""
    async with client_of(guarded, "usr_ben") as ben:
        ben.headers["X-Roles"] = ALL_ROLES
        for operation in of_somebody(bens):
            async with platform.transaction() as session:
                own = await belongings.give(session, "usr_ben")
            answer = await asked(ben, operation, shared | own)

            assert answer is None or answer.status_code != 404, (operation, answer.text)


async def test_no_list_shows_what_somebody_else_owns(ann: Client, shared: Ids, bens: Ids) -> None:
    for operation in (one for one in GUARDED if one.method == "GET" and not one.path_names):
        answer = await asked(ann, operation, shared, **{"X-Roles": ALL_ROLES})

        assert answer is None or not any(v in answer.text for v in bens.values()), operation


async def test_each_role_opens_what_the_table_of_permissions_says(
    guarded: FastAPI, ann: Client, shared: Ids, bens: Ids
) -> None:
    needed = permissions(guarded)
    for role in Role:
        for operation in GUARDED:
            answer = await asked(ann, operation, shared | unlike(bens), **{"X-Roles": role})

            assert opened(answer) == (needed[operation.id] <= GRANTS[role]), (operation, role)


async def test_a_key_opens_what_its_scopes_say(
    guarded: FastAPI, ann: Client, shared: Ids, bens: Ids
) -> None:
    ann.headers["X-Roles"] = ALL_ROLES
    needed = permissions(guarded)
    for operation in GUARDED:
        for scopes in (SCOPES - needed[operation.id], SCOPES & needed[operation.id]):
            told = {"X-Scopes": " ".join(scopes)}
            answer = await asked(ann, operation, shared | unlike(bens), **told)

            assert opened(answer) == (needed[operation.id] <= scopes), (operation, scopes)


def opened(answer: httpx2.Response | None) -> bool:
    """Whether it got as far as to what it is about, whatever came of it there."""
    return answer is None or not (
        answer.status_code == 403 and "This needs the permission" in answer.text
    )


def permissions(app: FastAPI) -> dict[str, frozenset[Permission]]:
    """What each operation asks for."""
    return {one.name: one.permissions for one in guards.operations(app)}


async def test_a_forged_cursor_is_refused_and_so_is_one_of_somebody_else(
    ann: Client, shared: Ids, bens: Ids
) -> None:
    for operation in (one for one in GUARDED if "cursor" in one.query):
        for cursor in ("*", "AAAA", *map(pages.encode, bens.values())):
            request = operation.request(shared)
            request["params"]["cursor"] = cursor
            answer = await ann.request(**request, headers={"X-Roles": ALL_ROLES})

            assert answer.status_code == 400, (operation, cursor, answer.text)
            assert answer.json()["code"] == "bad_cursor", (operation, cursor)


@pytest.mark.parametrize("limit", ["-1", "0", "1000000000", "1e3", "", "NaN"])
async def test_no_page_is_of_a_strange_length(ann: Client, shared: Ids, limit: str) -> None:
    for operation in (one for one in GUARDED if "limit" in one.query):
        request = operation.request(shared)
        request["params"]["limit"] = limit
        answer = await ann.request(**request, headers={"X-Roles": ALL_ROLES})

        assert answer.status_code == 422, operation


@pytest.mark.parametrize("name", ["role", "roles", "user_id", "owner_id", "verified", "score"])
async def test_no_body_may_say_more_than_it_is_asked(
    ann: Client, shared: Ids, bens: Ids, name: str
) -> None:
    for operation in operations():
        request = operation.request(shared | bens)
        if "json" not in request or name in request["json"]:
            continue
        request["json"][name] = "x"
        answer = await ann.request(**request, headers={"X-Roles": ALL_ROLES})

        assert answer.status_code == 422, (operation, answer.text)
        assert {fault["pointer"] for fault in answer.json()["errors"]} == {f"/{name}"}, operation
