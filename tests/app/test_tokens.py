"""Access tokens: what is forged, borrowed or stale opens nothing (FAULTS 1 to 4)."""

import asyncio
import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, OKPKey
from sqlalchemy import update

from app.sealing import Seal
from app.services import Services
from app.settings import Settings
from app.tables import SigningKey
from app.users import keyring
from tests.app.conftest import Client, client_with
from tests.app.people import account, changed, link, opens, refresh, replica, sign_in, signed_in

Json = dict[str, Any]


async def signing_key(platform: Services) -> OKPKey:
    async with platform.transaction() as session:
        private = (await platform.keys.signing(session)).private
    assert private is not None
    return private


def read(token: str, key: OKPKey) -> jwt.Token:
    return jwt.decode(token, key, algorithms=["EdDSA"])


def packed(part: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


async def test_an_access_token_says_what_rfc_9068_asks_for(
    platform: Services, stranger: Client
) -> None:
    user_id = await account(platform)

    found = read((await signed_in(stranger))["access_token"], await signing_key(platform))

    assert found.header["typ"] == "at+jwt"
    assert found.header["alg"] == "EdDSA"
    assert {"iss", "aud", "sub", "client_id", "jti", "iat", "exp"} <= set(found.claims)
    assert found.claims["sub"] == user_id
    assert found.claims["exp"] - found.claims["iat"] == 600


async def test_forged_tokens_are_refused_and_nothing_is_fetched(
    platform: Services, real_door: FastAPI, stranger: Client
) -> None:
    await account(platform)
    good = (await signed_in(stranger))["access_token"]
    key = await signing_key(platform)
    header, claims = read(good, key).header, read(good, key).claims
    own = OKPKey.generate_key("Ed25519", auto_kid=True)
    public = json.dumps(key.as_dict(private=False), sort_keys=True)
    secret = OctKey.import_key(public.ljust(64))
    elsewhere = "http://127.0.0.1:9/keys"  # nobody answers: to fetch it would be an error

    def signed(more: Json, by: OKPKey = key) -> str:
        return jwt.encode({**header, **more}, claims, by, algorithms=["EdDSA"], default_type=None)

    forged = {
        "none": f"{packed({**header, 'alg': 'none'})}.{good.split('.')[1]}.",
        "none with its signature": f"{packed({**header, 'alg': 'none'})}.{good.split('.', 1)[1]}",
        "hmac by our public key": jwt.encode({**header, "alg": "HS256"}, claims, secret),
        "somebody's key": signed({}, own),
        "unknown kid": signed({"kid": own.kid}, own),
        "kid of a path": signed({"kid": "../../dev/null"}),
        "jku": signed({"jku": elsewhere}),
        "jwk": signed({"jwk": own.as_dict(private=False)}, own),
        "x5u": signed({"x5u": elsewhere}),
        "crit": packed({**header, "crit": ["exp"]}) + "." + good.split(".", 1)[1],
        "other claims": f"{good.split('.')[0]}.{packed({**claims, 'sub': 'usr_x'})}."
        + good.split(".")[2],
        "cut": good[:-4],
        "no json": "bm8.bm8.bm8",
        "a list": f"{packed([])}.{packed([])}.AA",  # type: ignore[arg-type]
        "deep": base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.AA",
        "not ascii": "ä.ö.ü".encode().decode("latin-1"),
    }
    answers = {name: await opens(real_door, token) for name, token in forged.items()}
    assert set(answers.values()) == {401}, answers
    assert await opens(real_door, good) == 200


@pytest.mark.parametrize(
    "spoil",
    [
        {"aud": "another-service"},
        {"iss": "https://elsewhere.example"},
        {"exp": None},
        {"exp": int(time.time()) - 60},
        {"exp": "never"},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"sub": 7},
        {"sub": None},
        {"jti": None},
        {"client_id": None},
        {"sid": None},
        {"epoch": 0},
    ],
    ids=str,
)
async def test_claims_that_are_wrong_or_missing_are_refused(
    platform: Services, real_door: FastAPI, stranger: Client, spoil: Json
) -> None:
    await account(platform)
    key = await signing_key(platform)
    good = read((await signed_in(stranger))["access_token"], key)
    claims = {name: value for name, value in {**good.claims, **spoil}.items() if value is not None}

    spoiled = jwt.encode(good.header, claims, key, algorithms=["EdDSA"])

    assert await opens(real_door, spoiled) == 401


