"""whisper's words and their times: 30-second windows of all takes decoded as one batch."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import torch
from whisper.audio import HOP_LENGTH, N_FRAMES
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE, Tokenizer, get_tokenizer

from models import alignment, whisper_checkpoints
from models.audio import ANALYSIS_RATE
from models.engine import NOT_FINITE, Options, Task
from models.results import (
    Family,
    FamilyResult,
    Measure,
    Number,
    Reason,
    Transcript,
    absent,
)
from models.transcript_decoding import Decoded, Decoder
from models.transcript_reading import Reading, log_mel
from models.whisper_checkpoints import Checkpoint
from models.whisper_network import Crossed, Network

SHORTEST = 0.3  # seconds
SILENCE = 1e-5  # amplitude, full scale 1, around the take's mean
MOST_WINDOWS = 16  # decoded at once
# What the windows' cross-attention may take: a step reads all of it.
MOST_BYTES = {"cpu": 1 << 30, "cuda": 8 << 30}


class TranscriptEngine:
    """Any openai-whisper checkpoint, with the text and times of `whisper.transcribe`.

    As `whisper.transcribe(audio, word_timestamps=True)` with its defaults (Radford et al. 2022):
    greedy at temperature 0 with its fallback ladder, its no-speech rule, text conditioned on the
    previous window, word times by dynamic time warping over cross-attention, word probability the
    mean of its tokens'. Texts and words keep the spaces they begin with, as whisper's do.
    """

    family: Family = "transcript"

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.version = checkpoint.version
        self.network = Network(checkpoint.model, device)
        self.decoder = Decoder(self.network)
        dims, kind = self.network.dims, self.network.device.type
        size = torch.finfo(self.network.dtype).bits // 8
        per_window = 2 * dims.n_text_layer * dims.n_audio_ctx * dims.n_text_state * size
        self.windows = min(MOST_WINDOWS, max(1, MOST_BYTES[kind] // per_window))

    @classmethod
    def load(cls, version: str = "tiny", device: str = "cpu", sha256: str | None = None) -> Self:
        """By name ('tiny', from the cache), path, or `models:/` URI; or WeightsUnavailable.

        With a digest: by number, from the registry.
        """
        if sha256 is None:
            return cls(whisper_checkpoints.load(version), device)
        return cls(whisper_checkpoints.load_exact(cls.family, version, sha256), device)

    @torch.inference_mode()
    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        """One transcript a take, in order; up to `windows` takes are decoded together."""
        results: dict[int, FamilyResult] = {}
        waiting: deque[int] = deque()
        for i, task in enumerate(tasks):
            if refusal := self._refusal(task):
                results[i] = refusal
            else:
                waiting.append(i)
        active: dict[int, Reading] = {}
        while waiting or active:
            new = [waiting.popleft() for _ in range(min(len(waiting), self.windows - len(active)))]
            active |= zip(new, self._open([tasks[i] for i in new]), strict=True)
            self._round(list(active.values()))
            for i in [i for i, reading in active.items() if reading.done]:
                results[i] = self._result(active.pop(i))
        return [results[i] for i in range(len(tasks))]

    def _refusal(self, task: Task) -> FamilyResult | None:
        """Why a take cannot be transcribed, if it cannot."""
        samples = task.audio.samples
        if task.audio.seconds < SHORTEST:
            found = f"{task.audio.seconds:.2f} s, needs {SHORTEST:g} s."
            return absent(self.family, Reason.too_short, found, self.version)
        if np.abs(samples - samples.mean(dtype=np.float64)).max() < SILENCE:
            return absent(self.family, Reason.silence, "No sound in the take.", self.version)
        if task.options.language and not language_code(task.options.language):
            why = f"whisper knows no language {task.options.language!r}."
            return absent(self.family, Reason.failed, why, self.version)
        return None

    def _open(self, tasks: Sequence[Task]) -> list[Reading]:
        """Spectrograms and languages of takes that join the batch."""
        samples = [task.audio.at(ANALYSIS_RATE).samples for task in tasks]
        mels = [log_mel(own, self.network.dims.n_mels) for own in samples]
        languages = self._languages(tasks, [mel[:, :N_FRAMES] for mel in mels])
        return [
            Reading(
                mel,
                len(own) // HOP_LENGTH,
                task.options,
                tokenizer=self._tokenizer(language),
                language=language,
                language_probability=probability,
                prompt_limit=self.decoder.longest - 1,
            )
            for task, own, mel, (language, probability) in zip(
                tasks, samples, mels, languages, strict=True
            )
        ]

    def _languages(
        self, tasks: Sequence[Task], starts: list[torch.Tensor]
    ) -> list[tuple[str, float | None]]:
        """The language of each take, and how likely it is where it was not given."""
        if not self.network.model.is_multilingual:
            return [("en", None)] * len(tasks)
        given = [language_code(task.options.language or "") for task in tasks]
        unknown = [start for start, code in zip(starts, given, strict=True) if not code]
        if not unknown:
            return [(code, None) for code in given]
        features = self.network.encode(torch.stack(unknown))
        detected = iter(self.decoder.languages(self.network.crossed(features)))
        return [(code, None) if code else next(detected) for code in given]

    def _round(self, readings: list[Reading]) -> None:
        """Decode the window where each take stands, all together, and move on."""
        fresh = [reading for reading in readings if reading.features is None]
        if fresh:
            encoded = self.network.encode(torch.stack([reading.window() for reading in fresh]))
            for reading, features in zip(fresh, encoded, strict=True):
                reading.features = features
        features = [reading.features for reading in readings if reading.features is not None]
        crossed = self.network.crossed(torch.stack(features))
        decoded = self.decoder.decode([reading.request() for reading in readings], crossed)
        kept = [
            i
            for i, (reading, written) in enumerate(zip(readings, decoded, strict=True))
            if reading.accept(written) and not reading.skip(written)
        ]
        self._advance([(readings[i], decoded[i]) for i in kept], crossed, kept)

    def _advance(
        self, written: list[tuple[Reading, Decoded]], crossed: Crossed, kept: list[int]
    ) -> None:
        """Find the times of the words in the windows that stand, and go on."""
        if not written:
            return
        spoken = [reading.spoken(decoded) for reading, decoded in written]
        words = alignment.align(self.network, spoken, crossed.take(kept))
        for (reading, decoded), own in zip(written, words, strict=True):
            reading.advance(decoded, own)

    def _tokenizer(self, language: str) -> Tokenizer:
        model = self.network.model
        return get_tokenizer(
            model.is_multilingual, num_languages=model.num_languages, language=language
        )

    def _result(self, reading: Reading) -> FamilyResult:
        if reading.broken:
            why = f"{NOT_FINITE}: what the network wrote."
            return absent(self.family, Reason.failed, why, self.version)
        if not any(segment.text for segment in reading.segments):
            return absent(self.family, Reason.no_speech, _unspoken(reading.dropped), self.version)
        return Transcript(
            version=self.version,
            conditions=_conditions(reading, self.network),
            measures=_measures(reading),
            text=reading.text,
            language=reading.language,
            segments=reading.segments,
        )


def language_code(language: str) -> str:
    """whisper's code of 'en', 'en-GB' or 'English'; empty if it knows none."""
    wanted = language.strip().lower()
    for name in (wanted, wanted.replace("_", "-").partition("-")[0]):
        if name in LANGUAGES:
            return name
        if name in TO_LANGUAGE_CODE:
            return str(TO_LANGUAGE_CODE[name])
    return ""


def _unspoken(dropped: Iterable[float]) -> str:
    found = ", ".join(f"{probability:.2f}" for probability in list(dropped)[:5])
    return f"No words found; no-speech probability {found}." if found else "No words found."


def _conditions(reading: Reading, network: Network) -> dict[str, Number]:
    options: Options = reading.options
    temperatures = [segment.temperature for segment in reading.segments]
    return {
        "language_detected": reading.language_probability is not None,
        "prompt": bool(reading.prompted),
        "temperature": options.temperature,
        "highest_temperature": max(temperatures),
        "precision": str(network.dtype).removeprefix("torch."),
        "windows_without_speech": len(reading.dropped),
    }


def _measures(reading: Reading) -> dict[str, Measure]:
    if reading.language_probability is None:
        return {}
    heard = (0.0, min(30.0, reading.frames * HOP_LENGTH / ANALYSIS_RATE))
    likely = min(1.0, reading.language_probability)
    return {
        "language_probability": Measure(
            value=likely, unit="1", confidence=likely, evidence_s=[heard]
        )
    }
