"""What a version learns from is on record, and no speaker of it judges it."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training import dataset, licences
from training.dataset import RECORDINGS, Dataset

COLUMNS = "file,speaker,gender,label,transcript,language,duration_s,licence,train_ok,extra"


def write(root: Path, name: str, speakers: Sequence[str], licence: str = "CC BY 4.0") -> Path:
    """Two clips of noise a speaker; the same speaker's and take's noise is the same anywhere."""
    folder = root / name
    folder.mkdir(parents=True)
    rows = [(speaker, take) for speaker in speakers for take in range(2)]
    with (folder / "labels.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, COLUMNS.split(","), restval="")
        out.writeheader()
        for place, (speaker, take) in enumerate(rows):
            seed = [*speaker.encode(), take] if speaker else place
            sound = 0.1 * np.random.default_rng(seed).standard_normal(800)
            soundfile.write(folder / f"{place}.wav", sound, 16_000)
            out.writerow(
                {"file": f"{place}.wav", "speaker": speaker, "duration_s": 0.05, "licence": licence}
            )
    return folder


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{i:02d}" for i in range(count)]


def speakers(found: Dataset, split: str) -> set[tuple[str, str]]:
    return {(e.source, e.speaker) for e in found.manifest.clips if e.split == split}


def test_every_clip_is_on_record_and_no_speaker_on_both_sides(tmp_path: Path) -> None:
    write(tmp_path, "one", names("a", 10))
    write(tmp_path, "two", names("b", 10), "CC BY-NC 4.0")

    found = dataset.gathered(tmp_path, ["one", "two"])

    assert len(found.manifest.clips) == 40
    assert len({e.sha256 for e in found.manifest.clips}) == 40
    assert speakers(found, "train") | speakers(found, "held_out") == {
        *(("one", name) for name in names("a", 10)),
        *(("two", name) for name in names("b", 10)),
    }
    assert speakers(found, "held_out") == {
        ("one", "a08"),
        ("one", "a09"),
        ("two", "b08"),
        ("two", "b09"),
    }
    assert not speakers(found, "train") & speakers(found, "held_out")
    assert found.manifest.licence() == "CC-BY-NC-4.0"
    assert {clip.speaker for clip in found.split.held_out} == {"a08", "a09", "b08", "b09"}


def test_the_digest_is_that_of_the_material_and_not_of_its_place(tmp_path: Path) -> None:
    for place in ("here", "there"):
        write(tmp_path / place, "one", names("a", 4))
    write(tmp_path / "more", "one", names("a", 5))

    here, there, more = (
        dataset.gathered(tmp_path / place, ["one"]).manifest.digest
        for place in ("here", "there", "more")
    )

    assert here == there != more


def test_clips_of_nobody_known_are_left_out_where_speakers_are_held_out(tmp_path: Path) -> None:
    write(tmp_path, "known", [*names("a", 10), ""])
    write(tmp_path, "unknown", ["", ""])

    found = dataset.gathered(tmp_path, ["known", "unknown"])

    unknown = [e for e in found.manifest.clips if not e.speaker]
    assert {(e.source, e.split) for e in unknown} == {("unknown", "train")}
    assert found.manifest.left_out == {"unknown speaker of a corpus with held-out speakers": 2}


def test_one_sound_under_two_names_does_not_cross_the_split(tmp_path: Path) -> None:
    """b00 of the second corpus is a09 of the first: a speaker who is held out there."""
    write(tmp_path, "one", names("a", 10))
    second = write(tmp_path, "two", names("b", 3))
    (second / "0.wav").write_bytes((tmp_path / "one" / "18.wav").read_bytes())

    found = dataset.gathered(tmp_path, ["one", "two"])

    assert ("two", "b00") not in speakers(found, "train")
    assert found.manifest.left_out == {"also heard from a held-out speaker": 2}


def test_an_owner_who_is_held_out_stays_so_whoever_else_comes(tmp_path: Path) -> None:
    few, many = names("usr_", 40), names("usr_", 99)
    first = dataset.gathered(tmp_path, [], write(tmp_path / "1", RECORDINGS, few))
    second = dataset.gathered(tmp_path, [], write(tmp_path / "2", RECORDINGS, many))

    apart = speakers(first, "held_out")
    assert 0 < len(apart) < 15
    assert apart == {who for who in speakers(second, "held_out") if who[1] in few}
    assert not speakers(second, "train") & speakers(second, "held_out")


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("CC BY 4.0 (LibriSpeech, V. Panayotov)", "CC-BY-4.0"),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0"),
        ("CC BY-NC-ND 4.0", "LicenseRef-unclear"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("Apache-2.0 (repository licence)", "Apache-2.0"),
        ("public domain (LibriVox); repository BSD-2", "BSD-3-Clause"),
        ("EMO-DB: free of charge; no explicit licence text in the mirror", "LicenseRef-unclear"),
        ("all rights reserved", "LicenseRef-unclear"),
        ("", "LicenseRef-unclear"),
    ],
)
def test_a_licence_is_known_by_its_words(text: str, licence: str) -> None:
    assert licences.known(text) == licence


def test_the_strictest_source_decides() -> None:
    assert licences.strictest([]) == "Apache-2.0"
    assert licences.strictest(["MIT", "CC BY 4.0"]) == "CC-BY-4.0"
    assert licences.strictest(["CC BY-SA 4.0", "CC BY-NC 4.0"]) == "CC-BY-NC-4.0"
    assert licences.strictest(["CC BY 4.0", licences.CONSENTED]) == licences.CONSENTED
