"""Schemathesis over the whole OpenAPI document, in this process: `python -m tests.fuzz 10000`."""

import asyncio
import itertools
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import schemathesis
import structlog
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.schemas import BaseSchema
from starlette.requests import HTTPConnection

from app import embedded, main, migrations, services
from app.errors import Unauthorized
from app.security import Role, User
from app.services import Services
from app.settings import Settings
from app.tables import Json
from models.decode import DecodeLimits, Decoder
from tests import belongings
from tests.conftest import clean
from tests.fakes import FakeAnalyzer

FUZZER = "usr_fuzzer"
SINGER = "usr_singer"  # who has a password
DEVICE = "ses_" + "0" * 32  # that the fuzzer is signed in on
KEY = {"Authorization": "Bearer fuzzer"}
PASSWORD = "of nine voices one"
TRIED = {"family": ["pitch", "timbre"], "version": ["1", "2", "3"]}
OWNED = 3  # of each kind, so that what ends one leaves others
PATIENCE_S = 10.0  # with one answer
GLANCE_S = 2.0  # at a stream of events that sends none

Values = dict[str, list[str]]  # that there are, by the name of the parameter


@dataclass
class Found:
    """What a run has seen: each failure once, with how to make it again."""

    cases: int = 0
    answers: dict[str, Counter[int]] = field(default_factory=dict)  # by operation and status
    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, recorder: ScenarioRecorder) -> None:
        self.cases += len(recorder.interactions)
        seen = self.answers.setdefault(recorder.label, Counter())
        seen.update(
            i.response.status_code if i.response else 0 for i in recorder.interactions.values()
        )
        for check in itertools.chain.from_iterable(recorder.checks.values()):
            if (found := check.failure_info) is not None:
                place = recorder.label, found.failure.title, found.failure.message
                self.failures.setdefault(place, found.code_sample)

    def stumbled(self, label: str, error: Exception) -> None:
        self.failures[label, type(error).__name__, str(error)] = "in the run itself"

    @property
    def never_succeeded(self) -> list[str]:
        return [n for n, seen in self.answers.items() if not any(200 <= s < 300 for s in seen)]


def run(settings: Settings, cases: int, seed: int) -> Found:
    """At least so many cases, evenly over the operations. What the database held is gone."""
    found, document = Found(), main.document(settings)
    labels = operations(document)
    with opened(settings) as made:
        app = main.create_app(made)
        for turn in itertools.count():
            each = -(-(cases - found.cases) // len(labels))
            for label, streams in labels.items():
                values = asyncio.run(furnish(made))
                told = configured(values, each, seed + turn, first=turn == 0, streams=streams)
                schema = schemathesis.openapi.from_dict(document, config=told)
                schema.app = app
                attempt(schema.include(name=label), label, found)
            if found.cases >= cases:
                break
    return found


def attempt(schema: BaseSchema, label: str, found: Found) -> None:
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            found.add(event.recorder)
        elif isinstance(event, events.NonFatalError):
            found.stumbled(event.label, event.value)
        elif isinstance(event, events.FatalError):
            found.stumbled(label, event.exception)


def operations(document: Json) -> dict[str, bool]:
    """Every operation as schemathesis calls it, and whether it streams events."""
    return {
        f"{method.upper()} {path}": "text/event-stream" in str(operation["responses"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def configured(
    values: Values, each: int, seed: int, *, first: bool, streams: bool
) -> SchemathesisConfig:
    """`first`: with the cases at the edges of the schema, which are the same each time."""
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "headers": KEY,
            "continue-on-failure": True,
            "request-timeout": GLANCE_S if streams else PATIENCE_S,
            "max-stream-events": 1,
            "generation": {"max-examples": each, "no-shrink": True, "database": "none"},
            "phases": {
                "examples": {"enabled": first},
                "coverage": {"enabled": first},
                "stateful": {"enabled": False},
            },
            # Some rules of ours cannot be said in a schema: those answer 4xx to what conforms.
            "checks": {"positive_data_acceptance": {"enabled": False}},
            "dictionaries": {name: {"values": some} for name, some in values.items()},
            "parameters": {
                f"{place}.{name}": {"dictionary": name, "probability": 0.7}
                for place in ("path", "body")
                for name in values
            },
        }
    )


@contextmanager
def opened(settings: Settings) -> Iterator[Services]:
    """Nobody is counted, and a password costs little."""
    quick = settings.model_copy(update={"rate_limits": False, "password_memory_kib": 8192})
    decoder = Decoder(DecodeLimits(max_seconds=60.0))
    yield services.build(quick, FakeAnalyzer(), decoder, fuzzer)
    decoder.close()


async def fuzzer(connection: HTTPConnection) -> User:
    """One who may everything, signed in on a device."""
    if connection.headers.get("authorization") != KEY["Authorization"]:
        raise Unauthorized("Only the fuzzer is known here.")
    return User(FUZZER, frozenset(Role), session_id=DEVICE)


async def furnish(made: Services) -> Values:
    """Everything anew: what is shared, and what the fuzzer owns."""
    # With connections of its own: those of `made` belong to the application's loop.
    own = services.build(made.settings, made.analyzer, made.inspector, made.identity)
    await clean(own)
    async with own.transaction() as session:
        session.add(belongings.account(FUZZER))
        hashed = await own.passwords.hash(PASSWORD)
        session.add(belongings.account(SINGER, password_hash=hashed))
        await session.flush()
        session.add(belongings.device(FUZZER, DEVICE))
        shared = await belongings.share(session)
        owned = [await belongings.give(session, FUZZER) for _ in range(OWNED)]
    await own.close()
    each = {name: [ids[name] for ids in owned] for name in owned[0]}
    known = {"email": [f"{SINGER}@example.org"], "password": [PASSWORD]}
    return each | {name: [value] for name, value in shared.items()} | known | TRIED


def shown(found: Found, seed: int) -> str:
    told = [f"{' · '.join(place)}\n    {how}" for place, how in found.failures.items()]
    unseen = f"never answered by a 2xx: {', '.join(found.never_succeeded) or 'none'}"
    counted = f"{found.cases} cases, {len(found.failures)} failures (seed {seed})"
    return "\n".join([*told, unseen, counted])


def fuzz(cases: int = 10_000, seed: int | None = None) -> int:
    """On a PostgreSQL and a Redis of its own. The exit status."""
    logging.disable(logging.WARNING)  # parsers of multipart bodies complain of what we make up
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    chosen = random.SystemRandom().randrange(2**32) if seed is None else seed
    home = Path(tempfile.mkdtemp(prefix="vocality-fuzz-"))
    try:
        settings = embedded.complete(Settings(home=home))
        asyncio.run(migrations.upgrade(str(settings.database_url)))
        found = run(settings, cases, chosen)
    finally:
        embedded.stop(home)
        shutil.rmtree(home)
    sys.stdout.write(shown(found, chosen) + "\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(fuzz(*map(int, sys.argv[1:])))
