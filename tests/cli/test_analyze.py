"""`vocality analyze`: one Analysis a line, in the order of the files, no server needed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.signals import tone, wav

VOCALITY = str(Path(sys.executable).with_name("vocality"))


@pytest.fixture
def takes(tmp_path: Path) -> list[Path]:
    found = []
    for hz in (330, 110, 220):
        path = tmp_path / f"{hz}.wav"
        path.write_bytes(wav(tone(hz, 1)))
        found.append(path)
    return found


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [VOCALITY, "analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def median_hz(analysis: dict[str, Any]) -> float:
    voiced: list[float] = sorted(hz for hz in analysis["pitch"]["f0_hz"] if hz)
    return voiced[20]


def test_a_family_that_is_turned_off_says_so(
    takes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOCALITY_DISABLED_FAMILIES", "emotion")
    [analysis] = lines(run("--json", takes[0], "--families", "emotion"))

    assert analysis["emotion"]["absent"]["reason"] == "model_unavailable"
    assert "VOCALITY_DISABLED_FAMILIES" in analysis["emotion"]["absent"]["detail"]


def test_analyses_come_in_the_order_of_the_files(takes: list[Path]) -> None:
    done = run(*takes, "--families", "pitch", "--json")

    assert done.returncode == 0
    assert [round(median_hz(a) / 110) for a in lines(done)] == [3, 1, 2]
    assert lines(done)[0]["pitch"]["f0_hz"].count(None) < 20
    assert lines(done)[0]["pitch"]["hop_s"] == 0.01


def test_a_file_that_is_no_take_is_named_and_the_others_are_measured(
    takes: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "notes.wav"
    bad.write_text("dear diary")

    done = run(takes[0], bad, tmp_path / "missing.wav", takes[1], "--families", "pitch", "--json")

    assert done.returncode == 1
    assert [round(median_hz(a) / 110) for a in lines(done)] == [3, 1]
    assert "notes.wav" in done.stderr
    assert "unsupported_media" in done.stderr
    assert "missing.wav" in done.stderr
    assert "Traceback" not in done.stderr


def test_people_see_scores_and_the_f0_line(takes: list[Path]) -> None:
    done = run(takes[0])

    assert done.returncode == 0
    assert "Hz" in done.stdout
    assert "f0_median_hz" in done.stdout
    assert "model_unavailable" in done.stdout


def test_an_unknown_family_is_refused_with_the_known_ones(takes: list[Path]) -> None:
    done = run(takes[0], "--families", "pitch,aura")

    assert done.returncode == 2
    assert "aura" in done.stderr
    assert "timbre" in done.stderr


def test_a_server_that_is_not_there_is_said(takes: list[Path]) -> None:
    done = run(takes[0], "--server", "http://127.0.0.1:9", "--json")

    assert done.returncode == 1
    assert "does not answer" in done.stderr
