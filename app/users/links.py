"""The page behind the links of letters: it takes the token from the address, and asks first.

To open a link changes nothing, so neither does a mail scanner that opens all of them.
"""

import base64
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.problems import documented

router = APIRouter(prefix="/links", tags=["signing in"])

PAGE = Path(__file__).with_name("links.html")


@router.get("/{step}", response_class=HTMLResponse, responses=documented(422, 429))
async def open_link(step: Literal["verify", "email", "reset"]) -> HTMLResponse:
    """The page of a link in a letter; the token is behind the hash sign, so it never gets here."""
    page = _page()
    return HTMLResponse(page, headers={"Content-Security-Policy": _policy(page)})


@cache
def _page() -> str:
    return PAGE.read_text()


@cache
def _policy(page: str) -> str:
    """The page's own script and style, calls to this door, and nothing else."""
    inline = {kind: _hash_of(page, kind) for kind in ("script", "style")}
    return (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; script-src {inline['script']}; style-src {inline['style']}"
    )


def _hash_of(page: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(sha256(found.group(1).encode()).digest()).decode()}'"
