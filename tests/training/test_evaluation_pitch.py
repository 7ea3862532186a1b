"""The evaluation of pitch: its metrics are right on planted cases, and it runs from end to end."""

import csv
import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE
from models.pitch import PitchEngine
from models.pitchnet import PitchNet
from models.results import Version
from training import resynthesis
from training.evaluation import pitch, pitch_material, trackers
from training.evaluation.pitch_answers import (
    Answers,
    Clips,
    asked,
    calibration_error,
    consensus,
    reliability,
)
from training.evaluation.trackers import PEERS, Curve, Missing, Peer, Track, on_our_frames, ready
from training.melody_metrics import accuracy
from training.synthesis import Voice, glide, rest, sing

COLUMNS = (
    *("file", "speaker", "gender", "label", "transcript"),
    *("language", "duration_s", "licence", "train_ok", "extra"),
)


def curve(hz: list[float], voiced: list[bool]) -> Curve:
    return Curve(np.array(hz), np.array(voiced))


def test_a_curve_of_another_hop_is_read_between_its_frames() -> None:
    times = np.arange(70) * 0.016
    hz = 200 * 2 ** (times / 2)

    found = on_our_frames(times, hz, np.ones(70), 0.5, ANALYSIS_RATE)

    assert len(found.hz) == 101
    expected = 200 * 2 ** (np.arange(101) * 0.01 / 2)
    assert np.abs(1200 * np.log2(found.hz / expected)).max() < 0.1
    assert found.voiced.all()


def test_a_leap_is_not_smoothed_and_no_guess_is_no_voice() -> None:
    times = np.arange(4) * 0.02
    hz, voicing = np.array([100.0, 200.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])

    found = on_our_frames(times, hz, voicing, 0.5, 960)

    assert found.hz.tolist() == pytest.approx([100, 100, 200, 200, 0, 0, 0])
    assert found.voiced.tolist() == [True, True, True, True, False, False, False]


def test_a_peer_that_cannot_be_had_is_missing_with_its_reason() -> None:
    def load() -> Track:
        raise OSError("no such library\nand a second line")

    assert ready(Peer("Nobody", load)) == Missing("OSError: no such library")


@pytest.mark.parametrize("name", ["SwiftF0", "FCPE", "Praat AC"])
def test_the_judges_answer_at_our_frames(name: str) -> None:
    track = ready(next(peer for peer in PEERS if peer.name == name))
    if isinstance(track, Missing):
        pytest.skip(f"{name} is missing: {track.why}")
    f0 = np.concatenate([glide(1.0, 150, 330), rest(0.4)])
    made = sing(f0, Voice(noise_db=-30.0))

    found = track(made.audio.samples)

    count = len(made.f0_hz)
    assert len(found.hz) == len(made.audio.samples) // 160 + 1
    inside = np.r_[5:95]  # its windows see the ends
    error = 1200 * np.log2(found.hz[inside] / made.f0_hz[inside])
    assert np.median(np.abs(error)) < 25
    assert abs(np.median(error)) < 12  # a frame late would be 14
    assert not found.voiced[count - 20 :].any()


def test_what_stands_in_for_torchaudio_resamples() -> None:
    trackers.bring_torchaudio()
    at_8_khz = importlib.import_module("torchaudio").transforms.Resample(16_000, 8_000)
    time = torch.arange(16_000) / 16_000

    found = at_8_khz(torch.sin(2 * torch.pi * 440 * time)[None])
    own = trackers.Resample(16_000, 8_000)(torch.sin(2 * torch.pi * 440 * time)[None])

    expected = torch.sin(2 * torch.pi * 440 * time[::2])
    for turned in (found, own):
        assert turned.shape == (1, 8_000)
        torch.testing.assert_close(turned[0, 200:-200], expected[200:-200], atol=0.01, rtol=0)


def test_a_consensus_needs_two_who_agree() -> None:
    #        all agree, one stands alone, two differ, one voice, silence
    first = curve([100, 100, 100, 100, 0], [True, True, True, True, False])
    second = curve([101, 101, 200, 100, 0], [True, True, True, False, False])
    third = curve([102, 50, 0, 100, 0], [True, True, False, False, False])

    found = consensus([first, second, third])

    assert found[:2].tolist() == pytest.approx([101, 100])
    assert np.isnan(found[2:4]).all()
    assert found[4] == 0
    assert consensus([first, second])[0] == pytest.approx(np.sqrt(100 * 101))


def test_shares_pool_the_frames_of_each_speaker() -> None:
    truth = [np.array([100.0, 100, 0, 0]), np.array([100.0]), np.array([100.0, np.nan])]
    curves = [
        curve([100, 150, 0, 0], [True, True, True, False]),
        curve([100], [True]),
        curve([200, 300], [True, True]),
    ]
    answers = Answers(Clips(["a", "b", "a"], [], truth), curves, 0.0)

    assert answers.share("RPA").value == pytest.approx(2 / 4)
    assert answers.share("RCA").value == pytest.approx(3 / 4)
    assert answers.share("VFA").value == pytest.approx(1 / 2)
    assert answers.share("OA").value == pytest.approx(3 / 6)  # the unknown frame is not one
    assert answers.share("octaves").value == pytest.approx(1 / 4)
    assert answers.share("RPA").low < answers.share("RPA").high


