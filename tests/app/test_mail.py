"""Letters: sent once they are committed, by SMTP or into a folder, and tried again."""

import asyncio
import email
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import policy

import pytest
from sqlalchemy import select, update

from app import clock, mail
from app.services import Services
from app.tables import Mail


@dataclass
class Postbox:
    """A mail server that speaks just enough SMTP, and can refuse at first."""

    refusals: int = 0
    letters: list[bytes] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            self.said.append(line)
            verb = line.split()[0].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await self._take(reader, writer)
            elif verb == b"EHLO":
                writer.write(b"250-here\r\n250-SMTPUTF8\r\n250 AUTH PLAIN\r\n")
            elif verb == b"AUTH":
                writer.write(b"235 come in\r\n")
            elif verb == b"QUIT":
                break
            else:
                writer.write(b"250 yes\r\n")
        writer.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = await reader.readuntil(b"\r\n.\r\n")
        if self.refusals > 0:
            self.refusals -= 1
            writer.write(b"451 later\r\n")
            return
        self.letters.append(text)
        writer.write(b"250 taken\r\n")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def posting(platform: Services, url: str | None) -> Services:
    return replace(platform, settings=platform.settings.model_copy(update={"smtp_url": url}))


async def write(platform: Services, subject: str = "Héllo", to: str = "ada@example.org") -> None:
    async with platform.transaction() as session:
        mail.write(session, to, subject, "Open this:\nhttps://voice.example/links/reset#secret\n")


async def rows(platform: Services) -> list[Mail]:
    async with platform.transaction() as session:
        return list(await session.scalars(select(Mail).order_by(Mail.id)))


async def test_without_a_server_letters_lie_in_a_folder_for_the_owner_only(
    platform: Services,
) -> None:
    await write(platform)

    assert await mail.send_waiting(platform) == 1

    (path,) = (platform.settings.home / "mail").iterdir()
    letter = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert path.suffix == ".eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (letter["To"], letter["Subject"]) == ("ada@example.org", "Héllo")
    assert "links/reset#secret" in letter.get_content()
    (row,) = await rows(platform)
    assert row.sent_at is not None
    assert row.body == ""  # no link stays in the database
    assert await mail.send_waiting(platform) == 0


async def test_a_letter_of_a_transaction_that_failed_is_never_sent(platform: Services) -> None:
    async def fail() -> None:
        async with platform.transaction() as session:
            mail.write(session, "ada@example.org", "no", "no")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    assert await mail.send_waiting(platform) == 0


async def test_a_server_that_refuses_is_asked_again_later(platform: Services) -> None:
    postbox = Postbox(refusals=1)
    async with postbox.open() as address:
        sender = posting(platform, f"smtp://ada:pass%20word@{address}")
        await write(platform, to="ädä@example.org")

        await mail.send_waiting(sender)
        assert await mail.send_waiting(sender) == 0  # not at once
        async with platform.transaction() as session:
            await session.execute(update(Mail).values(available_at=clock.now()))
        await mail.send_waiting(sender)

    (row,) = await rows(platform)
    assert (row.attempts, row.sent_at is None) == (2, False)
    assert len(postbox.letters) == 1
    assert b"secret" in postbox.letters[0]
    assert "ädä@example.org".encode() in b"".join(postbox.said)


async def test_a_dead_server_keeps_letters_waiting(platform: Services) -> None:
    await write(platform)

    await mail.send_waiting(posting(platform, "smtp://127.0.0.1:1"))

    (row,) = await rows(platform)
    assert row.sent_at is None
    assert "secret" in row.body


async def test_several_senders_send_each_letter_once(platform: Services) -> None:
    for number in range(25):
        await write(platform, subject=f"letter {number}")
    stop = asyncio.Event()

    senders = [asyncio.create_task(mail.send_forever(platform, stop)) for _ in range(3)]
    while any(row.sent_at is None for row in await rows(platform)):
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*senders)

    assert {row.attempts for row in await rows(platform)} == {1}
    assert len(list((platform.settings.home / "mail").glob("*.eml"))) == 25


async def test_a_letter_that_cannot_be_sent_keeps_no_other_back_and_is_given_up(
    platform: Services,
) -> None:
    await write(platform, subject="two\nlines")
    await write(platform)

    await mail.send_waiting(platform)
    for _ in range(mail.MAX_ATTEMPTS):
        async with platform.transaction() as session:
            await session.execute(update(Mail).values(available_at=clock.now()))
        await mail.send_waiting(platform)

    bad, good = await rows(platform)
    assert good.sent_at is not None
    assert (bad.sent_at, bad.attempts, bad.body) == (None, mail.MAX_ATTEMPTS, "")
