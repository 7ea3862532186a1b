"""What ships is registered once, and database and registry come to agree. Real servers."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from sqlalchemy import select

from app.services import Services
from app.tables import ModelVersion, Rollout, RolloutEvent
from deployments import registering
from models import registry, shipped
from models.registry import Aliases, RegistryUnavailable
from models.results import Family, schema_digest
from models.shipped import Shipped

if TYPE_CHECKING:
    from mlflow import MlflowClient

FAMILIES: tuple[Family, ...] = ("pitch", "clarity", "timbre")  # both kinds
Release = dict[Family, Shipped]


@pytest.fixture
def release(registry_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """A release of small weights that no other test has registered."""
    whole = shipped.everything()
    found = {family: _small(whole[family], tmp_path, tmp_path.name) for family in FAMILIES}
    monkeypatch.setattr(shipped, "everything", lambda: found)
    return found


def _small(one: Shipped, folder: Path, content: str) -> Shipped:
    path = folder / f"{one.family} {content}.safetensors"
    path.write_text(f"{folder} {one.family} {content}")
    return replace(one, files=(path,), sha256=sha256(path.read_bytes()).hexdigest())


async def start(platform: Services) -> dict[Family, str]:
    async with platform.transaction() as session:
        return await registering.shipped(session, frozenset(), {"pitch": "analyzers"})


async def rollout(platform: Services, family: Family) -> Rollout:
    async with platform.transaction() as session:
        return cast(Rollout, await session.get(Rollout, family))


async def versions(platform: Services, family: Family) -> dict[str, ModelVersion]:
    async with platform.transaction() as session:
        rows = await session.scalars(select(ModelVersion).where(ModelVersion.family == family))
        return {row.version: row for row in rows}


async def sync(platform: Services) -> None:
    await registering.push_versions(platform.sessions)
    await registering.pull_versions(platform.sessions)


def publish(family: Family, folder: Path, content: str, gate: str = "passed") -> str:
    """As a retraining does."""
    one = _small(shipped.everything()[family], folder, content)
    return registry.register(
        family, one.files[0], sha256=one.sha256, licence="MIT", gate=gate, gate_reason="because",
        schema_digest=schema_digest(family), memory_bytes=7, metrics={"rpa": 0.9}, profile={},
        card="# retrained", run_id=None, code_digest="c", data_digest="d",
    )  # fmt: skip


async def test_what_ships_serves_before_the_registry_is_there(
    platform: Services, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    labels, again = await start(platform), await start(platform)

    assert labels == again == dict.fromkeys(FAMILIES, "1")
    [pitch] = (await versions(platform, "pitch")).values()
    assert (pitch.sha256, pitch.gate, pitch.registered) == (
        release["pitch"].sha256,
        "shipped",
        False,
    )
    assert pitch.card.startswith("# pitch-1")
    row = await rollout(platform, "pitch")
    assert row.route["hosts"] == {"1": "analyzers"}
    assert (await rollout(platform, "timbre")).route["hosts"] == {"1": "timbre--v1"}
    for call in (
        registering.push_versions(platform.sessions),
        registering.pull_versions(platform.sessions),
        registering.push_wish(row),
        registering.read_aliases(),
    ):
        with pytest.raises(RegistryUnavailable, match="cannot be reached"):
            await call


async def test_what_ships_is_registered_once_and_its_champion_is_an_alias(
    platform: Services, release: Release
) -> None:
    await start(platform)

    await sync(platform)
    numbers = {family: (await rollout(platform, family)).champion for family in FAMILIES}
    await sync(platform)

    assert await start(platform) == numbers
    for family, number in numbers.items():
        kept = (await versions(platform, family))[number]
        assert kept.registered
        held = registry.read(family, number).facts
        assert (held.sha256, held.gate) == (release[family].sha256, "shipped")
        assert held.schema_digest == schema_digest(family)
        digests = [e.facts.sha256 for e in registry.versions() if e.family == family]
        assert digests.count(held.sha256) == 1
    await registering.push_wish(await rollout(platform, "pitch"))
    assert (await registering.read_aliases())["pitch"] == Aliases(champion=numbers["pitch"])


async def test_a_version_whose_number_the_registry_has_given_takes_another_and_answers_on(
    platform: Services, release: Release, tmp_path: Path
) -> None:
    taken = publish("pitch", tmp_path, "somebody else's")
    await start(platform)
    async with platform.transaction() as session:  # as far as a database can know
        row = cast(Rollout, await session.get(Rollout, "pitch"))
        own = cast(ModelVersion, await session.get(ModelVersion, ("pitch", "1")))
        own.version, row.champion = taken, taken
        row.route = {**row.route, "champion": taken, "hosts": {taken: "analyzers"}}

    await registering.pull_versions(platform.sessions)
    between = await rollout(platform, "pitch")
    await sync(platform)

    after = await rollout(platform, "pitch")
    assert between.champion != taken
    assert between.route["hosts"] == {between.champion: "analyzers"}
    assert after.route == {
        **between.route,
        "champion": after.champion,
        "hosts": {after.champion: "analyzers"},
    }
    kept = await versions(platform, "pitch")
    assert kept[after.champion].sha256 == release["pitch"].sha256
    assert kept[taken].metrics == {"rpa": 0.9}
    async with platform.transaction() as session:
        told = await session.scalars(select(RolloutEvent).where(RolloutEvent.family == "pitch"))
        assert {event.action for event in told} == {"renumber"}


async def test_what_somebody_does_in_the_registry_is_seen(
    platform: Services, release: Release, tmp_path: Path
) -> None:
    await start(platform)
    await sync(platform)
    row = await rollout(platform, "pitch")
    await registering.push_wish(row)
    good = publish("pitch", tmp_path, "good")
    bad = publish("pitch", tmp_path, "bad", gate="failed")

    _client().set_model_version_tag("pitch", good, "drill.fault", "crash")
    _client().set_registered_model_alias("pitch", "challenger", good)
    _client().set_model_version_tag("pitch", good, "rollout.percent", "25")
    await registering.pull_versions(platform.sessions)

    kept = await versions(platform, "pitch")
    assert (kept[good].gate, kept[bad].gate, kept[bad].gate_reason) == (
        "passed",
        "failed",
        "because",
    )
    assert kept[good].tags == {"drill.fault": "crash"}
    assert (await registering.read_aliases())["pitch"] == Aliases(
        champion=row.champion, challenger=good, percent=25
    )
    _client().delete_model_version_tag("pitch", good, "drill.fault")
    await registering.pull_versions(platform.sessions)
    assert (await versions(platform, "pitch"))[good].tags == {}


async def test_a_new_release_replaces_what_the_old_one_shipped_and_nothing_that_was_trained_here(
    platform: Services, release: Release, tmp_path: Path
) -> None:
    before = await start(platform)
    trained = publish("clarity", tmp_path, "trained")
    await sync(platform)
    async with platform.transaction() as session:
        row = cast(Rollout, await session.get(Rollout, "clarity"))
        row.champion, row.route = (
            trained,
            {**row.route, "champion": trained, "hosts": {trained: "c"}},
        )

    older = await rollout(platform, "timbre")
    for family in FAMILIES[1:]:
        release[family] = _small(release[family], tmp_path, "of the next release")
    after = await start(platform)

    assert after["clarity"] not in (before["clarity"], trained)
    assert (await rollout(platform, "clarity")).champion == trained
    timbre = await rollout(platform, "timbre")
    assert timbre.champion == after["timbre"] != older.champion
    assert timbre.route["hosts"][timbre.champion] == f"timbre--v{timbre.champion}"
    assert timbre.generation == older.generation + 1
    await sync(platform)
    assert (await rollout(platform, "timbre")).champion in await versions(platform, "timbre")


async def test_a_registry_that_was_made_anew_gets_the_versions_again(
    platform: Services, release: Release
) -> None:
    await start(platform)
    await sync(platform)
    number = (await rollout(platform, "timbre")).champion
    _client().delete_model_version("timbre", number)

    await registering.pull_versions(platform.sessions)
    await sync(platform)

    again = (await rollout(platform, "timbre")).champion
    assert again != number
    assert registry.read("timbre", again).facts.sha256 == release["timbre"].sha256


async def test_the_checkpoint_that_an_operator_configured_has_a_rollout_and_stays_his(
    platform: Services, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        registering,
        "settings",
        lambda: platform.settings.model_copy(update={"transcript_model": "tiny"}),
    )

    labels = await start(platform)
    await sync(platform)

    assert "transcript" not in labels
    assert (await rollout(platform, "transcript")).champion == "configured"
    assert (await versions(platform, "transcript"))["configured"].tags == {"checkpoint": "tiny"}
    await registering.push_wish(await rollout(platform, "transcript"))
    assert (await registering.read_aliases())["transcript"] == Aliases(champion="configured")


def _client() -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient()
