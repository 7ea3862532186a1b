"""The command line with a platform: the demo by itself, and `analyze --server`."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.signals import tone, wav
from tests.system.platform import VOCALITY, Platform, alone

pytestmark = pytest.mark.system


def run(*arguments: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VOCALITY, *map(str, arguments)],
        env=alone({"VOCALITY_HOME": str(home)} if home else {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_demo_starts_measures_shows_and_stops(tmp_path: Path) -> None:
    done = run("demo", home=tmp_path / "var")

    assert done.returncode == 0, done.stderr
    assert "200" in done.stdout
    assert "intonation" in done.stdout
    assert "Hz" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_server_gives_the_same_numbers_as_this_process(
    platform: Platform, tmp_path: Path
) -> None:
    takes: list[Path] = []
    for hz in (330, 110):
        takes.append(tmp_path / f"{hz}.wav")
        takes[-1].write_bytes(wav(tone(hz, 1)))
    question: tuple[str | Path, ...] = ("analyze", *takes, "--families", "pitch", "--json")

    here = run(*question).stdout.splitlines()
    there = run(*question, "--server", platform.door, home=platform.home).stdout.splitlines()

    for mine, theirs in zip(here, there, strict=True):
        left, right = json.loads(mine)["pitch"], json.loads(theirs)["pitch"]
        assert left["f0_hz"] == pytest.approx(right["f0_hz"], abs=0.011)
        assert left["version"] == right["version"]
