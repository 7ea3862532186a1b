"""Writes the text of many 30-second windows at once, by whisper's rules of decoding."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from whisper.tokenizer import Tokenizer, get_tokenizer

from models.whisper_network import Crossed, Memory, Network

NEVER = -torch.inf
FIRST_TIMESTAMP = 50  # of 20 ms: a window's text starts within its first second


@dataclass(frozen=True, slots=True)
class Request:
    """One window to write down."""

    tokens: tuple[int, ...]  # what stands before the first sampled token: prompt, language, task
    temperature: float = 0.0
    seed: int = 0  # of the draws at a temperature: batch-mates never change them


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was written for one window."""

    tokens: list[int]
    average_logprob: float
    no_speech_probability: float
    temperature: float


@dataclass(slots=True)
class _Writing:
    """One window's text while it grows."""

    request: Request
    limit: int  # tokens it may come to
    no_speech: float
    draws: Tensor  # (limit,) in [0, 1)
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: bool = False
    stamp: int = -1  # the latest timestamp token

    @property
    def done(self) -> bool:
        return self.ended or len(self.tokens) >= self.limit

    def result(self) -> Decoded:
        average = self.logprob / (len(self.tokens) + 1)
        return Decoded(self.tokens, average, self.no_speech, self.request.temperature)


