"""Published documents of outside issuers, their keys above all: fetched seldom, kept a while."""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from time import monotonic

import httpx2
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from app.errors import ServiceUnavailable, Unauthorized
from app.tables import Json

STALE_S = 24 * 3600.0  # for so long a document serves while its address does not answer
TIMEOUT_S = 5.0  # of each step
LONGEST_S = 10.0  # of all of them
LARGEST = 1024 * 1024  # bytes

log = structlog.get_logger(__name__)


class Unfetched(Exception):
    """An address that did not answer with a document."""


@dataclass(frozen=True, slots=True)
class _Kept:
    document: Json | None
    at: float  # monotonic
    asked_at: float


@dataclass(frozen=True, slots=True)
class Published:
    """Each document is fetched once for all who wait for it. Redirects are not followed."""

    fresh_s: float = 600.0  # a document is asked for again after this
    hurry_s: float = 30.0  # but no sooner than this, whatever key a token names
    rest_s: float = 5.0  # after a failure nobody else waits for the same
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _locks: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    async def document(self, url: str, *, hurried: bool = False) -> Json:
        """Raises ServiceUnavailable where there is none, not even an old one."""
        async with self._locks[url]:
            kept = self._kept.get(url)
            if kept is None or self._due(kept, self.hurry_s if hurried else self.fresh_s):
                kept = self._kept[url] = await _renewed(url, kept)
        if kept.document is None or monotonic() - kept.at > STALE_S:
            raise ServiceUnavailable(
                "Who vouches for you does not answer now.", code="issuer_unavailable"
            )
        return kept.document

    def _due(self, kept: _Kept, fresh_s: float) -> bool:
        if monotonic() - kept.asked_at < self.rest_s:
            return False
        return kept.document is None or monotonic() - kept.at >= fresh_s

    async def key(self, url: str, kid: str | None) -> Key:
        """The key of that name; without a name the only one. Raises Unauthorized."""
        for hurried in (False, True):  # a key that we do not know may be a new one
            keys = _keys(await self.document(url, hurried=hurried))
            found = [key for key in keys if kid is None or key.kid == kid]
            if len(found) == 1:
                return found[0]
        raise Unauthorized("Signed with a key that nobody published.", code="invalid_token")


def _keys(document: Json) -> list[Key]:
    """Those for signing that we can read: an issuer may publish others too."""
    found: list[Key] = []
    for entry in document.get("keys", ()):
        try:
            made = KeySet.import_key_set({"keys": [entry]}).keys[0]
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if entry.get("use", "sig") == "sig" and made.key_type != "oct":
            found.append(made)
    return found


async def _renewed(url: str, kept: _Kept | None) -> _Kept:
    now = monotonic()
    try:
        async with asyncio.timeout(LONGEST_S):  # one that drips would keep all who wait for it
            return _Kept(await _fetch(url), now, now)
    except (Unfetched, httpx2.HTTPError, TimeoutError, ValueError) as error:
        log.warning("document_not_fetched", url=url, why=type(error).__name__)
        return _Kept(kept.document, kept.at, now) if kept else _Kept(None, now, now)


async def _fetch(url: str) -> Json:
    async with (
        httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise Unfetched(str(answer.status_code))
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > LARGEST:
                raise Unfetched("too large")
    document = json.loads(content)
    if not isinstance(document, dict):
        raise Unfetched("no object")
    return document
