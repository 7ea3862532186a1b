"""Who may do what: every operation of the OpenAPI document, so that new ones are tried at once."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection

from app import ids, pages
from app.dependencies import Allowed
from app.errors import Unauthorized
from app.main import create_app
from app.permissions import GRANTS, PUBLIC, SCOPES, Permission
from app.security import Role, User
from app.services import Services
from tests import belongings
from tests.app.conftest import client_of
from tests.asking import Operation, operations
from tests.belongings import Ids

Client = httpx2.AsyncClient
GLANCE_S = 0.5  # at a stream of events, which may have no end
# Ids that name what everybody sees who may see any of it.
SHARED = {"family", "version", "job_id", "user_id"}
VARYING = {"x-request-id", "date", "traceparent"}
GUARDED = tuple(one for one in operations() if one.id not in PUBLIC)
OF_SOMEBODY = tuple(one for one in GUARDED if set(one.path_names) - SHARED)


async def named(connection: HTTPConnection) -> User:
    """Whoever the headers name; nobody where they name none."""
    told = connection.headers
    if "x-user" not in told:
        raise Unauthorized("Nobody is signed in.")
    scopes = frozenset(told["x-scopes"].split()) if "x-scopes" in told else None
    return User(told["x-user"], frozenset(map(Role, told["x-roles"].split())), scopes)


@pytest.fixture
def guarded(platform: Services) -> FastAPI:
    return create_app(dataclasses.replace(platform, identity=named))


@pytest.fixture
async def ann(guarded: FastAPI) -> AsyncIterator[Client]:
    """One with every role: whatever she is refused is refused for whose it is."""
    async with client_of(guarded, "usr_ann") as client:
        client.headers["X-Roles"] = " ".join(Role)
        yield client


@pytest.fixture
async def bens(platform: Services) -> Ids:
    """What Ben owns, and what is shared."""
    async with platform.transaction() as session:
        session.add_all([belongings.account("usr_ann"), belongings.account("usr_ben")])
        await session.flush()
        return await belongings.share(session) | await belongings.give(session, "usr_ben")


async def asked(
    client: Client, operation: Operation, ids: Ids, **headers: str
) -> httpx2.Response | None:
    """The answer; None of a stream, which has begun."""
    request = client.build_request(**operation.request(ids), headers=headers)
    with suppress(TimeoutError):
        return await asyncio.wait_for(client.send(request), GLANCE_S if operation.streams else 30)
    return None


def unlike(given: Ids) -> Ids:
    """Ids of the same form, of nothing."""
    return {
        name: value if name in SHARED else f"{value.split('_')[0]}_{ids.uuid7().hex}"
        for name, value in given.items()
    }


def test_it_is_known_of_every_id_whose_it_is(bens: Ids) -> None:
    for operation in GUARDED:
        for name in operation.path_names:
            assert name in SHARED or name in bens, (
                f"{operation.path}: let tests/belongings.py give somebody a {name}, "
                "or say in SHARED that it is nobody's own."
            )


async def test_who_is_signed_out_is_told_so_by_every_operation(guarded: FastAPI, bens: Ids) -> None:
    async with client_of(guarded, "usr_ann") as client:
        del client.headers["X-User"]
        answers = {one.id: await asked(client, one, bens) for one in GUARDED}

    assert {name for name, seen in answers.items() if not seen or seen.status_code != 401} == set()


async def test_the_id_of_somebody_else_is_like_one_of_nothing(ann: Client, bens: Ids) -> None:
    for operation in OF_SOMEBODY:
        nothing = unlike(bens)
        theirs = await asked(ann, operation, bens)
        none = await asked(ann, operation, nothing)

        assert theirs is not None, operation
        assert none is not None, operation
        assert theirs.status_code == 404, (operation, theirs.text)
        assert bare(theirs, bens) == bare(none, nothing), operation


def bare(response: httpx2.Response, given: Ids) -> tuple[Any, ...]:
    """All of an answer but the ids in it."""
    text = response.text.replace(response.headers["x-request-id"], "")
    for name in given.keys() - SHARED:
        text = text.replace(given[name], "")
    headers = {n: v for n, v in response.headers.items() if n not in VARYING}
    return response.status_code, headers, text


async def test_the_same_ids_are_found_by_their_owner(
    guarded: FastAPI, platform: Services, bens: Ids
) -> None:
    """Else the test before would show nothing."""
    async with client_of(guarded, "usr_ben") as ben:
        ben.headers["X-Roles"] = " ".join(Role)
        for operation in OF_SOMEBODY:
            async with platform.transaction() as session:
                own = await belongings.give(session, "usr_ben")
            answer = await asked(ben, operation, own)

            assert answer is None or answer.status_code != 404, (operation, answer.text)


async def test_no_list_shows_what_somebody_else_owns(ann: Client, bens: Ids) -> None:
    own = [value for name, value in bens.items() if name not in SHARED]
    for operation in (one for one in GUARDED if one.method == "GET" and not one.path_names):
        answer = await asked(ann, operation, bens)

        assert answer is None or not any(value in answer.text for value in own), operation


async def test_each_role_opens_what_the_table_of_permissions_says(
    guarded: FastAPI, bens: Ids
) -> None:
    stated = permissions(guarded)
    for role in Role:
        async with client_of(guarded, "usr_ann") as client:
            for operation in GUARDED:
                answer = await asked(client, operation, unlike(bens), **{"X-Roles": role})

                opened = answer is None or answer.status_code != 403
                assert opened == (stated[operation.id] in GRANTS[role]), (operation, role)


async def test_a_key_opens_what_its_scopes_say(ann: Client, guarded: FastAPI, bens: Ids) -> None:
    stated = permissions(guarded)
    for operation in GUARDED:
        needed = stated[operation.id]
        for scopes in (SCOPES - {needed}, SCOPES & {needed}):
            told = {"X-Scopes": " ".join(scopes)}
            answer = await asked(ann, operation, unlike(bens), **told)

            opened = answer is None or answer.status_code != 403
            assert opened == (needed in scopes), (operation, scopes)


def permissions(app: FastAPI) -> dict[str, Permission]:
    """What each operation asks for."""
    return {
        str(route.name): found
        for route in iter_route_contexts(app.routes)
        for found in stated_by(getattr(route, "dependant", None))
    }


def stated_by(dependant: Dependant | None) -> Iterator[Permission]:
    if dependant is None:
        return
    if isinstance(dependant.call, Allowed):
        yield dependant.call.permission
    for inner in dependant.dependencies:
        yield from stated_by(inner)


async def test_a_forged_cursor_is_refused_and_so_is_one_of_somebody_else(
    ann: Client, bens: Ids
) -> None:
    paged = [one for one in GUARDED if "cursor" in one.query]
    for operation in paged:
        own = [pages.encode(value) for name, value in bens.items() if name not in SHARED]
        for cursor in ("*", "AAAA", *own):
            request = operation.request(bens)
            request["params"]["cursor"] = cursor
            answer = await ann.request(**request)

            assert answer.status_code == 400, (operation, cursor, answer.text)
            assert answer.json()["code"] == "bad_cursor", (operation, cursor)


@pytest.mark.parametrize("limit", ["-1", "0", "1000000000", "1e3", "", "NaN"])
async def test_no_page_is_of_a_strange_length(ann: Client, bens: Ids, limit: str) -> None:
    for operation in (one for one in GUARDED if "limit" in one.query):
        request = operation.request(bens)
        request["params"]["limit"] = limit

        assert (await ann.request(**request)).status_code == 422, operation


@pytest.mark.parametrize("name", ["role", "roles", "user_id", "owner_id", "verified", "score"])
async def test_no_body_may_say_more_than_it_is_asked(ann: Client, bens: Ids, name: str) -> None:
    for operation in (one for one in operations() if "application/json" in one.bodies):
        request = operation.request(bens)
        if name in request["json"]:
            continue
        request["json"][name] = "x"
        answer = await ann.request(**request)

        assert answer.status_code == 422, (operation, answer.text)
        assert {fault["pointer"] for fault in answer.json()["errors"]} == {f"/{name}"}, operation