async def test_no_other_token_of_ours_opens_what_an_access_token_opens(
    platform: Services, real_door: FastAPI, stranger: Client
) -> None:
    await account(platform)
    pair = await signed_in(stranger)
    key = await signing_key(platform)
    claims = read(pair["access_token"], key).claims
    await stranger.post("/v1/auth/password/forgot", json={"email": "ada@example.org"})

    others = [
        jwt.encode({"alg": "EdDSA", "typ": typ, "kid": key.kid}, claims, key, algorithms=["EdDSA"])
        for typ in ("JWT", "id+jwt", "deletion-receipt+jwt", "logout+jwt", "AT+JWT")
    ]
    others += [pair["refresh_token"], await link(platform)]

    assert {await opens(real_door, token) for token in others} == {401}


async def test_a_disabled_user_loses_access_within_five_seconds(
    platform: Services, stranger: Client
) -> None:
    user_id = await account(platform)
    pair = await signed_in(stranger)
    door = replica(platform, cache_s=0.1)
    assert await opens(door, pair) == 200

    await changed(platform, user_id, disabled_at=datetime.now(UTC))
    await asyncio.sleep(0.15)

    assert Settings().account_cache_s < 5
    assert await opens(door, pair) == 401
    assert (await refresh(stranger, pair)).status_code == 401
    assert (await sign_in(stranger)).json()["code"] == "account_disabled"


async def test_rotation_signs_nobody_out_and_the_old_key_lives_as_long_as_its_tokens(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    old = await signed_in(stranger)

    async with platform.transaction() as session:
        kid = await keyring.rotate(session, platform.seal)
    door = replica(platform)
    async with client_with(door, None) as client:
        new = await signed_in(client)
        jwks = (await client.get("/.well-known/jwks.json")).json()

    assert len(jwks["keys"]) == 2
    assert all("d" not in key for key in jwks["keys"])
    found = jwt.decode(new["access_token"], KeySet.import_key_set(jwks), algorithms=["EdDSA"])
    assert found.header["kid"] == kid
    assert await opens(door, old) == await opens(door, new) == 200

    long_ago = datetime.now(UTC) - timedelta(seconds=600 + keyring.FRESH_S + 1)
    async with platform.transaction() as session:
        retired = update(SigningKey).where(SigningKey.kid != kid, SigningKey.private == "")
        await session.execute(retired.values(retired_at=long_ago))
    assert await opens(replica(platform), old) == 401
    assert (await refresh(stranger, old)).status_code == 200


async def test_a_key_that_another_replica_made_is_soon_known(
    platform: Services, stranger: Client, real_door: FastAPI
) -> None:
    await account(platform)
    assert await opens(real_door, await signed_in(stranger)) == 200
    async with platform.transaction() as session:
        await keyring.rotate(session, platform.seal)
    async with client_with(replica(platform), None) as other:
        theirs = await signed_in(other)

    await asyncio.sleep(keyring.HURRY_S)

    assert await opens(real_door, theirs) == 200


async def test_with_another_secret_a_new_key_is_made_and_old_tokens_stand(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    old = await signed_in(stranger)

    moved = replace(platform, seal=Seal("another secret, of an operator who lost the first"))

    assert await opens(replica(moved), old) == 200
    async with client_with(replica(moved), None) as client:
        assert await opens(replica(platform), await signed_in(client)) == 200
