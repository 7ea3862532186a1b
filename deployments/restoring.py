"""Restoring: the profile's applications, and those of the versions that the database remembers."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

from app import database
from app.rollouts.routing import Route
from app.settings import Settings
from app.tables import ModelVersion, Rollout
from deployments import profiles, registering
from deployments.api import PlatformSpec, fixed
from deployments.fleet import spec_of
from deployments.profiles import Application, Profile
from deployments.reconciler import Plan, Wish
from models.results import Family

Versions = Mapping[tuple[str, str], ModelVersion]


async def restored(
    profile: Profile, wanted: Sequence[Application], settings: Settings
) -> list[Application]:
    """The same, with hosts for every version that singers were answered by before.

    Needs no registry: a version that is not on this machine says so itself.
    """
    engine = database.engine(str(settings.database_url), pool_size=1)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    try:
        async with database.outages(), sessions.begin() as session:
            labels = await registering.shipped(session, settings.disabled_families, _shared(wanted))
            rows = list(await session.scalars(select(Rollout)))
            kept = list(await session.scalars(select(ModelVersion)))
    finally:
        await engine.dispose()
    versions = {(version.family, version.version): version for version in kept}
    digests = {f: versions[f, label].sha256 for f, label in labels.items()}
    named = [profiles.labelled(application, labels, digests) for application in wanted]
    return _hosts(profile, named, rows, versions, settings) + named


def _shared(wanted: Sequence[Application]) -> dict[Family, str]:
    """Each family's host in the profile, where that is not one version's own."""
    found = fixed(_routes(wanted))
    return {family: host for family, hosts in found.items() for host in hosts.values()}


def _routes(wanted: Sequence[Application]) -> Mapping[Family, Route]:
    [door] = [application for application in wanted if application.name == "platform"]
    return PlatformSpec.model_validate(door.args).routes


def _hosts(
    profile: Profile,
    labelled: Sequence[Application],
    rows: Sequence[Rollout],
    versions: Versions,
    settings: Settings,
) -> list[Application]:
    routes = _routes(labelled)
    plan, templates = Plan(fixed(routes)), profiles.templates(profile, routes)
    there = {application.name for application in labelled}
    found = dict[str, Application]()
    for wish in (Wish.of(row, 0.0) for row in rows if row.family in routes):
        for version in wish.needed:
            name, kept = plan.host(wish.family, version), versions.get((wish.family, version))
            if name not in there:
                template = templates[wish.family]
                spec = spec_of(template, wish.family, version, kept, True, settings.drills)
                found[name] = profiles.of_host(name, spec)
    return list(found.values())
