"""`vocality analyze`: takes in, one Analysis each, in the order of the files."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.console import Console

from cli.show import show
from cli.talking import listed
from models.audio import Audio
from models.engine import Options
from models.graph import FAMILIES
from models.results import Analysis, Family

BATCH = 16  # takes measured together
LONGEST_S = 600  # wait for a server
BATCH_S = 480  # of audio, padding included, measured together
errors = Console(stderr=True)


def run(
    files: list[Path],
    *,
    families: str | None,
    as_json: bool,
    server: str | None,
    options: Mapping[str, object],
    model: str | None,
) -> None:
    chosen, settings = _families(families), _options(options)
    measured = (
        _remote(files, server, chosen, settings)
        if server
        else _local(files, chosen, settings, model)
    )
    failed = False
    for path, outcome in measured:
        if isinstance(outcome, str):
            failed = True
            errors.print(f"{path}: {outcome}", style="red", highlight=False, markup=False)
        elif as_json:
            print(outcome.model_dump_json())
        else:
            show(outcome, path.name)
    if failed:
        raise typer.Exit(1)


def _families(text: str | None) -> tuple[Family, ...]:
    if text is None:
        return FAMILIES
    named = listed(text)
    if unknown := set(named) - set(FAMILIES):
        known = ", ".join(FAMILIES)
        raise typer.BadParameter(f"no family {', '.join(sorted(unknown))}; there are {known}")
    return tuple(family for family in FAMILIES if family in named)


def _options(options: Mapping[str, object]) -> Options:
    try:
        return Options.model_validate(options)
    except ValidationError as error:
        raise typer.BadParameter(str(error)) from error


Outcome = Analysis | str  # or what went wrong


def _local(
    files: list[Path], families: tuple[Family, ...], options: Options, model: str | None
) -> Iterator[tuple[Path, Outcome]]:
    import torch

    from app.settings import settings
    from models import engines, graph

    torch.set_num_threads(1)
    ready = engines.load_all(
        graph.closure(families),
        transcript=model or settings().transcript_model,
        off=settings().disabled_families,
    )
    for part in _parts((path, _decoded(path)) for path in files):
        audios = [take for _, take in part if isinstance(take, Audio)]
        analyses = iter(graph.analyze(audios, ready, families, options) if audios else [])
        for path, take in part:
            yield path, next(analyses) if isinstance(take, Audio) else take


Taken = tuple[Path, Audio | str]


def _parts(taken: Iterable[Taken]) -> Iterator[list[Taken]]:
    """Files in order, as many together as a batch holds; a long take goes with few others."""
    part: list[Taken] = []
    longest = 0.0
    for path, take in taken:
        longest = max(longest, take.seconds if isinstance(take, Audio) else 0.0)
        if part and (len(part) == BATCH or longest * (len(part) + 1) > BATCH_S):
            yield part
            part, longest = [], take.seconds if isinstance(take, Audio) else 0.0
        part.append((path, take))
    if part:
        yield part


def _decoded(path: Path) -> Audio | str:
    from models.audio import UnreadableAudio
    from models.decode import decode

    try:
        return decode(path)
    except UnreadableAudio as error:
        return f"{error.detail} ({error.code})"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _remote(
    files: list[Path], server: str, families: tuple[Family, ...], options: Options
) -> Iterator[tuple[Path, Outcome]]:
    import httpx2

    from cli.asking import client

    fields = {"families": ",".join(families), "options": options.model_dump_json()}
    with client(server, timeout_s=LONGEST_S) as asker:
        for path in files:
            try:
                with path.open("rb") as file:
                    reply = asker.post("/v1/analyze", files={"file": file}, data=fields)
            except OSError as error:
                yield path, f"cannot be read: {error.strerror}"
                continue
            except httpx2.HTTPError as error:
                yield path, f"{server} does not answer: {error}"
                continue
            yield path, _outcome(reply.status_code, reply.text)


def _outcome(status: int, text: str) -> Outcome:
    if status == 200:
        return Analysis.model_validate_json(text)
    try:
        problem = json.loads(text)
        return f"{problem['detail']} ({problem['code']})"
    except (ValueError, KeyError):
        return f"the server answered {status}"
