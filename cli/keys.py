"""`vocality keys`: the keys that tokens are signed with, at the platform's own database."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

verbs = typer.Typer(no_args_is_help=True, help="Keys that tokens are signed with.")


@verbs.callback()
def keys() -> None:
    """Keys that tokens are signed with."""


@verbs.command()
def rotate() -> None:
    """Sign with a new key within a minute. Nobody is signed out: what the old ones signed stands
    until it runs out."""
    from cli import inside

    typer.echo(f"Tokens will be signed with {inside.do(_rotated)}.")


async def _rotated(session: "AsyncSession") -> str:
    from app import audit
    from app.sealing import Seal, secret_of
    from app.settings import settings
    from app.users import keyring
    from cli.inside import ACTOR

    kid = await keyring.rotate(session, Seal(secret_of(settings())))
    audit.record(session, ACTOR, "keys.rotate", f"keys:{kid}", {})
    return kid
