"""Coaches read what singers let them read, and no more; either side may end it at any time."""

import asyncio
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from httpx2 import Response
from sqlalchemy import select, update

from app import ids
from app.coaching import service as coaching
from app.security import Role
from app.services import Services
from app.tables import Account, Coaching, Mail
from tests.app.conftest import Client
from tests.app.test_events import served
from tests.app.test_flow import work
from tests.signals import tone, wav

ADA, COACH = ids.new("usr"), ids.new("usr")


@pytest.fixture
async def people(platform: Services) -> None:
    async with platform.transaction() as session:
        for name, account_id in (("ada", ADA), ("coach", COACH)):
            email = f"{name}@example.org"
            session.add(Account(id=account_id, email=email, email_key=email))


@pytest.fixture
async def singer(people: None, as_user: Callable[[str], Client]) -> Client:
    return as_user(ADA)


@pytest.fixture
async def coach(people: None, as_user: Callable[[str], Client]) -> Client:
    client = as_user(COACH)
    client.headers["X-Roles"] = Role.coach
    return client


async def upload(client: Client) -> str:
    sent = await client.post("/v1/recordings", files={"file": ("a.wav", wav(tone(220.0, 0.3)))})
    assert sent.status_code == 201, sent.text
    return str(sent.json()["id"])


async def seen(client: Client, recording: str, analysis: str) -> list[int]:
    paths = (f"/v1/recordings/{recording}", f"/v1/analyses/{analysis}")
    listed = await client.get("/v1/recordings", params={"singer_id": ADA})
    return [len(listed.json()["items"]), *[(await client.get(p)).status_code for p in paths]]


async def invited(coach: Client, email: str = "Ada@Example.org") -> Response:
    return await coach.post("/v1/coachings", json={"email": email})


async def answer(client: Client, coaching: Response, what: str) -> Response:
    return await client.post(f"/v1/coachings/{coaching.json()['id']}/{what}")


async def test_a_coach_reads_a_singers_takes_from_acceptance_to_the_end_and_never_writes(
    singer: Client, coach: Client
) -> None:
    recording = await upload(singer)
    queued = await singer.post(f"/v1/recordings/{recording}/analyses", json={"families": ["pitch"]})
    analysis = queued.json()["id"]
    invitation = await invited(coach)

    before = await seen(coach, recording, analysis)
    accepted = await answer(singer, invitation, "accept")
    between = await seen(coach, recording, analysis)
    writes = [
        await coach.post(f"/v1/recordings/{recording}/analyses", json={}),
        await coach.post(f"/v1/analyses/{analysis}/cancel"),
    ]
    coach.headers["X-Roles"] = Role.singer
    demoted = await seen(coach, recording, analysis)
    ended = await answer(singer, invitation, "end")
    coach.headers["X-Roles"] = Role.coach
    after = await seen(coach, recording, analysis)

    assert before == demoted == after == [0, 404, 404]
    assert between == [1, 200, 200]
    assert [reply.status_code for reply in writes] == [404, 404]
    assert [reply.json()["state"] for reply in (accepted, ended)] == ["accepted", "ended"]
    assert (await coach.get("/v1/recordings")).json()["items"] == []


async def test_a_coach_who_watches_is_told_nothing_after_the_end(
    singer: Client, coach: Client, door: FastAPI, platform: Services
) -> None:
    queued = await singer.post(f"/v1/recordings/{await upload(singer)}/analyses")
    invitation = await invited(coach)
    await answer(singer, invitation, "accept")
    headers = {"X-User": COACH, "X-Roles": "coach"}
    async with (
        served(door) as url,
        Client(base_url=url, headers=headers) as watching,
        watching.stream("GET", f"/v1/analyses/{queued.json()['id']}/events") as response,
        asyncio.timeout(10),
    ):
        lines = response.aiter_lines()
        begun = await anext(lines)
        await answer(singer, invitation, "end")
        await work(platform)
        rest = [line async for line in lines]

    assert begun == "event: queued"
    assert not any(line.startswith("event: ") for line in rest)


async def test_either_side_sees_the_other_and_only_the_invited_answers(
    singer: Client, coach: Client, bob: Client
) -> None:
    invitation = await invited(coach)

    [mine] = (await coach.get("/v1/coachings")).json()["items"]
    [theirs] = (await singer.get("/v1/coachings")).json()["items"]
    others = [await answer(client, invitation, "accept") for client in (bob, coach)]
    declined = await answer(singer, invitation, "decline")
    late = await answer(singer, invitation, "accept")

    assert (mine["side"], mine["singer_id"], mine["singer_name"]) == (
        "coach",
        None,
        "ada@example.org",
    )
    assert (theirs["side"], theirs["coach_name"]) == ("singer", "coach@example.org")
    assert [reply.status_code for reply in others] == [404, 409]
    assert declined.json()["state"] == "ended"
    assert late.status_code == 409


async def test_an_invitation_goes_out_once_whether_or_not_anybody_has_that_address(
    coach: Client, platform: Services
) -> None:
    there, again = await invited(coach), await invited(coach)
    missing, own = (
        await invited(coach, "nobody@example.org"),
        await invited(coach, "COACH@example.org"),
    )

    assert [r.status_code for r in (there, again, missing, own)] == [201, 409, 201, 422]
    assert there.json().keys() == missing.json().keys()
    assert there.json()["singer_id"] is missing.json()["singer_id"] is None
    async with platform.transaction() as session:
        letters = list(await session.scalars(select(Mail.to).order_by(Mail.id)))
    assert letters == ["Ada@Example.org", "nobody@example.org"]


async def test_an_invitation_that_nobody_answers_runs_out(
    singer: Client, coach: Client, platform: Services
) -> None:
    invitation = await invited(coach)
    async with platform.transaction() as session:
        long_ago = Coaching.created_at - coaching.GOOD_FOR
        await session.execute(update(Coaching).values(created_at=long_ago))

    late = await answer(singer, invitation, "accept")

    assert (late.status_code, late.json()["code"]) == (409, "not_open")
    assert (await invited(coach)).status_code == 201


async def test_a_singer_invites_nobody(singer: Client) -> None:
    assert (await invited(singer, "coach@example.org")).status_code == 403
