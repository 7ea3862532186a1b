"""What `vocality users` does to accounts, and how they are shown."""

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import StrEnum
from typing import TypeVar

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncSession

from app.permissions import SCOPES, Permission
from app.security import Role
from app.settings import settings
from app.tables import Account
from app.users import passwords
from app.users.keys import service as api_keys
from app.users.people import service as people
from app.users.people.routes import PersonOut
from app.users.schemas import Email
from cli import inside
from cli.inside import ACTOR

Change = Callable[[AsyncSession, str, str], Awaitable[Account]]
Named = TypeVar("Named", bound=StrEnum)


def show(work: inside.Work[Sequence[Account]], as_json: bool) -> None:
    found = [PersonOut.of(account) for account in inside.do(work)]
    if as_json:
        print(json.dumps([person.model_dump(mode="json") for person in found]))
        return
    table = Table(box=None)
    for column in ("id", "who", "roles", "is", "since"):
        table.add_column(column, overflow="fold", no_wrap=column == "id")  # it is to be copied
    for person in found:
        who = Text(person.email or person.name or "")  # never read as markup
        since = f"{person.created_at:%Y-%m-%d %H:%M}"
        table.add_row(person.id, who, ", ".join(person.roles), _state(person), since)
    Console().print(table if found else "No accounts.")


def _state(person: PersonOut) -> str:
    kind = "service" if person.is_service else "person"
    return f"{kind}, disabled" if person.disabled_at else kind


async def create(
    email: str, given: Collection[Role], typed: str | None, session: AsyncSession
) -> Sequence[Account]:
    hashed = None if typed is None else await _hashed(typed, email)
    return [await people.create(session, ACTOR, _address(email), given, hashed)]


async def every(wanted: Collection[Role], limit: int, session: AsyncSession) -> Sequence[Account]:
    query = people.known(role=next(iter(wanted), None))
    return (await people.page(session, query, limit, None))[0]


async def changed(who: str, change: Change, session: AsyncSession) -> Sequence[Account]:
    account = await people.find(session, who)
    return [await change(session, ACTOR, account.id)]


async def with_password(who: str, typed: str, session: AsyncSession) -> Sequence[Account]:
    account = await people.find(session, who)
    hashed = await _hashed(typed, account.email or "")
    return [await people.set_password(session, ACTOR, account.id, hashed)]


async def fresh_key(
    who: str, name: str, chosen: Collection[Permission], session: AsyncSession
) -> str:
    account = await people.find(session, who)
    made = api_keys.add(session, account.id, name=name, scopes=chosen)
    api_keys.note(session, ACTOR, "create", made.row)
    return made.text


def roles(names: Sequence[str]) -> frozenset[Role]:
    return _named(Role, names, "role", frozenset(Role))


def scopes(names: Sequence[str] | None) -> frozenset[Permission]:
    return SCOPES if names is None else _named(Permission, names, "scope", SCOPES)


def _named(
    kind: type[Named], names: Sequence[str], what: str, known: Collection[Named]
) -> frozenset[Named]:
    if unknown := set(names) - set(known):
        there = ", ".join(sorted(known))
        raise typer.BadParameter(f"no {what} {', '.join(sorted(unknown))}; there are {there}")
    return frozenset(map(kind, names))


def _address(email: str) -> str:
    try:
        return TypeAdapter(Email).validate_python(email)
    except ValidationError as error:
        raise typer.BadParameter(f"{email!r} is no e-mail address") from error


async def _hashed(typed: str, email: str) -> str:
    passwords.accept(typed, email=email)
    hashing = passwords.Passwords(settings().password_memory_kib)
    try:
        return await hashing.hash(typed)
    finally:
        hashing.close()
