"""`vocality users`: accounts, their roles and their keys, at the platform's own database."""

from functools import partial
from typing import Annotated

import typer

from cli.talking import AsJson

verbs = typer.Typer(no_args_is_help=True, help="Accounts: who is here, and who may do what.")

Who = Annotated[str, typer.Argument(help="E-mail address, or usr_...")]


@verbs.command()
def create(
    email: Annotated[str, typer.Argument(help="It counts as verified.")],
    role: Annotated[list[str] | None, typer.Option(help="singer by default; repeat.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an account. Without a password, its owner has one set by a letter."""
    from cli import accounts

    typed = _typed() if password else None
    accounts.show(
        partial(accounts.create, email, accounts.roles(role or ["singer"]), typed), as_json
    )


@verbs.command("list")
def every(
    role: Annotated[str | None, typer.Option(help="Only who has it.")] = None,
    limit: Annotated[int, typer.Option(help="Most accounts.", min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """The accounts, newest first, those of services too."""
    from cli import accounts

    accounts.show(partial(accounts.every, accounts.roles([role] if role else []), limit), as_json)


@verbs.command()
def role(
    who: Who,
    roles: Annotated[list[str], typer.Argument(help="singer, coach, researcher, admin.")],
    as_json: AsJson = False,
) -> None:
    """Give these roles, and take all others."""
    from app.users.people import service as people
    from cli import accounts

    change = partial(people.set_roles, roles=accounts.roles(roles))
    accounts.show(partial(accounts.changed, who, change), as_json)


@verbs.command()
def disable(who: Who, as_json: AsJson = False) -> None:
    """Close the door for an account, within seconds."""
    from app.users.people import service as people
    from cli import accounts

    accounts.show(partial(accounts.changed, who, people.disable), as_json)


@verbs.command()
def enable(who: Who, as_json: AsJson = False) -> None:
    """Open it again."""
    from app.users.people import service as people
    from cli import accounts

    accounts.show(partial(accounts.changed, who, people.enable), as_json)


@verbs.command()
def password(who: Who, as_json: AsJson = False) -> None:
    """Set a password, typed twice. Every device of the account is signed out."""
    from cli import accounts

    accounts.show(partial(accounts.with_password, who, _typed()), as_json)


@verbs.command()
def key(
    who: Who,
    name: Annotated[str, typer.Option(help="What it is for.")] = "console",
    scope: Annotated[
        list[str] | None, typer.Option(help="e.g. recordings:read; repeat. All by default.")
    ] = None,
) -> None:
    """Make an API key and print it, this once; in place of a lost admin-key, say."""
    from cli import accounts, inside

    print(inside.do(partial(accounts.fresh_key, who, name, accounts.scopes(scope))))


def _typed() -> str:
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed
