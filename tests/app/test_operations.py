"""What operators and other programs see: health, numbers, the API's document, its tables."""

import asyncio
import re

import httpx2
from sqlalchemy import text

from app import database
from app.errors import DatabaseDown
from app.permissions import PUBLIC
from app.services import Services
from app.settings import Settings
from tests.app.test_flow import TAKE, queued, uploaded, work
from tests.fakes import FakeAnalyzer

Client = httpx2.AsyncClient


async def test_ready_says_what_is_missing(ada: Client, analyzer: FakeAnalyzer) -> None:
    assert (await ada.get("/readyz")).json() == {
        "status": "ready",
        "dependencies": dict.fromkeys(("database", "redis", "object_store", "analyzer"), "ok"),
        "missing": {},
    }

    analyzer.unavailable = {"transcript": "no checkpoint"}

    response = await ada.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["missing"] == {"transcript": "no checkpoint"}


async def test_without_an_analyzer_work_is_still_accepted(
    ada: Client, analyzer: FakeAnalyzer
) -> None:
    analyzer.unavailable = None

    response = await ada.get("/readyz")

    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["dependencies"]["analyzer"] == "No model can be reached."


async def test_metrics_count_requests_by_route_and_analyses_by_state(
    ada: Client, platform: Services
) -> None:
    take = await uploaded(ada)
    await queued(ada, take)
    await work(platform)
    await queued(ada, take)
    await ada.get("/v1/recordings/rec_nothing")
    await ada.get("/nowhere/at/all")
    await ada.post("/v1/analyze", files={"file": ("a.wav", TAKE)})

    numbers = (await ada.get("/metrics")).text

    assert 'route="/v1/recordings/{recording_id}",status="404"} 1.0' in numbers
    assert 'route="unmatched",status="404"} 1.0' in numbers
    assert 'vocality_analyses{state="done"} 1.0' in numbers
    assert 'vocality_analyses{state="queued"} 1.0' in numbers
    assert 'vocality_family_seconds_count{family="pitch"} 2.0' in numbers
    assert "rec_nothing" not in numbers


async def test_the_document_names_every_operation_and_its_failures(ada: Client) -> None:
    document = (await ada.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    operations = [
        operation
        for path, methods in document["paths"].items()
        if path.startswith("/v1")
        for operation in methods.values()
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) >= 8
    for operation in operations:
        failures = [status for status in operation["responses"] if status >= "400"]
        guarded = operation["operationId"] not in PUBLIC
        assert ({"401", "503"} if guarded else {"503"}) <= set(failures)
        for status in failures:
            [media_type] = operation["responses"][status]["content"]
            assert media_type == "application/problem+json"
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= set(document["components"]["schemas"])


async def test_a_deadlock_and_an_exhausted_pool_mean_come_back_later(servers: Settings) -> None:
    engine = database.engine(str(servers.database_url), pool_size=1, pool_timeout=0.1)

    async def lock(first: int, second: int) -> None:
        async with database.outages(), engine.begin() as connection:
            for number in (first, second):
                query = text("SELECT pg_advisory_xact_lock(:n)")
                await connection.execute(query, {"n": number})
                await asyncio.sleep(0.2)

    outcomes = await asyncio.gather(lock(1, 2), lock(2, 1), lock(3, 4), return_exceptions=True)

    assert sum(isinstance(outcome, DatabaseDown) for outcome in outcomes) == 2
    assert outcomes.count(None) == 1
    await lock(1, 2)
    await engine.dispose()
