"""Signing in elsewhere, against a real OpenID Connect provider: what does not fit is refused."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from fastapi import FastAPI
from oidc_provider_mock import run_server_in_thread

from app.main import create_app
from app.services import Services
from app.users.identity import identify
from app.users.outside.configuration import OidcProvider
from app.users.outside.providers import Metadata
from tests.app import people
from tests.app.conftest import Client, client_with
from tests.app.people import EMAIL, PASSWORD, bearer
from tests.app.test_factors import code, enrolled, second_step
from tests.app.test_problems import check_problem

BACK = "https://studio.example.org/back?from=door"
SECRET = "a-secret-that-only-the-app-has-" + "x" * 20
Asked = dict[str, str]

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")  # the mock's


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with run_server_in_thread(require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


def served(platform: Services, *, issuer: str, **more: Any) -> FastAPI:  # noqa: ANN401
    """The real door, where one can sign in at this provider instead."""
    there = OidcProvider(issuer=issuer, client_id="vocality", client_secret="s" * 32, **more)
    other = OidcProvider(issuer=issuer, client_id="other")
    update = {"oidc_providers": {"mock": there, "other": other}, "return_addresses": (BACK,)}
    settings = platform.settings.model_copy(update=update)
    return create_app(replace(platform, identity=identify, settings=settings))


@dataclass
class Browser:
    """A person's browser between the door, the provider and an app."""

    door: Client
    secret: str = SECRET

    async def start(self, **asked: str) -> httpx2.Response:
        wanted = {
            "return_to": BACK,
            "code_challenge": create_s256_code_challenge(self.secret),
            "code_challenge_method": "S256",
        }
        return await self.door.get("/v1/auth/oidc/mock/start", params=wanted | asked)

    async def there(self, who: str, **changed: str) -> Asked:
        """Sign in at the provider; what it sends back. `changed`: on the way there."""
        async with httpx2.AsyncClient() as outside:
            answer = await outside.post(await self.out(**changed), data={"sub": who})
        return came_back(answer)

    async def out(self, **changed: str) -> str:
        """Where the door sends the browser."""
        begun = await self.start()
        assert begun.status_code == 303, begun.text
        address = urlsplit(begun.headers["location"])
        asked = dict(parse_qsl(address.query)) | changed
        return address._replace(query=urlencode({k: v for k, v in asked.items() if v})).geturl()

    async def back(self, told: Asked, provider: str = "mock") -> httpx2.Response:
        return await self.door.get(f"/v1/auth/oidc/{provider}/callback", params=told)

    async def code(self, who: str) -> str:
        """What the app gets in the end."""
        answer = await self.back(await self.there(who))
        assert answer.status_code == 303, answer.text
        return code_in(answer)

    async def exchange(self, code: str, **changed: str) -> httpx2.Response:
        body = {"code": code, "code_verifier": self.secret} | changed
        return await self.door.post("/v1/auth/exchange", json=body)

    async def sign_in(self, who: str) -> httpx2.Response:
        return await self.exchange(await self.code(who))


def came_back(answer: httpx2.Response) -> Asked:
    onward = urlsplit(answer.headers["location"])
    assert onward.path == "/v1/auth/oidc/mock/callback"
    return dict(parse_qsl(onward.query))


def code_in(answer: httpx2.Response) -> str:
    address = answer.headers["location"]
    assert address.startswith(f"{BACK}&")
    return parse_qs(urlsplit(address).query)["code"][0]


async def claims(issuer: str, who: str, **told: object) -> None:
    async with httpx2.AsyncClient() as outside:
        answer = await outside.put(f"{issuer}/users/{who}", json=told)
    assert answer.status_code == 204


@pytest.fixture
async def browser(platform: Services, issuer: str) -> AsyncIterator[Browser]:
    async with client_with(served(platform, issuer=issuer), None) as client:
        yield Browser(client)


async def test_somebody_signs_in_elsewhere_and_is_the_same_each_time(
    browser: Browser, issuer: str
) -> None:
    await claims(issuer, "kim", email="kim@example.org", email_verified=True)

    first, again = await browser.sign_in("kim"), await browser.sign_in("kim")

    assert first.status_code == again.status_code == 200
    mine = await browser.door.get("/v1/me/sessions", headers=bearer(again.json()))
    assert [row["factors"] for row in mine.json()["items"]] == [["oidc"], ["oidc"]]
    known = await browser.door.get("/v1/me/identities", headers=bearer(first.json()))
    assert [(row["issuer"], row["email"]) for row in known.json()["items"]] == [
        (issuer, "kim@example.org")
    ]


