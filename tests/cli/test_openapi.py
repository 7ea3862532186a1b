"""The committed OpenAPI document is that of the code, and what breaks clients is noticed."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import openapi
from cli.contract import broken
from cli.main import app

Change = Callable[[dict[str, Any]], object]


def test_the_committed_document_is_that_of_the_code() -> None:
    committed = json.loads(openapi.COMMITTED.read_text())
    current = openapi.current()

    sentences = "\n".join(broken(committed, current))
    assert not sentences, (
        f"{sentences}\nThis breaks clients. Keep the old form beside the new one; or, if it is "
        "meant, say so in the release notes and run `vocality openapi --breaking`."
    )
    assert openapi.COMMITTED.read_text() == openapi.written(current), (
        "openapi.json is older than the code: run `vocality openapi` and commit it."
    )


def post(document: dict[str, Any]) -> Any:  # noqa: ANN401
    return document["paths"]["/v1/rollouts"]["post"]


def schema(document: dict[str, Any], name: str) -> Any:  # noqa: ANN401
    return document["components"]["schemas"][name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["paths"]["/v1/rollouts"].pop("post"), "is gone"),
        (lambda d: post(d)["responses"].pop("409"), "has no answer 409 any more"),
        (lambda d: schema(d, "RolloutIn")["required"].append("percent"), "requires /percent"),
        (lambda d: schema(d, "RolloutIn")["properties"].pop("mode"), "takes no string at /mode"),
        (
            lambda d: schema(d, "RolloutIn")["properties"]["mode"]["enum"].remove("shadow"),
            "takes no shadow at /mode",
        ),
        (lambda d: schema(d, "RolloutOut")["required"].remove("champion"), "need not give /champ"),
        (
            lambda d: schema(d, "RolloutOut")["properties"]["generation"].update(type="string"),
            "may give string at /generation of 202",
        ),
        (
            lambda d: post(d).update(
                parameters=[{"in": "query", "name": "why", "required": True, "schema": {}}]
            ),
            "requires the query parameter why",
        ),
    ],
)
def test_what_breaks_clients_is_said(change: Change, said: str) -> None:
    new = copy.deepcopy(openapi.current())
    change(new)

    assert any(
        "POST /v1/rollouts " in one and said in one for one in broken(openapi.current(), new)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["paths"].update({"/v1/new": {"get": {"operationId": "x", "responses": {}}}}),
        lambda d: schema(d, "RolloutIn")["properties"].update(more={"type": "string"}),
        lambda d: schema(d, "RolloutIn")["required"].remove("version"),
        lambda d: schema(d, "RolloutOut")["properties"].update(more={"type": "string"}),
        lambda d: post(d)["responses"].update({"429": {"description": "Too many"}}),
    ],
)
def test_what_only_adds_is_let_through(change: Change) -> None:
    new = copy.deepcopy(openapi.current())
    change(new)

    assert broken(openapi.current(), new) == []


def test_a_breaking_document_is_written_only_when_it_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    old = copy.deepcopy(openapi.current())
    old["paths"]["/v1/gone"] = {"get": {"operationId": "get_gone", "responses": {}}}
    file.write_text(json.dumps(old))

    refused = CliRunner().invoke(app, ["openapi", "--output", str(file)])
    assert refused.exit_code == 1
    assert "GET /v1/gone is gone" in refused.output
    assert json.loads(file.read_text()) == old

    assert CliRunner().invoke(app, ["openapi", "--output", str(file), "--breaking"]).exit_code == 0
    assert file.read_text() == openapi.written(openapi.current())
