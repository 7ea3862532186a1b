"""The clock of all workers: the database's."""

from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, func


def now() -> ColumnElement[datetime]:
    return cast(ColumnElement[datetime], func.clock_timestamp())


def after(seconds: float) -> ColumnElement[datetime]:
    return now() + timedelta(seconds=seconds)
