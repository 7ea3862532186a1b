"""Transcripts are whisper's own, however many takes are decoded together."""

from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
import whisper
from whisper.model import ModelDimensions

from models.audio import Audio
from models.engine import Options, Task
from models.results import FamilyResult, Reason, Transcript
from models.transcript import TranscriptEngine, language_code
from models.transcript_decoding import Decoded
from models.transcript_reading import Reading, log_mel
from tests import checkpoints
from tests.signals import RATE, join, noise, silence, tone

GREEDY = Options(temperature=0.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    # whisper aligns with numba, whose threads then hold up every small step of torch
    numba.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whisper")


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return checkpoints.write(folder, seed=0)


@pytest.fixture(scope="module")
def engine(path: Path) -> TranscriptEngine:
    return TranscriptEngine.load(str(path))


def melody(seconds: float, seed: int = 0) -> Audio:
    """Tones, noises and pauses: something different in every window."""
    rng = np.random.default_rng(seed)
    parts, left = [], seconds
    while left > 0.01:
        length = min(left, rng.uniform(0.2, 0.6))
        level = rng.uniform(0.01, 0.3)
        parts.append(tone(rng.uniform(90, 900), length, level=level))
        left -= length
    return join(*parts)


def transcribe(engine: TranscriptEngine, *takes: Audio, options: Options) -> list[Transcript]:
    answers = engine.analyze_batch([Task(take, options=options) for take in takes])
    return [whole(answer) for answer in answers]


def whole(answer: FamilyResult) -> Transcript:
    assert isinstance(answer, Transcript)
    assert answer.absent is None, answer.absent
    return answer


CLOSE = 0.02 + 1e-6  # seconds


def same_as_whisper(ours: Transcript, theirs: dict[str, Any]) -> None:
    assert ours.text == theirs["text"]
    assert ours.language == theirs["language"]
    assert [s.text for s in ours.segments] == [s["text"] for s in theirs["segments"]]
    for mine, other in zip(ours.segments, theirs["segments"], strict=True):
        assert mine.temperature == other["temperature"]
        assert (mine.start_s, mine.end_s) == pytest.approx(
            (other["start"], other["end"]), abs=CLOSE
        )
        assert mine.average_logprob == pytest.approx(other["avg_logprob"], abs=1e-4)
        assert mine.no_speech_probability == pytest.approx(other["no_speech_prob"], abs=1e-4)
    for word, said in zip(
        ours.words, [w for s in theirs["segments"] for w in s["words"]], strict=True
    ):
        assert word.word == said["word"]
        assert (word.start_s, word.end_s) == pytest.approx((said["start"], said["end"]), abs=CLOSE)
        assert word.probability == pytest.approx(said["probability"], abs=1e-4)


def whispered(path: Path, take: Audio, **options: float | str | None) -> dict[str, Any]:
    model = whisper.load_model(str(path), device="cpu")
    answer: dict[str, Any] = whisper.transcribe(
        model, take.samples, fp16=False, word_timestamps=True, **options
    )
    return answer


def test_takes_in_one_batch_read_as_whisper_reads_them_one_by_one(
    engine: TranscriptEngine, path: Path
) -> None:
    takes = [melody(1.3, 1), melody(30.4, 2), melody(0.5, 3)]

    ours = transcribe(engine, *takes, options=GREEDY)

    for mine, take in zip(ours, takes, strict=True):
        same_as_whisper(mine, whispered(path, take, temperature=0.0))
    assert len({mine.text for mine in ours}) > 1
    assert sum(len(mine.words) for mine in ours) > 10


def test_language_and_prompt_are_honoured_as_whisper_does(
    engine: TranscriptEngine, path: Path
) -> None:
    take = melody(0.8, 4)
    options = Options(temperature=0.0, language="de", prompt="Ein Lied, zwei Lieder.")

    (ours,) = transcribe(engine, take, options=options)

    given = {"language": "de", "initial_prompt": options.prompt}
    same_as_whisper(ours, whispered(path, take, temperature=0.0, **given))
    assert ours.conditions["language_detected"] is False
    assert ours.text != transcribe(engine, take, options=GREEDY)[0].text


@pytest.mark.parametrize("dims", [checkpoints.ENGLISH, checkpoints.LARGE_V3])
def test_every_kind_of_checkpoint_is_read(folder: Path, dims: ModelDimensions) -> None:
    path, take = checkpoints.write(folder, 2, dims, confidence=0.5), melody(0.7, 5)

    (ours,) = transcribe(TranscriptEngine.load(str(path)), take, options=GREEDY)

    same_as_whisper(ours, whispered(path, take, temperature=0.0))


def test_a_sure_text_stays_at_temperature_zero_of_the_ladder(folder: Path) -> None:
    path, take = checkpoints.write(folder, 0, confidence=1.0), melody(0.8, 6)

    (ours,) = transcribe(TranscriptEngine.load(str(path)), take, options=Options())

    assert {segment.temperature for segment in ours.segments} == {0.0}
    same_as_whisper(ours, whispered(path, take))


def test_an_unsure_text_climbs_the_ladder_to_its_end(engine: TranscriptEngine) -> None:
    take = melody(0.4, 7)

    (ours,) = transcribe(engine, take, options=Options())

    assert {segment.temperature for segment in ours.segments} == {1.0}


@pytest.mark.parametrize("temperature", [0.0, 0.6])
def test_batch_mates_never_change_a_transcript(
    engine: TranscriptEngine, temperature: float
) -> None:
    prompts = ["", "A much longer prompt than the others have, about songs.", "Short.", "", ""]
    takes = [melody(1.1, 1), melody(30.3, 2), noise(0.4), silence(2.0), tone(220, 0.5)]
    tasks = [
        Task(take, options=Options(temperature=temperature, prompt=prompt))
        for take, prompt in zip(takes, prompts, strict=True)
    ]

    together = engine.analyze_batch(tasks)

    for task, result in zip(tasks, together, strict=True):
        (alone,) = engine.analyze_batch([task])
        assert_close(alone, result)


def assert_close(alone: FamilyResult, batched: FamilyResult) -> None:
    assert isinstance(alone, Transcript)
    assert isinstance(batched, Transcript)
    assert (alone.text, alone.absent) == (batched.text, batched.absent)
    for one, other in zip(alone.segments, batched.segments, strict=True):
        assert (one.start_s, one.end_s) == (other.start_s, other.end_s)
        assert one.average_logprob == pytest.approx(other.average_logprob, rel=1e-5)
    for mine, theirs in zip(alone.words, batched.words, strict=True):
        assert (mine.word, mine.start_s, mine.end_s) == (theirs.word, theirs.start_s, theirs.end_s)
        assert mine.probability == pytest.approx(theirs.probability, abs=1e-5)


def test_more_takes_than_a_batch_holds_are_all_answered_in_order(engine: TranscriptEngine) -> None:
    takes = [melody(0.4 + 0.1 * i, i) for i in range(19)]

    ours = engine.analyze_batch([Task(take, options=GREEDY) for take in takes])

    assert_close(engine.analyze_batch([Task(takes[18], options=GREEDY)])[0], ours[18])
    assert len(ours) == 19


def test_a_temperature_near_zero_samples_the_likeliest_text(engine: TranscriptEngine) -> None:
    take = melody(2.0, 8)

    (cold,) = transcribe(engine, take, options=GREEDY)
    (cool,) = transcribe(engine, take, options=Options(temperature=1e-4))
    (warm,) = transcribe(engine, take, options=Options(temperature=1.0))

    assert cool.text == cold.text
    assert warm.text != cold.text


def test_a_take_without_speech_says_so(folder: Path) -> None:
    path = checkpoints.write(folder, deaf=True)

    (answer,) = TranscriptEngine.load(str(path)).analyze_batch([Task(melody(2.0), options=GREEDY)])

    assert answer.absent is not None
    assert answer.absent.reason == Reason.no_speech
    assert whispered(path, melody(2.0), temperature=0.0)["text"] == ""


@pytest.mark.parametrize(
    ("take", "reason"),
    [
        (Audio(np.zeros(0, np.float32), RATE), Reason.too_short),
        (Audio(np.ones(1, np.float32), RATE), Reason.too_short),
        (tone(200, 0.2), Reason.too_short),
        (silence(1.0), Reason.silence),
        (Audio(np.full(RATE, 0.1, np.float32), RATE), Reason.silence),
    ],
)
def test_what_holds_no_words_is_absent(
    engine: TranscriptEngine, take: Audio, reason: Reason
) -> None:
    (answer,) = engine.analyze_batch([Task(take)])

    assert answer.absent is not None
    assert answer.absent.reason == reason
    assert answer.version == engine.version


def test_a_broken_take_spoils_no_other(engine: TranscriptEngine) -> None:
    broken = Audio(np.full(RATE, np.nan, np.float32), RATE)

    spoilt, fine = engine.analyze_batch(
        [Task(broken, options=GREEDY), Task(melody(1.0), options=GREEDY)]
    )

    assert spoilt.absent is not None
    assert spoilt.absent.reason == Reason.failed
    assert spoilt.absent.detail.startswith("not finite")
    assert_close(engine.analyze_batch([Task(melody(1.0), options=GREEDY)])[0], fine)


def test_special_tokens_in_a_prompt_are_plain_text(engine: TranscriptEngine) -> None:
    (ours,) = transcribe(
        engine, melody(1.0), options=Options(temperature=0.0, prompt="<|endoftext|> \U0001f3b5 \0")
    )

    assert ours.conditions["prompt"] is True


def test_an_unknown_language_is_refused_with_a_reason(engine: TranscriptEngine) -> None:
    (answer,) = engine.analyze_batch([Task(melody(1.0), options=Options(language="xx"))])

    assert answer.absent is not None
    assert "'xx'" in answer.absent.detail
    assert [language_code(name) for name in ("en-GB", "German", "PT_br", "")] == [
        *("en", "de", "pt", "")
    ]


@pytest.mark.parametrize(
    ("logprob", "no_speech", "repetitive", "accepted", "skipped"),
    [
        (-0.5, 0.1, False, True, False),
        (-1.5, 0.1, False, False, False),
        (-0.5, 0.1, True, False, False),
        (-1.5, 0.7, False, True, True),
        (-1.5, 0.7, True, True, True),
        (-0.5, 0.7, False, True, False),
    ],
)
def test_the_ladder_and_the_no_speech_rule(
    engine: TranscriptEngine,
    logprob: float,
    no_speech: float,
    repetitive: bool,
    accepted: bool,
    skipped: bool,
) -> None:
    (reading,) = engine._open([Task(tone(200, 1.0), options=Options(language="en"))])
    text = "la la la la " * 40 if repetitive else "A song of many words."
    decoded = Decoded(reading.tokenizer.encode(text), logprob, no_speech, 0.0)

    assert reading.accept(decoded) is accepted
    assert reading.attempt == (0 if accepted else 1)
    assert accepted is False or reading.skip(decoded) is skipped
    assert isinstance(reading, Reading)


@pytest.mark.parametrize("seconds", [0.3, 7.777, 61.0])
def test_the_spectrogram_is_whispers(seconds: float) -> None:
    take = melody(seconds, 9)

    theirs = whisper.log_mel_spectrogram(take.samples, padding=30 * RATE)

    ours = log_mel(take.samples, 80)
    frames = min(ours.shape[1], theirs.shape[1])
    assert frames >= len(take.samples) // 160
    assert torch.allclose(ours[:, :frames], theirs[:, :frames], atol=1e-5)
