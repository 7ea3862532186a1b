"""whisper's network with its caches laid out for decoding many windows together."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from whisper.model import LayerNorm, MultiHeadAttention, Whisper

ENCODED_AT_ONCE = 4  # windows: more only fall out of a CPU's caches


@dataclass(slots=True)
class Crossed:
    """Encoded windows as the decoder's cross-attention reads them.

    Keys are (layers, rows, heads, width, positions): transposed, so that a step, which is bound by
    memory, reads them in order. Values are (layers, rows, heads, positions, width).
    """

    keys: Tensor
    values: Tensor
    held: list[int]  # the window in each row; rows move when others leave the batch

    def swap(self, a: int, b: int) -> None:
        self.keys[:, [a, b]] = self.keys[:, [b, a]]
        self.values[:, [a, b]] = self.values[:, [b, a]]
        self.held[a], self.held[b] = self.held[b], self.held[a]

    def take(self, windows: list[int]) -> "Crossed":
        """The named windows, in that order."""
        rows = [self.held.index(window) for window in windows]
        kept = range(len(rows))
        if rows == list(range(len(self.held))):
            return Crossed(self.keys, self.values, list(kept))
        return Crossed(self.keys[:, rows], self.values[:, rows], list(kept))


@dataclass(slots=True)
class Memory:
    """Keys and values of the tokens so far: (layers, rows, heads, capacity, width) each."""

    keys: Tensor
    values: Tensor
    filled: int = 0

    def move(self, source: int, target: int) -> None:
        """Put one row's past where another's was."""
        self.keys[:, target, :, : self.filled] = self.keys[:, source, :, : self.filled]
        self.values[:, target, :, : self.filled] = self.values[:, source, :, : self.filled]


class Network:
    """A whisper checkpoint, ready to answer: float32 on a CPU, float16 on CUDA."""

    def __init__(self, model: Whisper, device: str | torch.device = "cpu") -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.dims = model.dims
        self.device = torch.device(device)
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        for part in model.modules():  # norms and embeddings stay float32, as in whisper
            if isinstance(part, nn.Linear | nn.Conv1d):
                part.to(self.dtype)
        self.words = model.decoder.token_embedding.weight.to(self.dtype)  # (vocabulary, state)
        self.heads = self.dims.n_text_head
        self.width = self.dims.n_text_state // self.heads

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel windows (rows, n_mels, 3000) to features (rows, 1500, state)."""
        pieces = torch.split(mel.to(self.device, self.dtype), ENCODED_AT_ONCE)
        return torch.cat([self.model.encoder(piece) for piece in pieces])

    def crossed(self, features: Tensor) -> Crossed:
        """What cross-attention needs of the features (rows, 1500, state), computed once."""
        rows, positions = features.shape[:2]
        shape = (self.dims.n_text_layer, rows, self.heads)
        keys = features.new_empty(*shape, self.width, positions)
        values = features.new_empty(*shape, positions, self.width)
        for layer, block in enumerate(self.model.decoder.blocks):
            keys[layer] = self._split(block.cross_attn.key(features)).transpose(-1, -2)
            values[layer] = self._split(block.cross_attn.value(features))
        return Crossed(keys, values, list(range(rows)))

    def memory(self, rows: int, capacity: int) -> Memory:
        shape = (self.dims.n_text_layer, rows, self.heads, capacity, self.width)
        empty = torch.zeros(2, *shape, dtype=self.dtype, device=self.device)
        return Memory(empty[0], empty[1])

    def run(
        self,
        tokens: Tensor,
        positions: Tensor,
        crossed: Crossed,
        *,
        visible: Tensor | None = None,
        memory: Memory | None = None,
        queries: list[Tensor] | None = None,
    ) -> Tensor:
        """Tokens (rows, n) at positions (rows, n) to hidden states (rows, n, state).

        `visible` (rows, 1, n, past + n) says which tokens each sees, None: all before it. With a
        memory the tokens continue it. `queries` receives each layer's cross-attention queries.
        """
        decoder = self.model.decoder
        x = (decoder.token_embedding(tokens) + decoder.positional_embedding[positions]).to(
            self.dtype
        )
        for layer, block in enumerate(decoder.blocks):
            x = x + self._recall(block.attn, block.attn_ln, x, layer, visible, memory)
            query = self._split(block.cross_attn.query(block.cross_attn_ln(x)))
            if queries is not None:
                queries.append(query)
            x = x + block.cross_attn.out(self._look(query, layer, crossed))
            x = x + block.mlp(block.mlp_ln(x))
        if memory is not None:
            memory.filled += tokens.shape[1]
        hidden: Tensor = decoder.ln(x)
        return hidden

    def logits(self, hidden: Tensor, out: Tensor | None = None) -> Tensor:
        """(rows, state) to float32 (rows, vocabulary)."""
        if self.dtype == torch.float32:
            exact: Tensor = torch.matmul(hidden, self.words.T, out=out)
            return exact
        half: Tensor = hidden @ self.words.T
        return half.float()

    def _recall(
        self,
        attention: MultiHeadAttention,
        norm: LayerNorm,
        x: Tensor,
        layer: int,
        visible: Tensor | None,
        memory: Memory | None,
    ) -> Tensor:
        """Self-attention over the memory and the tokens themselves."""
        x = norm(x)
        query, key, value = (
            self._split(part(x)) for part in (attention.query, attention.key, attention.value)
        )
        if memory is not None:
            rows, end = len(x), memory.filled + x.shape[1]
            memory.keys[layer, :rows, :, memory.filled : end] = key
            memory.values[layer, :rows, :, memory.filled : end] = value
            key, value = memory.keys[layer, :rows, :, :end], memory.values[layer, :rows, :, :end]
        causal = visible is None and x.shape[1] > 1
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, is_causal=causal
        )
        out: Tensor = attention.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _look(self, query: Tensor, layer: int, crossed: Crossed) -> Tensor:
        """Cross-attention: (rows, heads, n, width) to (rows, n, state)."""
        rows = len(query)
        scores = (query / math.sqrt(self.width)) @ crossed.keys[layer, :rows]
        weights = scores.softmax(-1, dtype=torch.float32).to(self.dtype)
        return (weights @ crossed.values[layer, :rows]).transpose(1, 2).flatten(2)

    def _split(self, x: Tensor) -> Tensor:
        """(rows, n, state) to (rows, heads, n, width)."""
        return x.view(*x.shape[:2], self.heads, self.width).transpose(1, 2)
