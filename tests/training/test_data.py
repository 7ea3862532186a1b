"""A corpus is read as its labels say, and no speaker is on both sides of a split."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training import data

HEADER = "file,speaker,gender,label,transcript,language,duration_s,licence,train_ok,extra\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten speakers with two clips each, and a clip of nobody known."""
    said = "f,joy,Hello.,en,0.5,CC BY 4.0,yes (attribution)"
    rows = [
        f'audio/{speaker:02d}_{take}.wav,s{speaker:02d},{said},"{{""rep"": ""{take}""}}"'
        for speaker in range(10)
        for take in range(2)
    ]
    rows.append("audio/x.wav,,m,,,en,0.5,CC BY-NC 4.0,no (evaluation only),")
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "labels.csv").write_text(HEADER + "\n".join(rows) + "\n")
    return tmp_path


def test_labels_become_clips(root: Path) -> None:
    clips = data.corpus(root, "voices")

    assert len(clips) == 21
    assert clips[0].path == root / "voices" / "audio" / "00_0.wav"
    assert clips[0].speaker == "s00"
    assert clips[0].extra == {"rep": "0"}
    assert clips[0].shippable
    assert not clips[-1].shippable


def test_a_split_is_by_speaker_and_keeps_the_unknown_out_of_the_test(root: Path) -> None:
    clips = data.corpus(root, "voices")

    split = data.by_speaker(clips, held_out=0.2)

    assert {clip.speaker for clip in split.held_out} == {"s08", "s09"}
    assert {clip.speaker for clip in split.train}.isdisjoint({"s08", "s09"})
    assert len(split.train) + len(split.held_out) == len(clips)
    assert any(clip.speaker == "" for clip in split.train)


def test_folds_hold_every_speaker_out_once(root: Path) -> None:
    clips = data.corpus(root, "voices")

    folds = data.folds(clips, 4)

    held_out = [clip.path for fold in folds for clip in fold.held_out]
    assert sorted(held_out) == sorted(clip.path for clip in clips)
    for fold in folds:
        heard = {clip.speaker for clip in fold.train}
        assert heard.isdisjoint({clip.speaker for clip in fold.held_out})


def test_a_clip_is_read_as_mono_at_16_khz(root: Path) -> None:
    (root / "voices" / "audio").mkdir()
    stereo = np.zeros((22_050, 2), np.float32)
    soundfile.write(root / "voices" / "audio" / "00_0.wav", stereo, 44_100)

    audio = data.corpus(root, "voices")[0].audio()

    assert audio.sample_rate == 16_000
    assert audio.samples.shape == (8000,)


def test_a_missing_corpus_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        data.corpus(tmp_path, "voices")
