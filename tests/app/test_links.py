"""The page behind the links of letters."""

import re

from tests.app.conftest import Client


async def test_the_page_of_a_link_runs_its_own_script_and_nothing_else(stranger: Client) -> None:
    page = await stranger.get("/links/reset")

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert re.search(r"script-src 'sha256-[\w+/=]+'", policy)
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_there_is_no_page_for_other_steps(stranger: Client) -> None:
    assert (await stranger.get("/links/anything")).status_code == 422
