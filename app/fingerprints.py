"""Fingerprints: whether two requests are the same, found while their bodies stream by."""

from hashlib import sha256

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from app.errors import TooLarge


class Fingerprint:
    """SHA-256 of method, address, kind and body. A multipart boundary is not hashed: whoever
    sends a form again makes up a new one."""

    def __init__(self, scope: Scope) -> None:
        kind, options = parse_options_header(Headers(scope=scope).get("content-type", ""))
        self._boundary = options.get(b"boundary", b"")
        self._held = b""  # may be the beginning of a boundary
        address = scope["path"].encode() + b"?" + scope["query_string"]
        self._hash = sha256(b"\n".join((scope["method"].encode(), address, kind, b"")))

    def update(self, chunk: bytes) -> None:
        if not self._boundary:
            self._hash.update(chunk)
            return
        *before, last = (self._held + chunk).split(self._boundary)
        for piece in before:
            self._hash.update(piece + b"\0")
        sure = max(0, len(last) - len(self._boundary) + 1)
        self._hash.update(last[:sure])
        self._held = last[sure:]

    def hexdigest(self) -> str:
        """Once the body is whole."""
        self._hash.update(self._held)
        self._held = b""
        return self._hash.hexdigest()


class Body:
    """A request's body that is fingerprinted by whoever reads it, and kept by nobody."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._fingerprint = Fingerprint(scope)
        self._size = 0
        self._whole = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._whole:
            chunk = message.get("body", b"")
            self._fingerprint.update(chunk)
            self._size += len(chunk)
            self._whole = not message.get("more_body", False)
        return message

    async def fingerprint(self, most_bytes: int) -> str:
        """Of all of it: what nobody has read yet is read here. Raises TooLarge."""
        while not self._whole:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                break
            if self._size > most_bytes:
                raise TooLarge("The body is larger than any that is taken.")
        return self._fingerprint.hexdigest()
