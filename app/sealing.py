"""Sealing: tokens that nobody can guess, and secrets that the database alone cannot give away."""

import base64
import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.settings import Settings

TOKEN_BYTES = 32


class Unsealable(Exception):
    """What was sealed with another secret, or is damaged."""


class Seal:
    """Closes texts with a secret: AES-128-CBC and HMAC-SHA-256 (Fernet), its key by HKDF."""

    def __init__(self, secret: str) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(_derived(secret, b"vocality seal")))
        self._marking = _derived(secret, b"vocality mark")

    def close(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Raises Unsealable."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise Unsealable("Sealed with another secret, or damaged.") from error

    def mark(self, text: str) -> str:
        """The same for the same text, and without the secret nobody can try which text it was."""
        return hmac.digest(self._marking, text.encode(), "sha256").hex()


def _derived(secret: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())


def opaque() -> str:
    """256 random bits, to be shown once and kept as a digest."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> str:
    """SHA-256 is enough for what cannot be guessed."""
    return sha256(token.encode()).hexdigest()


def secret_of(settings: Settings) -> str:
    """The settings' secret, or the one of this home: made once, readable by its owner only."""
    if settings.secret_key is not None:
        return settings.secret_key
    path = settings.home / "secret"
    settings.home.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    return path.read_text().strip()


def _make(path: Path) -> None:
    """Whole or not at all, and the first of two that start at once wins."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_urlsafe(48))
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
