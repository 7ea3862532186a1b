"""One take's way through its 30-second windows, by the rules of whisper.transcribe."""

import itertools
import math
import zlib
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from whisper.audio import HOP_LENGTH, N_FFT, N_FRAMES, SAMPLE_RATE, mel_filters
from whisper.timing import WordTiming
from whisper.tokenizer import Tokenizer

from models import alignment
from models.alignment import Draft, Spoken
from models.engine import Options
from models.results import Segment, Word
from models.transcript_decoding import Decoded, Request

LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # temperatures, tried until the text is plausible
MOST_REPETITIVE = 2.4  # compression ratio
LEAST_LOGPROB = -1.0  # average over a window's tokens
MOST_NO_SPEECH = 0.6
HOTTEST_PROMPT = 0.5  # text from a higher temperature does not prompt the next window
FRAMES_PER_POSITION = 2
MEL_CHUNK = 4096  # frames transformed at once
SEED_PRIME = 1_000_003


@dataclass(slots=True)
class Reading:
    """Where one take stands. A round decodes its window; it then retries, goes on, or ends."""

    mel: Tensor  # (n_mels, frames >= 3000): the take, then silence
    frames: int  # of the take
    options: Options
    tokenizer: Tokenizer  # of the take's language
    language: str
    language_probability: float | None  # None: it was given
    prompt_limit: int  # tokens
    features: Tensor | None = None  # of the window at `seek`
    seek: int = 0  # frames
    attempt: int = 0  # on the ladder
    tokens: list[int] = field(default_factory=list)  # the prompt and all text so far
    prompted: int = 0  # leading tokens that are the asker's prompt
    prompt_from: int = 0
    spoken_until_s: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    dropped: list[float] = field(default_factory=list)  # no-speech probability of skipped windows
    broken: bool = False  # the network answered with something that is no number

    @property
    def done(self) -> bool:
        return self.broken or self.seek >= self.frames

    @property
    def size(self) -> int:
        """Frames of the take in this window."""
        return min(int(N_FRAMES), self.frames - self.seek)

    @property
    def offset_s(self) -> float:
        return float(self.seek * HOP_LENGTH / SAMPLE_RATE)

    def __post_init__(self) -> None:
        prompt = (self.options.prompt or "").strip()
        if prompt:  # special tokens in it are taken as the text they look like
            self.tokens = self.tokenizer.encode(" " + prompt, disallowed_special=())
            self.prompted = len(self.tokens)

    def window(self) -> Tensor:
        """(n_mels, 3000), zero after the take's end."""
        own = self.mel[:, self.seek : self.seek + self.size]
        return F.pad(own, (0, N_FRAMES - self.size))

    def request(self) -> Request:
        temperature = self._ladder[self.attempt]
        start = self.tokenizer.sot_sequence
        prompt = self.tokens[self.prompt_from :][-self.prompt_limit :]
        if prompt:
            start = (self.tokenizer.sot_prev, *prompt, *start)
        return Request(start, temperature, self.seek * SEED_PRIME + round(1000 * temperature))

    def accept(self, decoded: Decoded) -> bool:
        """Whether the text stands; if not, the next round tries the next temperature."""
        if not math.isfinite(decoded.average_logprob + decoded.no_speech_probability):
            self.broken = True
            return False
        doubtful = decoded.average_logprob < LEAST_LOGPROB
        silent = doubtful and decoded.no_speech_probability > MOST_NO_SPEECH
        text = self.tokenizer.decode(decoded.tokens).strip()
        if silent or not (doubtful or compression_ratio(text) > MOST_REPETITIVE):
            return True
        if self.attempt + 1 == len(self._ladder):
            return True
        self.attempt += 1
        return False

    def skip(self, decoded: Decoded) -> bool:
        """Pass over a window that holds no speech."""
        if (
            decoded.no_speech_probability <= MOST_NO_SPEECH
            or decoded.average_logprob > LEAST_LOGPROB
        ):
            return False
        self.dropped.append(decoded.no_speech_probability)
        self._go_to(self.seek + self.size)
        return True

    def spoken(self, decoded: Decoded) -> Spoken:
        """The text to be aligned with this window."""
        drafts, _ = self._cut(decoded.tokens)
        end = self.tokenizer.eot
        text = [token for draft in drafts for token in draft.tokens if token < end]
        return Spoken(text, max(1, self.size // FRAMES_PER_POSITION), self.tokenizer)

    def advance(self, decoded: Decoded, words: list[WordTiming]) -> None:
        """Keep the window's text and go on to the next."""
        drafts, seek = self._cut(decoded.tokens)
        alignment.place(
            drafts,
            words,
            end=self.tokenizer.eot,
            offset_s=self.offset_s,
            spoken_until_s=self.spoken_until_s,
        )
        said = [word.end for draft in drafts for word in draft.words]
        until = float(said[-1] if said else drafts[-1].end_s)
        if not self._ends_in_pause(decoded.tokens) and until > self.offset_s:
            seek = round(until * SAMPLE_RATE / HOP_LENGTH)
        self.spoken_until_s = until
        for draft in drafts:
            self._keep(draft, decoded)
        if decoded.temperature > HOTTEST_PROMPT:
            self.prompt_from = len(self.tokens)
        self._go_to(seek)

    @property
    def text(self) -> str:
        decoded: str = self.tokenizer.decode(self.tokens[self.prompted :])
        return decoded

    @property
    def _ladder(self) -> tuple[float, ...]:
        return LADDER if self.options.temperature is None else (self.options.temperature,)

    def _go_to(self, seek: int) -> None:
        self.seek, self.attempt, self.features = seek, 0, None

    def _ends_in_pause(self, tokens: list[int]) -> bool:
        """A single timestamp at the end: nothing is said after it."""
        return [token >= self.tokenizer.timestamp_begin for token in tokens[-2:]] == [False, True]

    def _cut(self, tokens: list[int]) -> tuple[list[Draft], int]:
        """The window's segments, and where the next window starts."""
        begin = self.tokenizer.timestamp_begin
        pairs = itertools.pairwise(tokens)
        cuts = [i for i, (a, b) in enumerate(pairs, 1) if a >= begin and b >= begin]
        if not cuts:
            stamps = [token - begin for token in tokens if token >= begin]
            seconds = self.size * HOP_LENGTH / SAMPLE_RATE
            if stamps and stamps[-1] > 0:
                seconds = stamps[-1] * alignment.POSITION
            return [self._draft(tokens, 0.0, seconds)], self.seek + self.size
        if self._ends_in_pause(tokens):
            cuts.append(len(tokens))
            seek = self.seek + self.size
        else:
            seek = self.seek + (tokens[cuts[-1] - 1] - begin) * FRAMES_PER_POSITION
        pieces = [tokens[a:b] for a, b in itertools.pairwise([0, *cuts])]
        return [
            self._draft(
                piece,
                (piece[0] - begin) * alignment.POSITION,
                (piece[-1] - begin) * alignment.POSITION,
            )
            for piece in pieces
        ], seek

    def _draft(self, tokens: list[int], start_s: float, end_s: float) -> Draft:
        text = self.tokenizer.decode([token for token in tokens if token < self.tokenizer.eot])
        return Draft(self.offset_s + start_s, self.offset_s + end_s, list(tokens), text)

    def _keep(self, draft: Draft, decoded: Decoded) -> None:
        """An instant, or a segment without text, stays as an empty one and prompts nothing."""
        empty = draft.start_s == draft.end_s or not draft.text.strip()
        self.tokens += [] if empty else draft.tokens
        words = [] if empty else [_word(word) for word in draft.words]
        self.segments.append(
            Segment(
                start_s=draft.start_s,
                end_s=draft.end_s,
                text="" if empty else draft.text,
                average_logprob=decoded.average_logprob,
                no_speech_probability=decoded.no_speech_probability,
                temperature=decoded.temperature,
                words=words,
            )
        )


def _word(timing: WordTiming) -> Word:
    return Word(
        word=timing.word,
        start_s=timing.start,
        end_s=timing.end,
        probability=min(1.0, float(timing.probability)),
    )


def compression_ratio(text: str) -> float:
    """How repetitive a text is: its bytes over its compressed bytes."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


def log_mel(samples: NDArray[np.float32], n_mels: int) -> Tensor:
    """Log-mel spectrogram (n_mels, frames), silence after the take up to 30 s, by whisper's scale.

    In chunks, so that a long take costs no more than its spectrogram.
    """
    window = torch.hann_window(N_FFT)
    bank = mel_filters("cpu", n_mels)
    frames = len(samples) // HOP_LENGTH + 3  # to the last that a sample reaches
    room = frames * HOP_LENGTH + N_FFT - N_FFT // 2 - len(samples)
    padded = F.pad(torch.tensor(samples)[None], (0, max(room, N_FFT)))
    padded = F.pad(padded, (N_FFT // 2, 0), mode="reflect")[0]
    pieces = []
    for start in range(0, frames, MEL_CHUNK):
        stop = min(start + MEL_CHUNK, frames)
        part = padded[start * HOP_LENGTH : (stop - 1) * HOP_LENGTH + N_FFT]
        spectrum = torch.stft(
            part, N_FFT, HOP_LENGTH, window=window, center=False, return_complex=True
        )
        pieces.append(bank @ spectrum.abs().square())
    mel = F.pad(torch.cat(pieces, 1), (0, max(0, N_FRAMES - frames))).clamp_min(1e-10).log10()
    return (mel.maximum(mel.max() - 8.0) + 4.0) / 4.0
