"""The difference report: planted differences come out as numbers, and as a page."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI

from app import ids
from app.jobs import comparing, page, service, storing
from app.jobs.report import Report
from app.security import User
from app.services import Services
from app.tables import AnalysisRow, Job, JobState, Recording
from models.engine import Options
from models.results import Absence, Measure, Pitch, Reason, Version
from tests.app.conftest import client_of
from tests.app.test_jobs import measured, plan, recording, version
from tests.fakes import analysis

ACTOR = User("usr_rosa")
OLD = [100.0, 110.0, 120.0, 130.0, 140.0]
PLANTED = [10.0, 10.0, 10.0, 10.0, -30.0]  # what the new version says more


def analyzed(
    take: Recording, median_hz: float | None, sha256: str = "pitch-1", **columns: object
) -> AnalysisRow:
    """A finished analysis by version 1, unless the digest is another's."""
    stated = Version(name="pitch", version=sha256[-1], sha256=sha256)
    result = (
        Pitch(version=stated, absent=Absence(reason=Reason.silence))
        if median_hz is None
        else Pitch(version=stated, measures={"f0_median_hz": Measure(value=median_hz, unit="Hz")})
    )
    whole = analysis().model_copy(update={"pitch": result, "versions": {"pitch": stated}})
    kept = {"options": Options().model_dump(mode="json"), "finished_at": datetime.now(UTC)}
    return AnalysisRow(
        id=ids.new("ana"), recording_id=take.id, owner_id=take.owner_id, families=["pitch"],
        state="done", result=whole.model_dump(mode="json"), **(kept | columns),
    )  # fmt: skip


@pytest.fixture
async def takes(platform: Services) -> list[Recording]:
    made = sorted((recording() for _ in range(8)), key=lambda take: take.id)
    async with platform.transaction() as session:
        session.add_all([*made, version("pitch", "1"), version("pitch", "2")])
    return made


async def job(platform: Services) -> str:
    job_id = ids.new("job")
    async with platform.transaction() as session:
        asked = plan().model_dump(mode="json")
        session.add(Job(id=job_id, kind="reanalysis", owner_id=ACTOR.id, asked=asked))
    return job_id


async def reported(platform: Services, takes: list[Recording]) -> Report:
    """Five takes that both versions measured, one newly measured, one lost, one failed."""
    made = await job(platform)
    async with platform.transaction() as session:
        session.add_all(analyzed(take, hz) for take, hz in zip(takes, OLD, strict=False))
        session.add_all([analyzed(takes[5], None), analyzed(takes[6], 150.0)])
        new = [old + more for old, more in zip(OLD, PLANTED, strict=True)]
        rows = [measured(take.id, hz) for take, hz in zip(takes, new, strict=False)]
        rows.append(measured(takes[5].id, 160.0))
        silent = Pitch(absent=Absence(reason=Reason.silence))
        rows.append(storing.of_result(takes[6].id, "pitch", silent))
        rows += storing.of_failure(takes[7].id, ["pitch"], "damaged_audio: <b>no</b>")
        await storing.store(session, plan(), made, rows)
    return await comparing.compare(platform.transaction, plan(), made)


async def test_planted_differences_come_out_as_numbers(
    platform: Services, takes: list[Recording]
) -> None:
    report = await reported(platform, takes)

    [family] = report.families
    [measure] = family.measures
    assert (report.recordings, report.results, report.failed) == (8, 8, 1)
    assert (family.compared_with, family.first) == ({"1": 7}, 1)
    assert (family.newly_measured, family.no_longer_measured) == (1, 1)
    assert family.lost == [f"/v1/recordings/{takes[6].id}"]
    assert (measure.measure, measure.unit, measure.changed) == ("f0_median_hz", "Hz", 5)
    assert measure.before
    assert measure.change
    assert (measure.before.count, measure.before.mean, measure.after.mean) == (5, 120.0, 122.0)
    assert (measure.change.mean, measure.change.median) == (2.0, 10.0)
    assert measure.effect == pytest.approx(2.0 / 14.1421, rel=1e-3)
    assert (sum(measure.histogram.before), sum(measure.histogram.after)) == (5, 5)
    assert measure.movers[0].recording_id == takes[4].id
    assert measure.movers[0].change == -30.0
    assert report.biggest_movers[0].recording == f"/v1/recordings/{takes[4].id}"
    assert [failure.recording_id for failure in report.failures] == [takes[7].id]


async def test_old_is_the_latest_of_another_version_with_the_same_options(
    platform: Services, takes: list[Recording]
) -> None:
    made, take, now = await job(platform), takes[0], datetime.now(UTC)
    async with platform.transaction() as session:
        session.add_all(
            [
                analyzed(take, 100.0, finished_at=now - timedelta(days=2)),
                analyzed(take, 105.0, finished_at=now - timedelta(days=1)),
                analyzed(take, 180.0, "pitch-2"),  # the same version as ours
                analyzed(take, 190.0, options=Options(a4_hz=442).model_dump(mode="json")),
            ]
        )
        await storing.store(session, plan(), made, [measured(take.id, 180.0)])

    report = await comparing.compare(platform.transaction, plan(), made)

    assert report.families[0].measures[0].movers[0].before == 105.0


async def test_an_earlier_reanalysis_is_compared_with_too(
    platform: Services, takes: list[Recording]
) -> None:
    first, second, take = await job(platform), await job(platform), takes[0]
    async with platform.transaction() as session:
        await storing.store(session, plan("1", "pitch-1"), first, [measured(take.id, 100.0)])
        await storing.store(session, plan(), second, [measured(take.id, 101.0)])

    report = await comparing.compare(platform.transaction, plan(), second)

    assert report.families[0].compared_with == {"1": 1}
    assert report.families[0].measures[0].movers[0].change == 1.0


async def test_the_page_shows_it_all_and_runs_nothing(
    platform: Services, takes: list[Recording]
) -> None:
    shown = page.html(await reported(platform, takes))

    assert "f0_median_hz" in shown
    assert f'href="/v1/recordings/{takes[4].id}"' in shown
    assert "&lt;b&gt;no&lt;/b&gt;" in shown
    assert not re.search(r"<script|<link|<img|https?://|url\(", shown)


async def test_a_report_is_read_once_the_job_is_done(
    door: FastAPI, platform: Services, takes: list[Recording]
) -> None:
    report = await reported(platform, takes)
    text = report.model_dump_json()

    async def encoded() -> AsyncIterator[bytes]:
        yield text.encode()

    await platform.storage.put(service.report_key(report.job_id), encoded())
    path = f"/v1/jobs/{report.job_id}/report"
    async with client_of(door, ACTOR.id) as client:
        client.headers["X-Roles"] = "researcher"
        early = await client.get(path)
        async with platform.transaction() as session:
            (await service.get(session, report.job_id)).state = JobState.done

        assert (early.status_code, early.json()["code"]) == (409, "not_finished")
        assert (await client.get(path)).text == text
        assert (await client.get(f"{path}.html")).text.startswith("<!doctype html>")
