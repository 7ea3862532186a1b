"""A POST that creates, sent again with its Idempotency-Key, creates nothing again."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import select, update

from app.fingerprints import Fingerprint
from app.services import Services
from app.tables import Account, AnalysisRow, IdempotencyKey, Recording
from tests.app.conftest import client_of
from tests.app.test_flow import TAKE, uploaded
from tests.app.test_problems import check_problem

Client = httpx2.AsyncClient
KEY = {"Idempotency-Key": "take-3"}


async def post(client: Client, take: bytes = TAKE, **headers: str) -> httpx2.Response:
    return await client.post(
        "/v1/recordings", files={"file": ("take.wav", take)}, headers={**KEY, **headers}
    )


async def test_the_same_request_gets_the_same_answer_and_does_nothing(
    ada: Client, platform: Services
) -> None:
    first, again = await post(ada), await post(ada)

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len((await ada.get("/v1/recordings")).json()["items"]) == 1
    async with platform.transaction() as session:
        kept = await session.scalar(select(IdempotencyKey.body))
    assert kept is not None
    assert first.json()["id"] not in kept  # sealed: an answer may hold a secret


async def test_nobody_finds_out_from_the_database_what_was_sent(
    ada: Client, platform: Services
) -> None:
    """A request may hold a password: its plain digest could be tried offline, and fast."""
    asked = {"name": "x", "scopes": ["analyze"]}
    async with platform.transaction() as session:
        session.add(Account(id="usr_ada"))
    sent = await ada.post("/v1/me/api-keys", json=asked, headers=KEY)
    scope = {"path": "/v1/me/api-keys", "query_string": b"", "method": "POST"}
    plain = Fingerprint({**scope, "headers": [(b"content-type", b"application/json")]})
    plain.update(sent.request.content)

    async with platform.transaction() as session:
        kept = await session.scalar(select(IdempotencyKey.fingerprint))

    assert kept == platform.seal.mark(plain.hexdigest())
    assert kept != plain.hexdigest()


async def test_a_key_of_another_request_is_refused(ada: Client) -> None:
    take = await uploaded(ada)
    await post(ada)

    other_body = await post(ada, TAKE + bytes(2))
    other_path = await ada.post(f"/v1/recordings/{take}/analyses", json={}, headers=KEY)

    assert check_problem(other_body, 422)["code"] == "idempotency_mismatch"
    assert check_problem(other_path, 422)["code"] == "idempotency_mismatch"


async def test_keys_of_two_users_know_nothing_of_each_other(ada: Client, bob: Client) -> None:
    hers, his = await post(ada), await post(bob)

    assert hers.json()["id"] != his.json()["id"]
    assert (await bob.get(hers.headers["location"])).status_code == 404


async def test_of_many_at_once_one_runs(ada: Client, platform: Services) -> None:
    take = await uploaded(ada)
    path = f"/v1/recordings/{take}/analyses"

    answers = await asyncio.gather(*(ada.post(path, json={}, headers=KEY) for _ in range(20)))

    assert {answer.status_code for answer in answers} <= {202, 409}
    running = [answer for answer in answers if answer.status_code == 409]
    assert all(check_problem(each)["code"] == "idempotency_running" for each in running)
    assert len({each.json()["id"] for each in answers if each.status_code == 202}) == 1
    async with platform.transaction() as session:
        assert len((await session.scalars(select(AnalysisRow.id))).all()) == 1


async def test_what_failed_may_be_tried_again_with_the_same_key(
    ada: Client, platform: Services
) -> None:
    check_problem(await post(ada, b"no audio"), 415)

    assert (await post(ada)).status_code == 201


async def test_of_a_process_that_died_the_outcome_is_said_to_be_unknown(
    ada: Client, platform: Services
) -> None:
    await post(ada)
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    async with platform.transaction() as session:
        await session.execute(update(IdempotencyKey).values(status=None, created_at=long_ago))

    assert check_problem(await post(ada), 409)["code"] == "idempotency_unknown"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "naïve", "a\tb"])
async def test_a_strange_key_is_refused(ada: Client, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    response = await ada.post("/v1/recordings", files={"file": ("t", TAKE)}, headers=headers)

    assert check_problem(response, 422)["code"] == "bad_idempotency_key"


async def test_whoever_lost_a_permission_is_not_answered_from_memory(door: object) -> None:
    asked = {"family": "pitch", "version": "9", "mode": "canary"}
    async with client_of(door, "usr_rea") as client:  # type: ignore[arg-type]
        response = await client.post("/v1/rollouts", json=asked, headers=KEY)

        assert check_problem(response, 403)["code"] == "forbidden"


async def test_a_key_of_nobody_is_no_way_in(stranger: Client, platform: Services) -> None:
    check_problem(await post(stranger), 401)

    async with platform.transaction() as session:
        assert await session.scalar(select(IdempotencyKey.key)) is None


async def test_who_leaves_while_it_runs_finds_it_done(
    ada: Client, platform: Services, as_user: Callable[[str], Client]
) -> None:
    """Cancelled in every moment of a request: never two of them, and never a key that hangs."""
    for step in range(12):
        key = {"Idempotency-Key": f"leaving-{step}"}
        body = {"file": ("take.wav", TAKE)}
        leaving = asyncio.create_task(ada.post("/v1/recordings", files=body, headers=key))
        await asyncio.sleep(step * 0.005)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        answer = await ada.post("/v1/recordings", files=body, headers=key)
        while answer.status_code == 409:
            await asyncio.sleep(0.02)
            answer = await ada.post("/v1/recordings", files=body, headers=key)
        assert answer.status_code == 201
    async with platform.transaction() as session:
        assert len((await session.scalars(select(Recording.id))).all()) == 12


def test_a_form_is_the_same_with_another_boundary_and_however_it_is_cut() -> None:
    def of(boundary: bytes, content: bytes, size: int) -> str:
        scope = {
            "method": "POST",
            "path": "/v1/recordings",
            "query_string": b"",
            "headers": [(b"content-type", b"multipart/form-data; boundary=" + boundary)],
        }
        body = b"--" + boundary + b"\r\n\r\n" + content + b"\r\n--" + boundary + b"--\r\n"
        made = Fingerprint(scope)
        for start in range(0, len(body), size):
            made.update(body[start : start + size])
        return made.hexdigest()

    same = {of(b, b"sound", size) for b in (b"aXb", b"aXbaXc", b"other") for size in (1, 2, 7, 99)}

    assert len(same) == 1
    assert of(b"aXb", b"sounds", 7) not in same