async def test_out_goes_a_challenge_and_no_secret(browser: Browser) -> None:
    begun = await browser.start()

    asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
    cookie = begun.headers["set-cookie"]
    assert asked["code_challenge_method"] == "S256"
    assert asked["code_challenge"] != create_s256_code_challenge(SECRET)  # one of our own
    assert asked["redirect_uri"] == "http://127.0.0.1:8000/v1/auth/oidc/mock/callback"
    assert {"state", "nonce"} <= asked.keys()
    assert re.search(
        r"^oidc_\w{16}=.+HttpOnly; Max-Age=600; Path=/v1/auth/oidc; SameSite=lax$", cookie
    )
    assert cookie.split("=")[1].split(";")[0] not in begun.headers["location"]


async def test_no_token_is_ever_in_an_address(browser: Browser) -> None:
    answer = await browser.back(await browser.there("kim"))

    assert set(parse_qs(urlsplit(answer.headers["location"]).query)) == {"from", "code"}
    assert answer.content == b""


@pytest.mark.parametrize(
    "address",
    [
        "https://studio.example.org/back",
        "https://studio.example.org/back?from=door/more",
        "https://studio.example.org/back?from=door#x",
        "https://studio.example.org:8443/back?from=door",
        "https://user@studio.example.org/back?from=door",
        "https://studio.example.org@evil.example/back?from=door",
        "https://studio.example.org.evil.example/back?from=door",
        "https://studio.exampIe.org/back?from=door",
        "https://studio.example.org/x/../back?from=door",
        "http://studio.example.org/back?from=door",
        "HTTPS://studio.example.org/back?from=door",
        "javascript:alert(1)",
        "//evil.example",
        "",
    ],
)
async def test_only_a_listed_address_is_returned_to(browser: Browser, address: str) -> None:
    answer = await browser.start(return_to=address)

    assert check_problem(answer, 400)["code"] == "return_address_refused"
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "asked",
    [
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ""},
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"scope": "admin"},
    ],
)
async def test_without_a_sound_challenge_nothing_begins(browser: Browser, asked: Asked) -> None:
    check_problem(await browser.start(**asked), 422)


async def test_a_state_is_good_once_in_its_browser_for_its_provider(
    browser: Browser, platform: Services, issuer: str
) -> None:
    told = await browser.there("kim")
    cookies = dict(browser.door.cookies)
    async with client_with(served(platform, issuer=issuer), None) as client:
        elsewhere = await Browser(client).back(told)
        client.cookies.update({name: "guessed" for name in cookies})
        guessed = await Browser(client).back(told)
    invented = await browser.back(told | {"state": "x" * 43})
    mixed = await browser.back(told, provider="other")
    unknown = await browser.back(told, provider="nobody")
    good = await browser.back(told)
    browser.door.cookies.update(cookies)
    again = await browser.back(told)

    for refused in (elsewhere, guessed, invented, mixed, again):
        check_problem(refused, 401)
        assert "location" not in refused.headers
    assert unknown.status_code in (401, 404)
    assert good.status_code == 303


async def test_another_nonce_is_refused(browser: Browser) -> None:
    told = await browser.there("kim", nonce="of-another-sign-in")

    assert check_problem(await browser.back(told), 401)["code"] == "oidc_refused"


async def test_a_code_of_another_issuer_is_refused(browser: Browser, issuer: str) -> None:
    for other in ("https://evil.example", f"{issuer}/", ""):
        told = await browser.there("kim")
        check_problem(await browser.back(told | {"iss": other}), 401)
    told = await browser.there("kim")
    assert (await browser.back(told | {"iss": issuer})).status_code == 303


async def test_an_invented_code_is_refused(browser: Browser) -> None:
    told = await browser.there("kim")

    check_problem(await browser.back(told | {"code": "invented"}), 401)


async def test_who_changes_their_mind_there_comes_back_without_a_code(browser: Browser) -> None:
    told = await browser.there("kim")

    answer = await browser.back({"state": told["state"], "error": "access_denied"})

    assert answer.headers["location"] == f"{BACK}&error=access_denied"


async def test_a_provider_that_names_itself_otherwise_is_not_used(
    platform: Services, issuer: str
) -> None:
    for wrong in (f"{issuer}/", "http://localhost:1"):
        async with client_with(served(platform, issuer=wrong), None) as client:
            answer = await Browser(client).start()
        assert check_problem(answer, 503)["code"] in ("oidc_unavailable", "issuer_unavailable")


def test_a_provider_out_there_sends_us_to_no_port_of_our_own() -> None:
    own = "http://127.0.0.1:8265/api/jobs"
    good = {
        name: "https://id.example.org/x"
        for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    }

    assert Metadata.model_validate(good).as_guarded_as("https://id.example.org")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        turned = Metadata.model_validate(good | {name: own})
        assert not turned.as_guarded_as("https://id.example.org")
        assert turned.as_guarded_as("http://localhost:9000")


async def test_a_code_used_twice_closes_what_it_opened(browser: Browser) -> None:
    code = await browser.code("kim")
    wrong = await browser.exchange(code, code_verifier="y" * 43)
    opened = (await browser.exchange(code)).json()
    assert (await people.refresh(browser.door, opened)).status_code == 200

    again = await browser.exchange(code)

    check_problem(wrong, 401)  # and it has not used up the code
    assert check_problem(again, 401)["code"] == "invalid_token"
    check_problem(await people.refresh(browser.door, opened), 401)


