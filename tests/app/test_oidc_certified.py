"""The same against a certified provider (npm's oidc-provider), which insists on PKCE."""

import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
import pytest

from app.services import Services
from tests.app.conftest import client_with
from tests.app.people import bearer
from tests.app.test_oidc import Asked, Browser, came_back, code_in, served
from tests.app.test_problems import check_problem

PACKAGE = "oidc-provider@9"
CALLBACK = "http://127.0.0.1:8000/v1/auth/oidc/mock/callback"


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its issuer. Skips with a reason where there is no Node, or the package cannot be had."""
    folder = installed(tmp_path_factory.mktemp("provider"))
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    shutil.copy(Path(__file__).with_name("provider.mjs"), folder)
    command = ["node", "provider.mjs", str(port), CALLBACK]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "listening\n":
            pytest.skip("this Node cannot run oidc-provider")
        yield f"http://localhost:{port}"
        process.terminate()


def installed(folder: Path) -> Path:
    if not (shutil.which("node") and (npm := shutil.which("npm"))):
        pytest.skip("no Node here to run oidc-provider")
    command = [npm, "install", "--no-audit", "--no-fund", "--fetch-retries=0", PACKAGE]
    try:
        subprocess.run([*command, "--prefix", "."], cwd=folder, check=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("oidc-provider cannot be had from npm here")
    return folder


class Certified(Browser):
    async def there(self, who: str, **changed: str) -> Asked:
        """Through its pages: sign in, agree, and back."""
        async with httpx2.AsyncClient() as outside:
            answer = await outside.get(await self.out(**changed))
            for form in ({"prompt": "login", "login": who, "password": "x"}, {"prompt": "consent"}):
                answer = await followed(outside, answer)
                if answer.has_redirect_location:
                    break
                target = re.search(r'action="([^"]+)"', answer.text)
                assert target is not None, answer.text
                answer = await outside.post(urljoin(str(answer.url), target[1]), data=form)
            return came_back(await followed(outside, answer))


async def followed(outside: httpx2.AsyncClient, answer: httpx2.Response) -> httpx2.Response:
    """Up to a page, or to the way back to us."""
    while answer.has_redirect_location and not answer.headers["location"].startswith(CALLBACK):
        answer = await outside.get(urljoin(str(answer.url), answer.headers["location"]))
    return answer


@pytest.fixture
async def browser(platform: Services, certified: str) -> AsyncIterator[Certified]:
    async with client_with(served(platform, issuer=certified), None) as client:
        yield Certified(client)


async def test_somebody_signs_in_at_a_certified_provider(browser: Certified) -> None:
    told = await browser.there("kim")
    answer = await browser.back(told)
    opened = await browser.exchange(code_in(answer))

    known = await browser.door.get("/v1/me/identities", headers=bearer(opened.json()))
    assert told["iss"] == known.json()["items"][0]["issuer"]
    assert known.json()["items"][0]["email"] == "kim@example.org"


async def test_a_provider_that_names_itself_must_do_so(browser: Certified) -> None:
    for name in ("https://evil.example", None):
        told = await browser.there("kim")
        told.pop("iss")
        check_problem(await browser.back(told | ({"iss": name} if name else {})), 401)


async def test_another_secret_than_the_challenge_was_made_of_is_refused(
    browser: Certified,
) -> None:
    told = await browser.there("kim", code_challenge="x" * 43)

    assert check_problem(await browser.back(told), 401)["code"] == "oidc_refused"


@pytest.mark.parametrize(
    "changed",
    [{"code_challenge_method": "plain"}, {"code_challenge": "", "code_challenge_method": ""}],
)
async def test_without_s256_there_is_no_code(browser: Certified, changed: Asked) -> None:
    told = await browser.there("kim", **changed)

    answer = await browser.back(told)

    assert "code" not in told
    assert dict(parse_qsl(urlsplit(answer.headers["location"]).query))["error"] == "provider_error"


async def test_a_code_is_taken_by_the_provider_once(browser: Certified, certified: str) -> None:
    told = await browser.there("kim")
    assert (await browser.back(told)).status_code == 303

    body = {"grant_type": "authorization_code", "code": told["code"], "redirect_uri": CALLBACK}
    async with httpx2.AsyncClient(auth=("vocality", "s" * 32)) as thief:
        again = await thief.post(f"{certified}/token", data=body | {"code_verifier": "x" * 43})

    assert again.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "address",
    [
        f"{CALLBACK}/more",
        f"{CALLBACK}#x",
        CALLBACK.replace("8000", "8001"),
        CALLBACK.replace("127.0.0.1", "user@127.0.0.1"),
        CALLBACK.replace("127.0.0.1", "127.0.0.1.evil.example"),
    ],
)
async def test_the_provider_sends_nobody_to_another_callback(
    browser: Certified, address: str
) -> None:
    async with httpx2.AsyncClient() as outside:
        answer = await outside.get(await browser.out(redirect_uri=address))

    assert answer.status_code == 400
    assert "location" not in answer.headers
