"""An authenticator in software: it makes passkeys and shows them, honestly or not."""

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cbor2 import dumps
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

Json = dict[str, Any]
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def told(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def read(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """Holds one passkey. What it says of itself may be changed between two uses."""

    origin: str = "http://localhost:8000"
    domain: str = "localhost"
    flags: int = PRESENT | VERIFIED
    counter: int = 0
    user: str | None = None
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    name: bytes = field(default_factory=lambda: os.urandom(32))

    def make(self, options: Json) -> Json:
        """navigator.credentials.create()"""
        self.user = options["user"]["id"]
        content = {"fmt": "none", "attStmt": {}, "authData": self._data(ATTESTED) + self._kept()}
        response = {
            "clientDataJSON": told(self._client("webauthn.create", options)),
            "attestationObject": told(dumps(content)),
            "transports": ["internal"],
        }
        return self._credential(response)

    def show(self, options: Json) -> Json:
        """navigator.credentials.get()"""
        self.counter += 1
        client, data = self._client("webauthn.get", options), self._data()
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": told(client),
            "authenticatorData": told(data),
            "signature": told(signature),
            "userHandle": self.user,
        }
        return self._credential(response)

    def _credential(self, response: Json) -> Json:
        named = {"id": told(self.name), "rawId": told(self.name), "type": "public-key"}
        extras = {"authenticatorAttachment": "platform", "clientExtensionResults": {}}
        return {**named, "response": response, **extras}

    def _client(self, kind: str, options: Json) -> bytes:
        content = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        return json.dumps(content).encode()

    def _data(self, more: int = 0) -> bytes:
        flags = bytes([self.flags | more])
        return sha256(self.domain.encode()).digest() + flags + self.counter.to_bytes(4, "big")

    def _kept(self) -> bytes:
        """AAGUID, credential id and public key (COSE, ES256)."""
        point = self.key.public_key().public_numbers()
        x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
        public = dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        return bytes(16) + len(self.name).to_bytes(2, "big") + self.name + public