async def test_of_two_exchanges_at_once_one_opens(browser: Browser) -> None:
    code = await browser.code("kim")

    answers = await asyncio.gather(*(browser.exchange(code) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]


async def test_two_first_sign_ins_at_once_make_one_account(browser: Browser) -> None:
    codes = [await browser.code("twin") for _ in range(3)]

    answers = await asyncio.gather(*(browser.exchange(code) for code in codes))

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    mine = await browser.door.get("/v1/me/sessions", headers=bearer(answers[0].json()))
    assert len(mine.json()["items"]) == 3


async def whose(client: Client, answer: httpx2.Response) -> int:
    """How many devices this account has signed in."""
    assert answer.status_code == 200, answer.text
    mine = await client.get("/v1/me/sessions", headers=bearer(answer.json()))
    return len(mine.json()["items"])


@pytest.mark.parametrize("told", [{}, {"email_verified": False}, {"email_verified": "true"}])
async def test_an_unverified_address_opens_nobodys_account(
    platform: Services, issuer: str, told: dict[str, object]
) -> None:
    await people.account(platform)
    await claims(issuer, "mallory", email=EMAIL, **told)
    async with client_with(served(platform, issuer=issuer, links_email=True), None) as client:
        await people.signed_in(client)

        answer = await Browser(client).sign_in("mallory")

        assert await whose(client, answer) == 1  # an account of their own


async def test_a_verified_address_opens_its_account_only_of_a_trusted_provider(
    platform: Services, issuer: str
) -> None:
    await people.account(platform)
    await claims(issuer, "ada", email="Ada@Example.org", email_verified=True)
    async with client_with(served(platform, issuer=issuer), None) as client:
        refused = await Browser(client).sign_in("ada")
    async with client_with(served(platform, issuer=issuer, links_email=True), None) as client:
        await people.signed_in(client)
        linked = await Browser(client).sign_in("ada")
        devices = await whose(client, linked)

    assert check_problem(refused, 409)["code"] == "account_exists"
    assert devices == 2


async def test_an_account_is_linked_by_its_owner_and_unlinked_again(
    browser: Browser, platform: Services, issuer: str
) -> None:
    await people.account(platform)
    await claims(issuer, "ada", email=EMAIL, email_verified=True)
    shown = bearer(await people.signed_in(browser.door))
    body = {"code": await browser.code("ada"), "code_verifier": SECRET}
    identities = "/v1/me/identities"

    unproved = await browser.door.post(identities, json=body, headers=shown)
    linked = await browser.door.post(identities, json=body | {"password": PASSWORD}, headers=shown)
    opened = await browser.sign_in("ada")
    bob = bearer(await browser_of_bob(browser, platform))
    body["code"] = await browser.code("ada")
    taken = await browser.door.post(identities, json=body | {"password": PASSWORD}, headers=bob)
    removing = f"{identities}/{linked.json()['id']}/remove"
    removed = await browser.door.post(removing, json={"password": PASSWORD}, headers=shown)

    assert check_problem(unproved, 401)["code"] == "reauthentication_needed"
    assert linked.status_code == 201
    assert await whose(browser.door, opened) == 2
    assert check_problem(taken, 409)["code"] == "identity_taken"
    assert removed.status_code == 204
    told = [letter.subject for letter in await people.letters(platform)]
    assert told == ["Where you can sign in has changed"] * 2
    check_problem(await browser.sign_in("ada"), 409)


async def browser_of_bob(browser: Browser, platform: Services) -> people.Tokens:
    await people.account(platform, "bob@example.org")
    return await people.signed_in(browser.door, "bob@example.org")


async def test_the_only_way_in_is_not_taken_away(browser: Browser, issuer: str) -> None:
    opened = bearer((await browser.sign_in("kim")).json())
    known = (await browser.door.get("/v1/me/identities", headers=opened)).json()["items"]

    removing = f"/v1/me/identities/{known[0]['id']}/remove"
    answer = await browser.door.post(removing, json={}, headers=opened)

    assert check_problem(answer, 409)["code"] == "last_way_in"


async def test_the_second_factor_is_asked_for_after_a_sign_in_elsewhere(
    platform: Services, issuer: str
) -> None:
    await claims(issuer, "ada", email=EMAIL, email_verified=True)
    async with client_with(served(platform, issuer=issuer, links_email=True), None) as client:
        secret, _ = await enrolled(client, platform)

        answer = (await Browser(client).sign_in("ada")).json()
        opened = await second_step(client, answer["mfa_token"], code=code(secret, 1))

        mine = await client.get("/v1/me/sessions", headers=bearer(opened.json()))
        assert mine.json()["items"][0]["factors"] == ["oidc", "totp"]
