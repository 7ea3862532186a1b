"""Nothing that is held of somebody is forgotten: in the take-out, and when the account ends."""

from app.tables import Table
from app.users.me.held import HELD, NOBODYS


def tables() -> set[type[Table]]:
    return {mapper.class_ for mapper in Table.registry.mappers}


def test_of_every_table_it_is_said_whose_rows_it_has() -> None:
    peoples = [held.table for held in HELD]

    assert len(peoples) == len(set(peoples))
    assert {*peoples, *NOBODYS} == tables()
    assert not {*peoples} & {*NOBODYS}


def test_secrets_are_columns_that_there_are() -> None:
    for held in HELD:
        assert held.secret <= set(held.table.__table__.columns.keys())
