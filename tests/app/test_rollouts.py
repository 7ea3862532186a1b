"""A version's way to its users and back: what may be asked, what it changes, and who is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.rollouts.observations import Seen, Spread
from app.security import Role
from app.services import Services
from app.tables import Gate
from app.users.identity import identify
from tests.app.people import changed
from tests.app.rollouts import REA, audited, observe, operator, route, serve, version, wish
from tests.app.test_events import served
from tests.app.test_identity import someone

Client = httpx2.AsyncClient
CANARY = {"family": "pitch", "version": "2", "percent": 25, "reason": "clearer on noise"}


@pytest.fixture
async def rea(door: FastAPI) -> AsyncIterator[Client]:
    async with operator(door) as client:
        yield client


def refused(response: httpx2.Response, status: int, code: str) -> str:
    assert (response.status_code, response.json()["code"]) == (status, code)
    return str(response.json()["detail"])


async def test_a_warm_version_answers_as_soon_as_it_is_asked_for(
    rea: Client, platform: Services
) -> None:
    await serve(platform)

    response = await rea.post("/v1/rollouts", json=CANARY)

    assert response.status_code == 202
    assert response.headers["Location"] == "/v1/rollouts/pitch"
    found = (await rea.get("/v1/rollouts/pitch")).json()
    assert (found["state"], found["challenger"], found["generation"]) == ("canary", "2", 2)
    assert found["registry_knows"] is False
    assert found["started_at"] is not None
    assert (await route(platform)).percent == {"2": 25}


async def test_a_cold_version_answers_nobody_and_cannot_be_promoted(
    rea: Client, platform: Services
) -> None:
    await serve(platform)

    response = await rea.post("/v1/rollouts", json={**CANARY, "version": "3"})

    assert response.json()["state"] == "starting"
    assert (await route(platform)).percent == {}
    refused(await rea.post("/v1/rollouts/pitch/promote"), 409, "not_warm")


async def test_the_whole_way_there_and_back(rea: Client, platform: Services) -> None:
    await serve(platform)
    why = {"reason": "as planned"}

    steps: list[tuple[str, str, Any]] = [
        ("POST", "/v1/rollouts", {"family": "pitch", "version": "2", "mode": "shadow", **why}),
        ("PATCH", "/v1/rollouts/pitch", {"mode": "canary", **why}),
        ("PATCH", "/v1/rollouts/pitch", {"percent": 50, **why}),
        ("POST", "/v1/rollouts/pitch/promote", why),
        ("POST", "/v1/rollouts/pitch/rollback", why),
        ("POST", "/v1/rollouts/pitch/retire", why),
    ]
    routes = []
    for method, path, body in steps:
        assert (await rea.request(method, path, json=body)).is_success
        now = await route(platform)
        routes.append((now.champion, now.percent, now.shadow))

    assert routes == [
        ("1", {}, ["2"]),
        ("1", {"2": 10}, []),
        ("1", {"2": 50}, []),
        ("2", {}, []),
        ("1", {}, []),
        ("1", {}, []),
    ]
    found = (await rea.get("/v1/rollouts/pitch")).json()
    assert (found["champion"], found["previous"], found["state"]) == ("1", None, "steady")
    told = (await rea.get("/v1/rollouts/pitch/history")).json()["items"]
    actions = ["start", "adjust", "adjust", "promote", "rollback", "retire"]
    assert [change["action"] for change in told] == actions[::-1]
    assert {change["actor_id"] for change in told} == {REA.id}
    assert {change["reason"] for change in told} == {"as planned"}
    assert told[2]["before"]["champion"] == "1"
    assert told[2]["after"]["champion"] == "2"


async def test_a_rollback_drops_what_is_on_trial_first(rea: Client, platform: Services) -> None:
    await serve(platform, previous="3", warm="123")
    await rea.post("/v1/rollouts", json=CANARY)

    await rea.post("/v1/rollouts/pitch/rollback")

    row = await wish(platform)
    assert (row.champion, row.challenger, row.previous) == ("1", None, "3")
    assert row.started_at is None


async def test_two_rollbacks_at_the_same_moment_are_one_step_back(
    rea: Client, platform: Services
) -> None:
    await serve(platform, previous="3", warm="123")
    seen = (await rea.post("/v1/rollouts", json=CANARY)).json()["generation"]

    answers = await asyncio.gather(
        *(rea.post("/v1/rollouts/pitch/rollback", json={"generation": seen}) for _ in range(4))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert (await wish(platform)).champion == "1"


@pytest.mark.parametrize(
    ("columns", "asked", "status", "code"),
    [
        ({}, {"version": "9"}, 422, "unknown_version"),
        ({"gate": Gate.failed, "gate_reason": "worse"}, {"version": "4"}, 422, "gate_failed"),
        ({"schema_digest": "0" * 64}, {"version": "4"}, 422, "schema_differs"),
        ({"memory_bytes": 3 << 30}, {"version": "4"}, 422, "memory_exceeded"),
        ({}, {"version": "1"}, 409, "already_champion"),
        ({}, {"family": "timbre"}, 422, "algorithm_family"),
        ({}, {"family": "emotion"}, 404, "not_found"),
        ({}, {"mode": "shadow"}, 422, "invalid_request"),
        ({}, {"percent": 101}, 422, "invalid_request"),
        ({}, {"reason": "line\nbreak"}, 422, "invalid_request"),
        ({}, {"reason": "\u202eright to left"}, 422, "invalid_request"),
        ({}, {"version": "../../1"}, 422, "invalid_request"),
        ({}, {"limits": {"window_s": 0}}, 422, "invalid_request"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_must_not_meet_users_is_refused_with_what_to_do(
    platform: Services, columns: dict[str, Any], asked: dict[str, Any], status: int, code: str
) -> None:
    await serve(platform)
    await serve(platform, "timbre")
    async with platform.transaction() as session:
        session.add(version("pitch", "4", **columns))
    limits = platform.settings.model_copy(update={"rollout_memory_bytes": 2 << 30})
    small = create_app(replace(platform, settings=limits))

    async with operator(small) as rea:
        response = await rea.post("/v1/rollouts", json={**CANARY, **asked})

    assert refused(response, status, code).endswith(".")
    assert (await wish(platform)).generation == 1
    assert await audited(platform) == []


async def test_a_second_rollout_waits_for_the_first(rea: Client, platform: Services) -> None:
    await serve(platform)
    await rea.post("/v1/rollouts", json=CANARY)

    again = await rea.post("/v1/rollouts", json={**CANARY, "version": "3"})

    assert "Version 2" in refused(again, 409, "rollout_in_progress")


async def test_what_is_not_there_cannot_be_changed(rea: Client, platform: Services) -> None:
    await serve(platform)

    for action, code in (
        ("promote", "no_rollout"),
        ("rollback", "nothing_to_roll_back"),
        ("retire", "nothing_to_retire"),
    ):
        refused(await rea.post(f"/v1/rollouts/pitch/{action}"), 409, code)
    refused(await rea.patch("/v1/rollouts/pitch", json={"percent": 5}), 409, "no_rollout")
    refused(await rea.get("/v1/rollouts/pitch/compare"), 409, "no_rollout")
    assert (await rea.get("/v1/rollouts/taste")).status_code == 422
    assert (await rea.get("/v1/rollouts/emotion")).status_code == 404


async def test_a_shadow_has_no_share(rea: Client, platform: Services) -> None:
    await serve(platform)
    await rea.post("/v1/rollouts", json={"family": "pitch", "version": "2", "mode": "shadow"})

    response = await rea.patch("/v1/rollouts/pitch", json={"percent": 20})

    refused(response, 409, "shadow_has_no_percent")


async def test_only_researchers_and_admins_operate_models(
    ada: Client, door: FastAPI, platform: Services
) -> None:
    await serve(platform)
    paths = [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/pitch/versions/1"),
        ("GET", "/v1/rollouts"),
        ("POST", "/v1/rollouts"),
        ("GET", "/v1/rollouts/pitch"),
        ("PATCH", "/v1/rollouts/pitch"),
        *(("POST", f"/v1/rollouts/pitch/{verb}") for verb in ("promote", "rollback", "retire")),
        *(("GET", f"/v1/rollouts/pitch/{noun}") for noun in ("history", "compare", "events")),
        ("GET", "/v1/audit"),
    ]

    for method, path in paths:
        refused(await ada.request(method, path), 403, "forbidden")
    async with operator(door) as rea, operator(door, "admin") as root:
        refused(await rea.get("/v1/audit"), 403, "forbidden")
        assert (await root.get("/v1/rollouts")).status_code == 200
        assert (await root.get("/v1/audit")).status_code == 200


async def test_models_are_listed_newest_first_with_their_aliases(
    rea: Client, platform: Services
) -> None:
    await serve(platform, previous="3")
    async with platform.transaction() as session:
        session.add(version("pitch", "10", registered=False))
    await rea.post("/v1/rollouts", json=CANARY)

    items = (await rea.get("/v1/models")).json()["items"]

    [pitch] = [item["versions"] for item in items if item["family"] == "pitch"]
    assert {v["version"]: v["aliases"] for v in pitch} == {
        "10": [],
        "3": ["previous"],
        "2": ["challenger"],
        "1": ["champion"],
    }
    assert [v["version"] for v in pitch] == ["10", "3", "2", "1"]
    assert pitch[0]["registered"] is False
    one = (await rea.get("/v1/models/pitch/versions/2")).json()
    assert (one["card"], one["licence"], one["metrics"]) == (
        "# pitch 2",
        "Apache-2.0",
        {"accuracy": 0.9},
    )
    assert (await rea.get("/v1/models/pitch/versions/99")).status_code == 404
    assert (await rea.get("/v1/models/pitch/versions/%00")).status_code == 422


async def test_history_and_audit_come_in_pages_newest_first(
    rea: Client, door: FastAPI, platform: Services
) -> None:
    await serve(platform)
    await serve(platform, "emotion")
    await rea.post("/v1/rollouts", json={**CANARY, "family": "emotion"})
    for _ in range(2):
        await rea.post("/v1/rollouts", json=CANARY)
        await rea.post("/v1/rollouts/pitch/rollback")

    async def pages(client: Client, path: str) -> list[str]:
        seen, cursor = [], None
        while True:
            query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await client.get(path, params=query)).json()
            seen += [item["action"] for item in page["items"]]
            if (cursor := page["next_cursor"]) is None:
                return seen

    assert await pages(rea, "/v1/rollouts/pitch/history") == ["rollback", "start"] * 2
    async with operator(door, "admin") as root:
        every = await pages(root, "/v1/audit")
        of_one = (await root.get("/v1/audit", params={"target": "rollouts:emotion"})).json()
    assert every == ["rollout.rollback", "rollout.start"] * 2 + ["rollout.start"]
    [entry] = of_one["items"]
    assert (entry["actor_id"], entry["details"]["reason"]) == (REA.id, CANARY["reason"])
    foreign = (await rea.get("/v1/rollouts/pitch/history?limit=1")).json()["next_cursor"]
    for cursor in (foreign, "x", "OTk5", "\0"):
        page = await rea.get("/v1/rollouts/emotion/history", params={"cursor": cursor})
        refused(page, 400, "bad_cursor")


async def test_the_trial_is_compared_with_the_champion(rea: Client, platform: Services) -> None:
    await serve(platform)
    await observe(platform, "2", Seen(requests=1000, errors=1000))  # before the trial
    await rea.post("/v1/rollouts", json=CANARY)
    for number, seconds, errors in (("1", 0.1, 0), ("1", 0.1, 1), ("2", 0.4, 1), ("2", 0.4, 1)):
        seen = Seen(errors=errors, compared=4, unlike=1)
        for _ in range(4):
            seen.answered(seconds)
        for value in (3.0, -1.0):
            seen.scores.setdefault("tone", Spread()).add(value)
            seen.measures.setdefault("f0_median_hz", Spread()).add(value / 10)
        await observe(platform, number, seen)

    found = (await rea.get("/v1/rollouts/pitch/compare")).json()

    assert (found["mode"], found["compared"], found["unlike"]) == ("canary", 8, 2)
    champion, trial = found["champion"], found["trial"]
    assert (champion["version"], champion["requests"], champion["error_rate"]) == ("1", 8, 1 / 8)
    assert (trial["version"], trial["requests"], trial["error_rate"]) == ("2", 8, 2 / 8)
    assert champion["latency_p95_s"] == pytest.approx(0.1, rel=0.2)
    assert trial["latency_p50_s"] == pytest.approx(0.4, rel=0.2)
    [tone] = found["scores"]
    assert tone == {"name": "tone", "mean": 1.0, "rms": 5**0.5, "largest": 3.0, "n": 4}
    [measure] = found["measures"]
    assert (measure["name"], measure["n"]) == ("f0_median_hz", 4)
    assert "times as long" in found["objection"]


async def test_a_trial_that_nobody_met_yet_has_no_rates(rea: Client, platform: Services) -> None:
    await serve(platform)
    await rea.post("/v1/rollouts", json=CANARY)

    found = (await rea.get("/v1/rollouts/pitch/compare")).json()

    assert (found["trial"]["requests"], found["trial"]["error_rate"]) == (0, None)
    assert (found["scores"], found["objection"]) == ([], None)


async def test_watchers_see_the_newest_change_and_then_each_as_it_happens(
    rea: Client, door: FastAPI, platform: Services
) -> None:
    await serve(platform)
    await rea.post("/v1/rollouts", json=CANARY)
    await rea.patch("/v1/rollouts/pitch", json={"percent": 50})
    headers = {"X-User": REA.id, "X-Roles": "researcher"}
    async with (
        served(door) as url,
        Client(base_url=url, headers=headers) as client,
        client.stream("GET", "/v1/rollouts/pitch/events") as response,
        asyncio.timeout(10),
    ):
        lines = response.aiter_lines()
        types = [line async for line in first(lines, 1)]
        await rea.post("/v1/rollouts/pitch/promote")
        types += [line async for line in first(lines, 1)]

    assert types == ["event: adjust", "event: promote"]


async def test_who_is_demoted_while_they_watch_sees_no_more(
    rea: Client, platform: Services
) -> None:
    """By the real door: an access token is looked at again before anything more is told."""
    await serve(platform)
    await rea.post("/v1/rollouts", json=CANARY)
    person, key = await someone(platform, Role.researcher)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        served(create_app(replace(platform, identity=identify))) as url,
        Client(base_url=url, headers=headers) as client,
        client.stream("GET", "/v1/rollouts/pitch/events") as response,
        asyncio.timeout(10),
    ):
        lines = response.aiter_lines()
        types = [line async for line in first(lines, 1)]
        await changed(platform, person, roles=["singer"])
        await asyncio.sleep(2 * platform.settings.account_cache_s)
        await rea.post("/v1/rollouts/pitch/promote")
        types += [line async for line in first(lines, 1)]

    assert types == ["event: start"]


async def first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    """So many lines that name an event."""
    async for line in lines:
        if line.startswith("event: "):
            yield line
            count -= 1
            if not count:
                return
