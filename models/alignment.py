"""When each word was said: from cross-attention to word times, for many windows together."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from whisper.timing import WordTiming, merge_punctuations
from whisper.tokenizer import Tokenizer

from models.whisper_network import Crossed, Network

POSITION = 0.02  # seconds between positions of the encoder
SMOOTHED = 7  # positions of the median filter
BEFORE_WORD, AFTER_WORD = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001
SENTENCE_END = ".。!！?？"  # noqa: RUF001


@dataclass(slots=True)
class Draft:
    """A segment while its words find their times. Seconds are from the start of the take."""

    start_s: float
    end_s: float
    tokens: list[int]
    text: str
    words: list[WordTiming] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is to be aligned with one window."""

    text: list[int]  # tokens below the end of text
    positions: int  # of the encoder that hold sound
    tokenizer: Tokenizer


@torch.inference_mode()
def align(network: Network, spoken: Sequence[Spoken], crossed: Crossed) -> list[list[WordTiming]]:
    """Words of each window with times from its start and mean token probabilities.

    Row i of `crossed` is window i's. As whisper.timing: dynamic time warping over the
    cross-attention of the alignment heads, normalised over tokens and median-filtered.
    """
    written = [i for i, window in enumerate(spoken) if window.text]
    words: list[list[WordTiming]] = [[] for _ in spoken]
    if not written:
        return words
    chosen = [spoken[i] for i in written]
    attention, probabilities = _attention(network, chosen, crossed.take(written))
    for i, window, first, chances in zip(
        written, chosen, onsets(attention), probabilities, strict=True
    ):
        words[i] = _words(window, first * POSITION, chances)
    return words


def _attention(
    network: Network, spoken: list[Spoken], crossed: Crossed
) -> tuple[list[NDArray[np.float64]], list[list[float]]]:
    """For each window the cost (tokens, positions) of a token being there, and its probability."""
    given = [
        [*w.tokenizer.sot_sequence, w.tokenizer.no_timestamps, *w.text, w.tokenizer.eot]
        for w in spoken
    ]
    longest = max(len(tokens) for tokens in given)
    padded = [tokens + [tokens[-1]] * (longest - len(tokens)) for tokens in given]
    tokens = torch.tensor(padded, device=network.device)
    positions = torch.arange(longest, device=network.device).expand_as(tokens)
    queries: list[Tensor] = []
    hidden = network.run(tokens, positions, crossed, queries=queries)
    costs, probabilities = [], []
    for row, (window, own) in enumerate(zip(spoken, given, strict=True)):
        first = len(window.tokenizer.sot_sequence)
        looked = [query[row, :, : len(own)] for query in queries]
        weights = _looks(network, looked, crossed.keys[:, row], window.positions)
        costs.append(-weights[first:-1].double().cpu().numpy())
        logits = network.logits(hidden[row, first : first + len(window.text)])
        text = torch.tensor(window.text, device=network.device)[:, None]
        chances = logits[:, : window.tokenizer.eot].softmax(-1).gather(1, text)
        probabilities.append(chances[:, 0].tolist())
    return costs, probabilities


def _looks(network: Network, queries: list[Tensor], keys: Tensor, positions: int) -> Tensor:
    """Where one window's tokens look: (tokens, positions), the mean of the alignment heads."""
    maps = []
    for layer, head in network.model.alignment_heads.indices().T.tolist():
        scores = (queries[layer][head] / math.sqrt(network.width)) @ keys[layer, head]
        maps.append(scores[:, :positions])
    weights = torch.stack(maps).float().softmax(-1)  # (heads, tokens, positions)
    deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    # where no token looks at all there is 0 / 0
    return median7(((weights - mean) / deviation).nan_to_num()).mean(0)


def median7(x: Tensor) -> Tensor:
    """Running median over seven values of the last dimension, reflected at the ends.

    By comparing and exchanging whole shifted copies: no sort per value.
    """
    reach = SMOOTHED // 2
    if x.shape[-1] <= reach:
        return x
    padded = F.pad(x, (reach, reach), mode="reflect")
    v = list(padded.unfold(-1, x.shape[-1], 1).unbind(-2))
    for low, high in MEDIAN_NETWORK:
        v[low], v[high] = torch.minimum(v[low], v[high]), torch.maximum(v[low], v[high])
    return v[reach]


# Exchanges after which the middle of seven values is in its place (N. Devillard 1998, "Fast median
# search").
MEDIAN_NETWORK = (
    *((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)),
    *((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)),
)


def onsets(costs: Sequence[NDArray[np.float64]]) -> list[NDArray[np.int64]]:
    """Where the cheapest monotone path through each (tokens, positions) first meets each token."""
    tokens = max(len(cost) for cost in costs)
    positions = max(cost.shape[1] for cost in costs)
    stacked = np.full((len(costs), tokens, tokens + positions), np.inf)
    for row, cost in zip(stacked, costs, strict=True):
        row[: len(cost), : cost.shape[1]] = cost
    diagonals = tokens + positions - 1
    skewed = stacked.reshape(len(costs), -1)[:, : tokens * diagonals]
    # (diagonals, batch, tokens): every cell of a diagonal depends on the two before it only
    skewed = skewed.reshape(len(costs), tokens, diagonals).transpose(2, 0, 1)
    moves = _moves(np.ascontiguousarray(skewed))
    return [_first_reached(moves[:, i], *cost.shape) for i, cost in enumerate(costs)]


