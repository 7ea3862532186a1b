"""Permissions: who may do what, as one table. A route without a line here does not start."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from app.errors import Forbidden
from app.security import Role, User


class Permission(StrEnum):
    """What a route asks for; also the scopes that an API key can be given."""

    account = "account"  # how one signs in, keys, privacy, the end of it: never by a key
    profile_read = "profile:read"
    profile_write = "profile:write"
    analyze = "analyze"  # measure a take without keeping it
    recordings_read = "recordings:read"
    recordings_write = "recordings:write"
    coaching = "coaching"  # invite singers, see what those who accepted share
    models_read = "models:read"
    models_operate = "models:operate"  # rollouts, retraining, reanalysis
    audit_read = "audit:read"
    users_manage = "users:manage"


P = Permission
SINGER = frozenset(
    {
        P.account,
        P.profile_read,
        P.profile_write,
        P.analyze,
        P.recordings_read,
        P.recordings_write,
    }
)

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.singer: SINGER,
    Role.coach: SINGER | {P.coaching},
    Role.researcher: SINGER | {P.models_read, P.models_operate},
    Role.admin: frozenset(Permission),
}

SCOPES = frozenset(Permission) - {P.account}  # what an API key can be given

# Operations that ask for nothing, each for a reason.
PUBLIC: Mapping[str, str] = {
    "get_health": "probes have no account",
    "get_readiness": "probes have no account",
    "get_metrics": "scraped inside the house; the proxy keeps it there",
    "openapi": "what there is, is no secret",
    "swagger_ui_html": "a page over openapi",
    "swagger_ui_redirect": "a page over openapi",
    "redoc_html": "a page over openapi",
    "get_jwks": "public keys are public",
    "register": "they have no account yet",
    "verify_email": "the token of the letter is the proof",
    "sign_in": "the password is the proof",
    "refresh_tokens": "the refresh token is the proof",
    "forgot_password": "they cannot sign in",
    "reset_password": "the token of the letter is the proof",
    "open_link": "a page that asks for the token of a letter",
    "confirm_email": "the token of the letter is the proof",
    "complete_mfa": "the token of the first step and the second factor are the proof",
    "start_mfa_passkey": "the token of the first step is the proof",
    "start_passkey_sign_in": "a challenge is worth nothing without a passkey",
    "sign_in_by_passkey": "the passkey is the proof",
    "list_providers": "who has no account yet chooses among them",
    "start_outside_sign_in": "it only leads away",
    "finish_outside_sign_in": "the provider's code and this browser's cookie are the proof",
    "exchange_code": "the code and the secret behind it are the proof",
    "get_takeout": "a download link: the token in it is the proof, and lives for minutes",
    "get_deletion_receipt": "its holder has no account any more, and it names nobody",
}


def require(user: User, permission: Permission) -> None:
    """Raises Forbidden."""
    if permission not in granted(user):
        raise Forbidden(f"This needs the permission {permission}.")


def require_to_give(user: User, given: Iterable[Permission]) -> None:
    """Nobody gives what they may not do themselves: to manage users is not to be all of them.

    Raises Forbidden.
    """
    if beyond := sorted(set(given) - granted(user)):
        raise Forbidden(f"You may not do this yourself: {', '.join(beyond)}.", code="beyond_you")


def granted(user: User) -> frozenset[Permission]:
    """What this user may, within the scopes of the key that was shown, if it was a key."""
    found = of(user.roles)
    return found if user.scopes is None else found & SCOPES & user.scopes


def of(roles: Iterable[Role]) -> frozenset[Permission]:
    return frozenset[Permission]().union(*(GRANTS[role] for role in roles))
