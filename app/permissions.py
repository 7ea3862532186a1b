"""Permissions: who may do what, as one table. A route without a line here does not start."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from app.security import Role


class Permission(StrEnum):
    """What a route asks for; also the scopes that an API key can be given."""

    account = "account"  # one's own profile, settings, devices, factors, keys, privacy
    analyze = "analyze"  # measure a take without keeping it
    recordings_read = "recordings:read"
    recordings_write = "recordings:write"
    coaching = "coaching"  # invite singers, see what those who accepted share
    models_read = "models:read"
    models_operate = "models:operate"  # rollouts, retraining, reanalysis
    audit_read = "audit:read"
    users_manage = "users:manage"


P = Permission
SINGER = {P.account, P.analyze, P.recordings_read, P.recordings_write}

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.singer: frozenset(SINGER),
    Role.coach: frozenset({*SINGER, P.coaching}),
    Role.researcher: frozenset({*SINGER, P.models_read, P.models_operate}),
    Role.admin: frozenset(Permission),
}

# Operations that ask for nothing, each for a reason.
PUBLIC: Mapping[str, str] = {
    "get_health": "probes have no account",
    "get_readiness": "probes have no account",
    "get_metrics": "scraped inside the house; the proxy keeps it there",
}


def granted(roles: Iterable[Role], scopes: frozenset[Permission] | None) -> frozenset[Permission]:
    """What these roles may, within the scopes of the key that was shown, if it was a key."""
    found = frozenset().union(*(GRANTS[role] for role in roles))
    return found if scopes is None else found & scopes