class Decoder:
    """Greedy search and sampling over a batch whose rows share nothing but the arithmetic.

    Prompts of different lengths stand side by side, padded on the left and masked; languages and
    temperatures differ by row; a row that has ended leaves the batch.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        model, dims = network.model, network.dims
        self.tokenizer = get_tokenizer(
            model.is_multilingual, num_languages=model.num_languages, language="en"
        )
        self.end, self.stamps = self.tokenizer.eot, self.tokenizer.timestamp_begin
        self.longest = dims.n_text_ctx // 2  # sampled tokens, and prompt tokens + 1
        self.never = torch.zeros(dims.n_vocab, device=network.device)
        self.never[_unwritten(self.tokenizer)] = NEVER
        self.never_first = self.never.clone()
        self.never_first[: self.stamps] = NEVER
        self.never_first[self.stamps + FIRST_TIMESTAMP + 1 :] = NEVER

    @torch.inference_mode()
    def decode(self, requests: Sequence[Request], crossed: Crossed) -> list[Decoded]:
        """Write every window down. Row i of `crossed` is request i's; rows may end up elsewhere."""
        tokens, pads = self._side_by_side(requests)
        memory = self.network.memory(len(requests), tokens.shape[1] + self.longest)
        hidden = self._read(tokens, pads, crossed, memory)
        writings = self._begin(requests, hidden)
        live, logits = list(range(len(requests))), self.network.logits(hidden[:, -1])
        rows = [writings[i] for i in live]
        while True:
            chosen = self._write(rows, logits)
            if all(writing.done for writing in rows):
                return [writing.result() for writing in writings]
            for row in reversed(range(len(rows))):
                if rows[row].done:
                    _leave(row, rows, chosen, pads, crossed, memory)
            hidden = self._step(chosen, pads, crossed, memory)
            logits = self.network.logits(hidden[:, -1], out=logits[: len(rows)])

    @torch.inference_mode()
    def languages(self, crossed: Crossed) -> list[tuple[str, float]]:
        """The likeliest language of each row and its probability among all languages."""
        codes, ids = self.tokenizer.all_language_codes, list(self.tokenizer.all_language_tokens)
        start = torch.full((len(crossed.held), 1), self.tokenizer.sot, device=self.network.device)
        hidden = self.network.run(start, torch.zeros_like(start), crossed)
        best = self.network.logits(hidden[:, 0])[:, ids].softmax(-1).max(-1)
        return [(codes[i], p) for p, i in zip(*(part.tolist() for part in best), strict=True)]

    def _side_by_side(self, requests: Sequence[Request]) -> tuple[Tensor, Tensor]:
        """Tokens (rows, longest) padded on the left, and the padding of each (rows,)."""
        longest = max(len(request.tokens) for request in requests)
        rows = [[self.end] * (longest - len(r.tokens)) + list(r.tokens) for r in requests]
        pads = [longest - len(r.tokens) for r in requests]
        device = self.network.device
        return torch.tensor(rows, device=device), torch.tensor(pads, device=device)

    def _read(self, tokens: Tensor, pads: Tensor, crossed: Crossed, memory: Memory) -> Tensor:
        """Take in what stands before the first sampled token: hidden states (rows, n, state)."""
        at = torch.arange(tokens.shape[1], device=tokens.device)
        visible = None
        if pads.any():
            seen = (at[None] <= at[:, None]) & (at >= pads[:, None, None])
            visible = (seen | (at[None] == at[:, None]))[:, None]  # padding sees itself: no 0 / 0
        positions = (at - pads[:, None]).clamp_min(0)
        return self.network.run(tokens, positions, crossed, visible=visible, memory=memory)

    def _begin(self, requests: Sequence[Request], hidden: Tensor) -> list[_Writing]:
        at_start = self.network.logits(hidden[:, -len(self.tokenizer.sot_sequence)])
        no_speech = at_start.softmax(-1)[:, self.tokenizer.no_speech].tolist()
        writings = []
        for request, probability in zip(requests, no_speech, strict=True):
            room = self.network.dims.n_text_ctx + 1 - len(request.tokens)
            limit = min(self.longest, room)
            seeded = torch.Generator().manual_seed(request.seed)
            draws = torch.rand(limit, generator=seeded, dtype=torch.float64)
            writings.append(_Writing(request, limit, probability, draws))
        return writings

    def _step(self, chosen: list[int], pads: Tensor, crossed: Crossed, memory: Memory) -> Tensor:
        tokens = torch.tensor(chosen, device=self.network.device)[:, None]
        pads = pads[: len(chosen)]
        positions = (memory.filled - pads)[:, None]
        visible = None
        if pads.any():
            at = torch.arange(memory.filled + 1, device=pads.device)
            visible = (at >= pads[:, None])[:, None, None]
        return self.network.run(tokens, positions, crossed, visible=visible, memory=memory)

    def _write(self, rows: list[_Writing], logits: Tensor) -> list[int]:
        """Add one token to every row; `logits` (rows, vocabulary) are spent."""
        logits += self.never if rows[0].tokens else self.never_first
        for row, writing in zip(logits, rows, strict=True):
            self._obey(row, writing)
        chosen, logprobs = self._choose(logits, rows)
        for writing, token, logprob in zip(rows, chosen, logprobs, strict=True):
            writing.logprob += logprob
            if token == self.end:
                writing.ended = True
                continue
            writing.tokens.append(token)
            writing.stamp = token if token >= self.stamps else writing.stamp
        return chosen

    def _obey(self, logits: Tensor, writing: _Writing) -> None:
        """Timestamps come in pairs, except before the end, and never go back."""
        if writing.stamp < 0:
            return
        last = writing.tokens[-1]
        before = writing.tokens[-2] if len(writing.tokens) > 1 else self.stamps
        closing = last >= self.stamps > before
        if closing:
            logits[: self.end] = NEVER
        elif last >= self.stamps:
            logits[self.stamps :] = NEVER
        logits[self.stamps : writing.stamp + (not closing)] = NEVER

    def _choose(self, logits: Tensor, rows: list[_Writing]) -> tuple[list[int], list[float]]:
        """The next token of each row and its log probability."""
        text, stamps = logits[:, : self.stamps], logits[:, self.stamps :]
        best_text, text_token = text.max(-1)
        best_stamp, stamp_token = stamps.max(-1)
        stamp_mass = stamps.logsumexp(-1)
        text_mass = best_text + (text - best_text[:, None]).exp_().sum(-1).log()
        # timestamps together likelier than any one text token: then it is a timestamp
        stamp_only = stamp_mass > best_text
        total = torch.where(stamp_only, stamp_mass, torch.logaddexp(text_mass, stamp_mass))
        chosen = torch.where(
            stamp_only | (best_stamp > best_text), stamp_token + self.stamps, text_token
        )
        warm = [i for i, writing in enumerate(rows) if writing.request.temperature > 0]
        if warm:
            chosen[warm] = self._draw(logits[warm], stamp_only[warm], [rows[i] for i in warm])
        logprobs = logits.gather(1, chosen[:, None])[:, 0] - total
        return chosen.tolist(), logprobs.tolist()

    def _draw(self, logits: Tensor, stamp_only: Tensor, rows: list[_Writing]) -> Tensor:
        """Sample each row with its own draw, by inverting its cumulative distribution."""
        temperature = [writing.request.temperature for writing in rows]
        scale = torch.tensor(temperature, dtype=torch.float64, device=logits.device)
        scaled = logits.double() / scale[:, None]
        scaled[:, : self.stamps].masked_fill_(stamp_only[:, None], NEVER)
        cumulative = scaled.softmax(-1).cumsum(-1)
        draws = torch.stack([writing.draws[len(writing.tokens)] for writing in rows])
        point = draws.to(logits.device)[:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, point, right=True)[:, 0]


def _unwritten(tokenizer: Tokenizer) -> list[int]:
    """Tokens that are never text: notes such as [MUSIC], and the task's own marks."""
    marks = (
        tokenizer.transcribe,
        tokenizer.translate,
        tokenizer.sot,
        tokenizer.sot_prev,
        tokenizer.sot_lm,
        tokenizer.no_speech,
        tokenizer.no_timestamps,
    )
    return [*tokenizer.non_speech_tokens, *marks]


def _leave(
    row: int,
    rows: list[_Writing],
    chosen: list[int],
    pads: Tensor,
    crossed: Crossed,
    memory: Memory,
) -> None:
    """Take an ended row out: the last one moves into its place, so that the live stay together."""
    last = len(rows) - 1
    if row != last:
        crossed.swap(row, last)
        memory.move(last, row)
        pads[row] = pads[last].clone()
        rows[row], chosen[row] = rows[last], chosen[last]
    rows.pop()
    chosen.pop()
