"""Mail: letters that wait in a table, sent by SMTP or laid into a folder."""

import asyncio
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import clock, tasks
from app.errors import DatabaseDown
from app.services import Services
from app.settings import Settings
from app.tables import Mail

PAUSE_S = 1.0  # between two looks for letters
BATCH = 10
LEASE_S = 60.0  # a sender silent for so long has died
MAX_ATTEMPTS = 12  # the last one about a day after the first
LONGEST_PAUSE_S = 4 * 3600.0
SMTP_TIMEOUT_S = 20.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")

log = structlog.get_logger(__name__)


class Unsafe(Exception):
    """A mail server that would have its password said where others can hear."""


def write(session: AsyncSession, to: str, subject: str, body: str) -> None:
    """A letter that leaves once this transaction is committed."""
    session.add(Mail(to=to, subject=subject, body=body))


async def send_forever(services: Services, stop: asyncio.Event) -> None:
    """Safe to run several times at once: each letter is in one sender's hands."""
    while not stop.is_set():
        try:
            found = await send_waiting(services)
        except DatabaseDown:
            found = 0
        if found < BATCH:
            await tasks.rung(stop, PAUSE_S)


async def send_waiting(services: Services) -> int:
    """Send what is due; how many letters that was. One sent twice is better than one lost."""
    letters = await _claim(services)
    for letter in letters:
        await _send(services, letter)
    return len(letters)


async def _claim(services: Services) -> list[Mail]:
    due = (
        select(Mail)
        .where(Mail.sent_at.is_(None), Mail.available_at <= clock.now())
        .where(Mail.attempts < MAX_ATTEMPTS)
        .order_by(Mail.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    async with services.transaction() as session:
        letters = list(await session.scalars(due))
        for letter in letters:
            letter.attempts += 1
        taken = update(Mail).where(Mail.id.in_([letter.id for letter in letters]))
        await session.execute(taken.values(available_at=clock.after(LEASE_S)))
    return letters


async def _send(services: Services, letter: Mail) -> None:
    try:
        await asyncio.to_thread(_deliver, services.settings, letter)
    except Exception as error:  # whatever is wrong with one letter, the others are to leave
        reason = type(error).__name__  # its text may hold the address, or more
        log.warning("mail_not_sent", mail=letter.id, attempts=letter.attempts, why=reason)
        last = letter.attempts >= MAX_ATTEMPTS
        await _settle(
            services,
            letter,
            available_at=clock.after(_pause(letter.attempts)),
            body="" if last else letter.body,
        )
        return
    await _settle(services, letter, sent_at=clock.now(), body="")


async def _settle(services: Services, letter: Mail, **values: object) -> None:
    async with services.transaction() as session:
        await session.execute(update(Mail).where(Mail.id == letter.id).values(**values))


def _pause(attempts: int) -> float:
    return min(LONGEST_PAUSE_S, 15.0 * float(2**attempts))


def _deliver(settings: Settings, letter: Mail) -> None:
    message = _message(settings, letter)
    if settings.smtp_url is None:
        _lay(settings.home / "mail", message, letter.id)
    else:
        _post(urlsplit(settings.smtp_url), message)


def _message(settings: Settings, letter: Mail) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = settings.mail_from, letter.to
    message["Subject"], message["Date"] = letter.subject, formatdate()
    message["Message-ID"] = make_msgid(domain=parseaddr(settings.mail_from)[1].partition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.body)
    return message


def _lay(folder: Path, message: EmailMessage, number: int) -> None:
    """Readable by the owner only: a letter may hold a link that opens an account."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{number:06d}.eml"
    fresh = path.with_suffix(".part")
    fresh.touch(mode=0o600)
    fresh.write_bytes(message.as_bytes())
    fresh.rename(path)
    log.info("mail_laid", path=str(path))


def _post(address: SplitResult, message: EmailMessage) -> None:
    host = address.hostname or "localhost"
    context = ssl.create_default_context()
    if address.scheme == "smtps":
        with smtplib.SMTP_SSL(
            host, address.port or 465, timeout=SMTP_TIMEOUT_S, context=context
        ) as server:
            _hand_over(server, address, message, private=True)
        return
    with smtplib.SMTP(host, address.port or 587, timeout=SMTP_TIMEOUT_S) as server:
        server.ehlo()
        if private := server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        _hand_over(server, address, message, private=private or host in LOOPBACK)


def _hand_over(
    server: smtplib.SMTP, address: SplitResult, message: EmailMessage, *, private: bool
) -> None:
    """A password is never sent over a line that others can read."""
    if address.username:
        if not private:
            raise Unsafe("The mail server asks for a password without TLS.")
        server.login(unquote(address.username), unquote(address.password or ""))
    server.send_message(message)
