"""`vocality`: one verb a file, imported when it is called, so that --help is instant."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import jobs, keys, rollout, users
from cli.talking import Server, listed

app = typer.Typer(
    name="vocality",
    help="Measure voices, here or on a Ray cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
models = typer.Typer(no_args_is_help=True, help="Models: here, in the registry, to be fetched.")
app.add_typer(models, name="models")
app.add_typer(rollout.verbs, name="rollout")
app.add_typer(jobs.verbs, name="jobs")
app.add_typer(users.verbs, name="users")
app.add_typer(keys.verbs, name="keys")

Files = Annotated[list[Path], typer.Argument(help="Takes: WAV, FLAC, MP3, M4A, OGG, WebM, AIFF.")]
Families = Annotated[str | None, typer.Option(help="Comma list, all by default.")]


@app.callback()
def everywhere(
    key: Annotated[
        str | None,
        typer.Option(
            help="API key for a platform that is asked. VOCALITY_API_KEY keeps it out of the list "
            "of processes; without both, this home's administrator asks."
        ),
    ] = None,
) -> None:
    if key is not None:
        os.environ["VOCALITY_API_KEY"] = key


@app.command()
def analyze(
    files: Files,
    families: Families = None,
    as_json: Annotated[bool, typer.Option("--json", help="One Analysis a line.")] = False,
    server: Annotated[str | None, typer.Option(help="Send the takes to this platform.")] = None,
    language: Annotated[str | None, typer.Option(help="Of the transcript, e.g. en.")] = None,
    a4_hz: Annotated[float, typer.Option(help="Concert pitch.", min=415, max=466)] = 440.0,
    model: Annotated[
        str | None, typer.Option(help="Whisper checkpoint: name, path or registry URI.")
    ] = None,
) -> None:
    """Measure takes; no server is needed."""
    from cli import analyze as verb

    verb.run(
        files,
        families=families,
        as_json=as_json,
        server=server,
        options={"language": language, "a4_hz": a4_hz},
        model=model,
    )


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    profile: Annotated[str, typer.Option(help="Placement: laptop or cluster.")] = "laptop",
) -> None:
    """Run the platform until Ctrl-C."""
    from cli import serve as verb

    verb.run(host=host, port=port, profile=profile)


@app.command()
def stop() -> None:
    """End the PostgreSQL and Redis that a platform which crashed has left running."""
    from app import embedded
    from app.settings import settings

    embedded.stop(settings().home)


@app.command()
def demo() -> None:
    """Start the platform, send it a take over HTTP, show the result, stop."""
    from cli import demo as verb

    verb.run()


@app.command()
def bench(
    only: Annotated[str | None, typer.Option(help="Comma list of parts; all by default.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where the report goes.")] = None,
) -> None:
    """Measure speed and memory beside the peers; write BENCHMARKS.md."""
    from cli.bench import run as verb

    verb.run(only=only, output=output)


@app.command()
def drill(
    watch_s: Annotated[float, typer.Option(help="How long each state is watched.")] = 20.0,
) -> None:
    """Roll versions out, back and wrong under load; show that no request is lost."""
    from cli.drills import run as verb

    verb.run(watch_s)


@app.command()
def openapi(
    output: Annotated[Path, typer.Option(help="Where it goes.")] = Path("openapi.json"),
    breaking: Annotated[bool, typer.Option("--breaking", help="Even if clients break.")] = False,
) -> None:
    """Write the OpenAPI document; refuse, with reasons, what would break its clients."""
    from cli import openapi as verb

    verb.run(output, breaking=breaking)


@app.command()
def evaluate(
    family: Annotated[str | None, typer.Argument(help="One family; all by default.")] = None,
    corpora: Annotated[Path, typer.Option(help="The folder with the labelled recordings.")] = Path(
        "../shared/data"
    ),
    output: Annotated[Path | None, typer.Option(help="Where the report goes.")] = None,
) -> None:
    """Measure accuracy beside the peers; write EVALUATION.md."""
    from cli import evaluate as verb

    verb.run(family=family, corpora=corpora, output=output)


@app.command()
def retrain(
    family: Annotated[str, typer.Argument(help="pitch, activity, emotion, clarity or transcript.")],
    minutes: Annotated[float, typer.Option(help="Of learning alone.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Of all chance.")] = 0,
    workers: Annotated[int, typer.Option(help="0: in the job's own process.")] = 0,
    corpora: Annotated[
        str | None, typer.Option(help="Comma list of dataset folders under VOCALITY_CORPORA.")
    ] = None,
    recordings: Annotated[
        bool, typer.Option("--recordings", help="Takes whose owners consent to training.")
    ] = False,
    synthesis: Annotated[bool, typer.Option(help="Voices made up.")] = True,
    base: Annotated[str | None, typer.Option(help="Version whose weights are the start.")] = None,
    watch: Annotated[bool, typer.Option(help="Stay until it ends.")] = True,
    server: Server = None,
    as_json: Annotated[bool, typer.Option("--json", help="The job, as JSON.")] = False,
) -> None:
    """Train a version anew; the gate decides, and nothing is rolled out by itself."""
    from cli import retrain as verb

    verb.run(
        family,
        minutes=minutes,
        seed=seed,
        workers=workers,
        base=base,
        sources={
            "synthesis": synthesis,
            "corpora": listed(corpora or ""),
            "recordings": recordings,
        },
        server=server,
        watched=watch,
        as_json=as_json,
    )


@app.command()
def reanalyze(
    families: Annotated[str, typer.Argument(help="Comma list, e.g. pitch,prosody.")],
    version: Annotated[
        list[str] | None,
        typer.Option(help="FAMILY=VERSION, a number, challenger or latest; repeat."),
    ] = None,
    recording: Annotated[list[str] | None, typer.Option(help="This one only; repeat.")] = None,
    owner: Annotated[str | None, typer.Option(help="Of this singer only.")] = None,
    since: Annotated[str | None, typer.Option(help="Recorded then or later, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option(help="Recorded before then.")] = None,
    measured: Annotated[
        str | None, typer.Option(help="Comma list: with an analysis of these families only.")
    ] = None,
    via: Annotated[str, typer.Option(help="lane, data or auto.")] = "auto",
    watch: Annotated[bool, typer.Option("--watch", help="Stay until it ends.")] = False,
    server: Server = None,
    as_json: Annotated[bool, typer.Option("--json", help="The job, as JSON.")] = False,
) -> None:
    """Measure many recordings again, with versions by choice; nobody's results change."""
    from cli import reanalyze as verb

    selection = {
        "ids": recording,
        "owner_id": owner,
        "created_from": since,
        "created_to": until,
        "measured": listed(measured or ""),
    }
    verb.run(
        families,
        versions=version or [],
        selection=selection,
        via=via,
        server=server,
        watched=watch,
        as_json=as_json,
    )


@models.command("list")
def models_list() -> None:
    """The weights that ship, and the registry's versions with gate and alias if it answers."""
    from cli import models as verb

    verb.list_versions()


@models.command("show")
def models_show(
    family: Annotated[str, typer.Argument(help="pitch, activity, emotion, clarity, ...")],
    version: Annotated[str, typer.Argument(help="Its number in the registry, or an alias.")],
) -> None:
    """A version's model card, metrics, digests and licence."""
    from cli import models as verb

    verb.show(family, version)


@models.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="A whisper checkpoint: tiny, base, small, ...")],
) -> None:
    """Fetch a whisper checkpoint into the cache, with progress; resumes where it stopped."""
    from cli import models as verb

    verb.fetch(name)
