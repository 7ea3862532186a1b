"""Letters: what mails say, each as its subject and its body."""

from datetime import datetime
from typing import NamedTuple

from app.settings import Settings


class Letter(NamedTuple):
    subject: str
    body: str


NOT_YOU = "If it was not you, change your password and sign out everywhere."
IGNORE = "If it was not you, do nothing: without this link nothing happens."


def verify(settings: Settings, token: str) -> Letter:
    return Letter(
        "Confirm your e-mail address",
        f"Somebody, probably you, registered with this address.\n\n"
        f"To confirm it, open within a day:\n{_link(settings, 'verify', token)}\n\n{IGNORE}\n",
    )


def registered_already(settings: Settings) -> Letter:
    return Letter(
        "You have an account already",
        "Somebody, probably you, tried to register with this address, which has an account.\n\n"
        f"Sign in at {settings.base_url}, or have your password reset there.\n",
    )


def reset(settings: Settings, token: str) -> Letter:
    return Letter(
        "Set a new password",
        f"Somebody, probably you, asked to set a new password.\n\n"
        f"Within an hour, open:\n{_link(settings, 'reset', token)}\n\n{IGNORE}\n",
    )


def password_changed() -> Letter:
    return Letter(
        "Your password was changed",
        "Your password was changed, and every other device was signed out.\n\n"
        "If it was not you, have it reset at once: that ends your API keys, too.\n",
    )


def change_email(settings: Settings, token: str) -> Letter:
    return Letter(
        "Confirm your new e-mail address",
        f"This is to be the address of your account.\n\n"
        f"To confirm it, open within a day:\n{_link(settings, 'email', token)}\n\n{IGNORE}\n",
    )


def email_taken() -> Letter:
    return Letter(
        "Your address was asked for",
        "Somebody tried to make this address that of another account. It stays yours.\n",
    )


def email_changed(new: str) -> Letter:
    return Letter(
        "Your e-mail address was changed",
        f"Your account now has the address {new}; this one is not asked any more.\n\n"
        "If it was not you, write to those who run this platform.\n",
    )


def stolen(device: str, address: str) -> Letter:
    return Letter(
        "A device was signed out",
        "A sign-in of yours was used from two places, as if it had been copied. "
        f"We ended it.\n\nDevice: {device or 'unknown'}\nAddress: {address or 'unknown'}\n\n"
        "Sign in again. If you do not know this device, change your password.\n",
    )


def factor_changed(kind: str, what: str) -> Letter:
    return Letter(
        "Your second factors have changed",
        f"A second factor ({kind}) of your account {what}.\n\n{NOT_YOU}\n",
    )


def key_made(name: str) -> Letter:
    return Letter(
        "A key of your account was made",
        f"An API key ({name}) of your account was made: programs that show it act as you, as far "
        "as its scopes go.\n\nIf it was not you, revoke it, change your password and sign out "
        "everywhere.\n",
    )


def identity_changed(issuer: str, what: str) -> Letter:
    return Letter(
        "Where you can sign in has changed",
        f"Signing in at {issuer} {what}.\n\n{NOT_YOU}\n",
    )


def _link(settings: Settings, step: str, token: str) -> str:
    """The token follows the hash sign: no browser sends that to a server, so no log has it."""
    return f"{settings.base_url}/links/{step}#{token}"


def deletion_asked(after: datetime) -> Letter:
    return Letter(
        "Your account will be deleted",
        f"You asked to have your account deleted, and all that it holds. It happens after "
        f"{after:%d %B %Y, %H:%M} UTC.\n\nUntil then you can sign in and keep it after all.\n",
    )


def deleted(receipt_id: str, signature: str) -> Letter:
    return Letter(
        "Your account was deleted",
        f"Your account was deleted, with all that it held. Receipt {receipt_id}, signed:\n\n"
        f"{signature}\n",
    )
