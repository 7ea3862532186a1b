"""A singer uploads a take, has it analyzed, and reads what came of it."""

import asyncio
import hashlib

import httpx2

from app import ids
from app.analyses import queue
from app.analyses.work import perform
from app.services import Services
from models.audio import UnreadableAudio
from models.results import Analysis
from tests.fakes import FakeAnalyzer, raising
from tests.signals import tone, wav

Client = httpx2.AsyncClient
TAKE = wav(tone(220.0, seconds=0.4))


async def uploaded(client: Client, encoded: bytes = TAKE, name: str = "take.wav") -> str:
    response = await client.post("/v1/recordings", files={"file": (name, encoded)})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def queued(client: Client, recording_id: str) -> str:
    response = await client.post(f"/v1/recordings/{recording_id}/analyses")
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def work(platform: Services) -> int:
    """What a worker does once. How many analyses it found."""
    async with platform.transaction() as session:
        claims = await queue.claim(session, 10, lease_s=5, max_attempts=3)
    await asyncio.gather(*(perform(platform, claim) for claim in claims))
    return len(claims)


async def test_an_upload_is_kept_as_it_came(ada: Client, platform: Services) -> None:
    response = await ada.post("/v1/recordings", files={"file": ("take.wav", TAKE)})

    body = response.json()
    assert response.headers["Location"] == f"/v1/recordings/{body['id']}"
    assert body["sha256"] == hashlib.sha256(TAKE).hexdigest()
    assert (body["size_bytes"], body["sample_rate_hz"]) == (len(TAKE), 16_000)
    assert abs(body["duration_s"] - 0.4) < 1e-3
    key = f"recordings/{body['id']}/master"
    assert b"".join([chunk async for chunk in platform.storage.stream(key)]) == TAKE


async def test_a_recording_is_analyzed(ada: Client, platform: Services) -> None:
    take = await uploaded(ada)

    response = await ada.post(
        f"/v1/recordings/{take}/analyses",
        json={"families": ["prosody", "pitch"], "options": {"a4_hz": 442}},
    )
    await work(platform)

    found = (await ada.get(response.headers["Location"])).json()
    assert found["state"] == "done"
    assert found["families"] == ["pitch", "prosody"]
    assert found["progress"] == {"activity": "done", "pitch": "done", "prosody": "done"}
    assert found["options"]["a4_hz"] == 442
    assert found["queue_position"] is None
    assert found["started_at"] <= found["finished_at"]
    assert Analysis.model_validate(found["result"]).audio.duration_s == 1.0


async def test_the_queue_tells_each_its_position(ada: Client, platform: Services) -> None:
    take = await uploaded(ada)
    first, second = await queued(ada, take), await queued(ada, take)

    assert (await ada.get(f"/v1/analyses/{first}")).json()["queue_position"] == 1
    assert (await ada.get(f"/v1/analyses/{second}")).json()["queue_position"] == 2


async def test_what_the_models_cannot_read_fails_and_says_so(
    ada: Client, platform: Services, analyzer: FakeAnalyzer
) -> None:
    analysis = await queued(ada, await uploaded(ada))
    analyzer.before = raising(UnreadableAudio("damaged_audio", "It breaks off."))

    await work(platform)

    found = (await ada.get(f"/v1/analyses/{analysis}")).json()
    assert (found["state"], found["result"]) == ("failed", None)
    assert found["failure"] == {"code": "damaged_audio", "detail": "It breaks off."}


async def test_a_cancelled_analysis_stays_cancelled(ada: Client, platform: Services) -> None:
    analysis = await queued(ada, await uploaded(ada))

    for _ in range(2):
        response = await ada.post(f"/v1/analyses/{analysis}/cancel")
        assert (response.status_code, response.json()["state"]) == (200, "cancelled")

    assert await work(platform) == 0


async def test_what_is_done_cannot_be_cancelled(ada: Client, platform: Services) -> None:
    analysis = await queued(ada, await uploaded(ada))
    await work(platform)

    response = await ada.post(f"/v1/analyses/{analysis}/cancel")

    assert (response.status_code, response.json()["code"]) == (409, "already_finished")


async def test_one_shot_measures_and_keeps_nothing(
    ada: Client, platform: Services, analyzer: FakeAnalyzer
) -> None:
    response = await ada.post(
        "/v1/analyze",
        files={"file": ("take.wav", TAKE)},
        data={"families": "pitch, timbre", "options": '{"a4_hz": 430}', "a4_hz": "442"},
    )

    assert response.status_code == 200
    Analysis.model_validate(response.json())
    [asked] = analyzer.requests
    assert asked.families == ("pitch", "timbre")
    assert (asked.options.a4_hz, asked.lane, asked.user) == (442, "interactive", "usr_ada")
    assert list(analyzer.takes) == [TAKE]
    assert (await ada.get("/v1/recordings")).json() == {"items": [], "next_cursor": None}


async def test_everything_is_invisible_to_other_singers(
    ada: Client, bob: Client, platform: Services
) -> None:
    take = await uploaded(ada)
    analysis = await queued(ada, take)
    paths = [
        ("GET", "/v1/recordings/{}", take, ids.new("rec")),
        ("POST", "/v1/recordings/{}/analyses", take, ids.new("rec")),
        ("GET", "/v1/analyses/{}", analysis, ids.new("ana")),
        ("POST", "/v1/analyses/{}/cancel", analysis, ids.new("ana")),
        ("GET", "/v1/analyses/{}/events", analysis, ids.new("ana")),
    ]

    for method, path, existing, absent in paths:
        theirs = await bob.request(method, path.format(existing))
        nobodys = await bob.request(method, path.format(absent))
        assert theirs.status_code == nobodys.status_code == 404
        same = {"type", "title", "status", "detail", "code", "errors"}
        assert {k: theirs.json()[k] for k in same} == {k: nobodys.json()[k] for k in same}
    assert (await bob.get("/v1/recordings")).json()["items"] == []
    assert (await ada.get(f"/v1/analyses/{analysis}")).json()["state"] == "queued"


async def test_lists_come_in_pages_newest_first(ada: Client) -> None:
    takes = [await uploaded(ada, name=f"{n}.wav") for n in range(5)]

    seen, cursor = [], None
    for _ in range(3):
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await ada.get("/v1/recordings", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen == takes[::-1]
    assert cursor is None


async def test_a_forged_or_foreign_cursor_is_refused(ada: Client, bob: Client) -> None:
    for _ in range(3):
        await uploaded(ada)
    foreign = (await ada.get("/v1/recordings?limit=1")).json()["next_cursor"]

    for cursor in (foreign, "x", "????", "cmVjXzEyMw", "é", "\0"):
        response = await bob.get("/v1/recordings", params={"cursor": cursor})
        assert (response.status_code, response.json()["code"]) == (400, "bad_cursor")
    for limit in ("-1", "0", "1000000000", "x", "9" * 5000):
        assert (await ada.get("/v1/recordings", params={"limit": limit})).status_code == 422
