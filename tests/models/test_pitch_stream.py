"""Pitch in pieces: the cut changes nothing, the future is not heard, the answer is the take's."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE, Audio
from models.pitch import PitchEngine
from models.pitch_stream import HALF, Frame, PitchStream
from models.spectra import HOP
from training.synthesis import Sung, Voice, contour, glide, rest, sing


@pytest.fixture(scope="module")
def engine() -> PitchEngine:
    return PitchEngine.load()


@pytest.fixture(scope="module")
def sung() -> Sung:
    parts = [rest(0.2), contour(0.3, 220), glide(0.3, 220, 330), rest(0.2), contour(0.3, 150)]
    return sing(np.concatenate(parts), Voice(jitter=0.005, shimmer=0.03, noise_db=-30))


def streamed(
    engine: PitchEngine, samples: NDArray[np.float32], *, piece: int = 1600, ahead: int = 20
) -> list[Frame]:
    stream = PitchStream(engine, ahead)
    pieces = [samples[at : at + piece] for at in range(0, len(samples), piece)]
    fed = [stream.feed(part) for part in pieces]
    return [*itertools.chain(*fed), *stream.flush()]


def hertz(frames: list[Frame]) -> NDArray[np.float64]:
    return np.array([np.nan if frame.hz is None else frame.hz for frame in frames])


@pytest.mark.parametrize("piece", [37, 160, 4001])
def test_how_the_sound_is_cut_changes_nothing(engine: PitchEngine, sung: Sung, piece: int) -> None:
    samples = sung.audio.samples[: ANALYSIS_RATE // 2]

    whole = streamed(engine, samples, piece=len(samples))
    cut = streamed(engine, samples, piece=piece)

    assert [frame.time_s for frame in cut] == [frame.time_s for frame in whole]
    np.testing.assert_allclose(hertz(cut), hertz(whole), rtol=1e-5)
    sure, usual = ([frame.confidence for frame in frames] for frames in (cut, whole))
    np.testing.assert_allclose(sure, usual, atol=1e-4)


def test_every_frame_comes_once_and_in_order(engine: PitchEngine, sung: Sung) -> None:
    frames = streamed(engine, sung.audio.samples)

    count = len(sung.audio.samples) // HOP + 1
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(count) * 0.01)


@pytest.mark.parametrize("ahead", [HALF, 10, 20])
def test_a_frame_comes_when_its_look_ahead_is_over(
    engine: PitchEngine, sung: Sung, ahead: int
) -> None:
    stream = PitchStream(engine, ahead)
    assert stream.look_ahead_ms == 10 * ahead

    frames = stream.feed(sung.audio.samples[: 60 * HOP])

    assert len(frames) == 60 - ahead + 1
    assert stream.feed(np.zeros(HOP - 1, np.float32)) == []
    assert len(stream.feed(np.zeros(1, np.float32))) == 1


def test_what_comes_later_changes_no_frame_that_was_answered(
    engine: PitchEngine, sung: Sung
) -> None:
    first, second = PitchStream(engine), PitchStream(engine)
    known, loud = sung.audio.samples[: 60 * HOP], np.ones(40 * HOP, np.float32)

    alone = first.feed(known)
    followed = second.feed(np.concatenate([known, loud]))

    np.testing.assert_allclose(hertz(followed[: len(alone)]), hertz(alone), rtol=1e-5)


def test_a_stream_says_what_the_whole_take_says(engine: PitchEngine, sung: Sung) -> None:
    [path] = engine.hear([sung.audio]).paths

    live = hertz(streamed(engine, sung.audio.samples))

    assert np.mean(np.isnan(live) == path.voiced) < 0.04
    both = path.voiced & ~np.isnan(live)
    assert np.percentile(np.abs(1200 * np.log2(live[both] / path.hz[both])), 95) < 10


def test_a_long_stream_keeps_little(engine: PitchEngine) -> None:
    stream = PitchStream(engine)

    stream.feed(np.zeros(3 * ANALYSIS_RATE, np.float32))

    assert len(stream._kept) < ANALYSIS_RATE


def test_silence_is_no_voice(engine: PitchEngine) -> None:
    frames = streamed(engine, np.zeros(8000, np.float32))

    assert len(frames) == 51
    assert np.isnan(hertz(frames)).all()


def test_a_look_ahead_of_less_than_half_a_window_is_refused(engine: PitchEngine) -> None:
    with pytest.raises(ValueError, match="least"):
        PitchStream(engine, HALF - 1)


def test_nothing_fed_is_one_silent_frame(engine: PitchEngine) -> None:
    audio = Audio(np.zeros(0, np.float32), ANALYSIS_RATE)

    assert len(streamed(engine, audio.samples)) == len(engine.hear([audio]).paths[0].hz)