def _moves(skewed: NDArray[np.float64]) -> NDArray[np.int8]:
    """How each cell is reached: 0 by both, 1 by the next token, 2 by the next position."""
    moves = np.empty(skewed.shape, np.int8)
    batch, tokens = skewed.shape[1:]
    # single precision and this order of ties, as whisper has them
    before = np.full((batch, tokens + 1), np.inf, np.float32)  # two diagonals back, token -1 first
    last = before.copy()  # one back
    before[:, 0] = 0
    for diagonal, cost in enumerate(skewed):
        both, token, position = before[:, :-1], last[:, :-1], last[:, 1:]
        by_both = (both < token) & (both < position)
        by_token = (token < both) & (token < position)
        moves[diagonal] = np.where(by_both, 0, np.where(by_token, 1, 2))
        least = np.where(by_both, both, np.where(by_token, token, position))
        now = np.full_like(last, np.inf)
        now[:, 1:] = cost + least
        before, last = last, now
    return moves


def _first_reached(moves: NDArray[np.int8], tokens: int, positions: int) -> NDArray[np.int64]:
    """Walk one path back from its end. `moves` is (diagonals, tokens)."""
    first = np.zeros(tokens, np.int64)
    token, position = tokens - 1, positions - 1
    while token >= 0 and position >= 0:
        first[token] = position
        move = moves[token + position, token]
        token -= move != 2
        position -= move != 1
    return first


def _words(
    window: Spoken, onset_s: NDArray[np.floating], probabilities: list[float]
) -> list[WordTiming]:
    """Tokens to words, each with the time from its onset to the next word's."""
    tokenizer = window.tokenizer
    words, tokens = tokenizer.split_to_word_tokens([*window.text, tokenizer.eot])
    ends = list(itertools.accumulate(len(part) for part in tokens[:-1]))
    starts = [0, *ends[:-1]]
    return [
        WordTiming(
            word, part, float(onset_s[a]), float(onset_s[b]), float(np.mean(probabilities[a:b]))
        )
        for word, part, a, b in zip(
            words, tokens, starts, ends, strict=False
        )  # the last is no word
    ]


def place(
    drafts: Sequence[Draft],
    words: list[WordTiming],
    *,
    end: int,
    offset_s: float,
    spoken_until_s: float,
) -> None:
    """Give the segments of one window their words, and trim what lies across a pause.

    Attention wanders in pauses, so a word at the edge of a sentence or segment may not be longer
    than twice the median word; segments then begin and end with their words. `end` is the token
    that ends text, and the first that is none.
    """
    durations = np.array([word.end - word.start for word in words])
    durations = durations[durations.nonzero()]
    typical = min(0.7, float(np.median(durations))) if len(durations) else 0.0
    if len(durations):
        _trim_sentences(words, 2 * typical)
    merge_punctuations(words, BEFORE_WORD, AFTER_WORD)
    waiting = list(words)
    for draft in drafts:
        draft.words = _share(draft, waiting, end, offset_s)
        if draft.words:
            _trim_first(draft, typical, spoken_until_s)
            _trim_ends(draft, typical)
            spoken_until_s = draft.end_s


def _trim_sentences(words: list[WordTiming], longest: float) -> None:
    for previous, word in itertools.pairwise(words):
        if word.end - word.start <= longest:
            continue
        if word.word in SENTENCE_END:
            word.end = word.start + longest
        elif previous.word in SENTENCE_END:
            word.start = word.end - longest


def _share(draft: Draft, words: list[WordTiming], end: int, offset_s: float) -> list[WordTiming]:
    """The words that the draft's tokens make up, in seconds of the take."""
    left = sum(token < end for token in draft.tokens)
    own = []
    while words and left > 0:
        word = words.pop(0)
        left -= len(word.tokens)
        if word.word:  # punctuation that joined its neighbour leaves an empty word
            word.start = round(offset_s + word.start, 2)
            word.end = round(offset_s + word.end, 2)
            own.append(word)
    return own


def _trim_first(draft: Draft, typical: float, spoken_until_s: float) -> None:
    """After a pause, the first two words may not swallow it."""
    first, longest = draft.words[0], 2 * typical
    second = draft.words[1] if len(draft.words) > 1 else None
    paused = first.end - spoken_until_s > 4 * typical
    long_pair = second is not None and second.end - first.start > 2 * longest
    if not paused or not (first.end - first.start > longest or long_pair):
        return
    if second is not None and second.end - second.start > longest:
        first.end = second.start = max(second.end / 2, second.end - longest)
    first.start = max(0.0, first.end - longest)


def _trim_ends(draft: Draft, typical: float) -> None:
    """The segment's own times win over a first or last word that strays far beyond them."""
    first, last = draft.words[0], draft.words[-1]
    if first.start < draft.start_s - 0.5 and draft.start_s < first.end:
        first.start = max(0.0, min(first.end - typical, draft.start_s))
    else:
        draft.start_s = first.start
    if last.start < draft.end_s and draft.end_s + 0.5 < last.end:
        last.end = max(last.start + typical, draft.end_s)
    else:
        draft.end_s = last.end