def test_a_tracker_that_stops_early_is_silent_from_there_on() -> None:
    clips = Clips(["a"], [np.zeros(480, np.float32)], [np.full(4, 100.0)])

    found = asked(lambda take: curve([100, 100], [True, True]), clips)

    assert found.share("VR").value == pytest.approx(1 / 2)


def planted(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Answers:
    """Frames called voiced with this confidence; truth is where they are right."""
    hz, voiced = np.full(len(right), 100.0), np.ones(len(right), bool)
    truth = np.where(right, 100.0, 0.0)
    halves = np.array_split(np.arange(len(right)), 2)
    clips = Clips(["a", "b"], [], [truth[half] for half in halves])
    return Answers(clips, [Curve(hz[half], voiced[half], confidence[half]) for half in halves], 0.0)


def test_a_confidence_that_keeps_its_word_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)

    bins = reliability([planted(confidence, rng.random(20_000) < confidence)])

    assert len(bins) == 10
    assert calibration_error(bins) < 0.02
    assert all(abs(one.right.value - (one.low + 0.05)) < 0.05 for one in bins)


def test_a_confidence_that_boasts_is_not() -> None:
    bins = reliability([planted(np.full(1000, 0.95), np.arange(1000) % 2 == 0)])

    assert [one.frames for one in bins] == [1000]
    assert calibration_error(bins) == pytest.approx(0.45)


def test_linear_prediction_speaks_at_the_pitch_it_was_given() -> None:
    pytest.importorskip("parselmouth")
    said = sing(np.concatenate([glide(1.0, 120, 180), rest(0.3), glide(0.7, 160, 110)]))
    sound = said.audio.samples
    sound = sound + np.random.default_rng(1).normal(0, 1e-4, len(sound)).astype(np.float32)

    known = pitch_material.predicted(sound, resynthesis.analyse(sound), np.random.default_rng(2))
    found = trackers.praat()(known.samples)

    count = min(len(found.hz), len(known.f0_hz))
    reached = accuracy(found.hz[:count], found.voiced[:count], known.f0_hz[:count])
    assert (known.f0_hz > 0).mean() > 0.6
    assert reached.raw_pitch > 0.95
    assert reached.error_cents < 10


def corpora(root: Path) -> Path:
    """Seven speakers who each say two vowels, in every corpus that is asked for."""
    for name in ("librispeech_subset", "small_asr", "picovoice_intent", "ravdess", "emodb"):
        (root / name / "audio").mkdir(parents=True)
        with (root / name / "labels.csv").open("w", newline="") as opened:
            table = csv.DictWriter(opened, COLUMNS)
            table.writeheader()
            for speaker in range(7):
                table.writerow(_line(root / name, speaker, name))
    return root


def _line(folder: Path, speaker: int, name: str) -> dict[str, str]:
    made = sing(np.concatenate([glide(0.4, 110 + 10 * speaker, 170), rest(0.2)]), seed=speaker)
    soundfile.write(folder / f"audio/{speaker}.flac", made.audio.samples, ANALYSIS_RATE)
    known = "" if name == "picovoice_intent" else f"{name}{speaker}"
    return dict.fromkeys(COLUMNS, "") | {
        "file": f"audio/{speaker}.flac",
        "speaker": known,
        "duration_s": "0.6",
        "train_ok": "yes",
    }


def same_note(hz: float) -> Callable[[], Track]:
    def track(samples: NDArray[np.float32]) -> Curve:
        frames = len(samples) // 160 + 1
        return Curve(np.full(frames, hz), np.arange(frames) < 30)

    return lambda: track


def nobody() -> Track:
    raise ImportError("no module named nobody")


def test_the_whole_part_is_measured_without_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pitch_material, "IMAGINED", 1)
    monkeypatch.setattr(pitch, "LONG_S", 1)
    torch.manual_seed(0)
    engine = PitchEngine(PitchNet(8), Version(name="pitch", version="0", sha256=""))
    peers = (
        Peer("Praat AC", same_note(140.0)),
        Peer("SwiftF0", same_note(141.0)),
        Peer("FCPE", same_note(300.0)),
        Peer("Slow", same_note(150.0), every=2),
        Peer("Nobody", nobody),
    )

    sections = pitch.measure(corpora(tmp_path), engine, peers)

    text = "\n".join(section.markdown() for section in sections)
    assert "Nobody is missing: ImportError: no module named nobody" in text
    assert "ours, on 2 of them" in text
    assert {section.title for section in sections} >= {"Goals", "Cost on one CPU thread"}
    natural = next(s for s in sections if s.title.startswith("Natural speech: agreement"))
    assert [row[0] for row in natural.rows] == ["LibriSpeech, held out", "RAVDESS", "EMO-DB"]


def test_without_the_judges_there_is_no_consensus() -> None:
    engine = PitchEngine(PitchNet(8), Version(name="pitch", version="0", sha256=""))

    (section,) = pitch.agreement(pitch.gathered(engine, ()), {})

    assert "Praat AC and SwiftF0 and FCPE" in section.method
