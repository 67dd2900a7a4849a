"""A Llama-like decoder in plain PyTorch on the meta device, and its two steps: see docs/language-models.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Size:
    """What a checkpoint's `config.json` says of its size; `tied` where the head has the embedding's weights."""

    layers: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    tied: bool
    vocabulary: int = 128256


SIZES: Dict[str, Size] = {
    "1B": Size(16, 2048, 8192, 32, 8, True),
    "3B": Size(28, 3072, 8192, 24, 8, True),
    "8B": Size(32, 4096, 14336, 32, 8, False),
}
"""Llama 3.2 1B and 3B, Llama 3.1 8B."""


class Cache:
    """Keys and values of so many tokens for each layer, (batch, heads, tokens, width), on the meta device."""

    def __init__(self, size: Size, tokens: int) -> None:
        self.tokens = tokens
        shape = (2, 1, size.key_heads, tokens, size.width // size.heads)
        self.layers = [tuple(torch.empty(shape, device="meta")) for _ in range(size.layers)]

    def append(self, layer: int, *new: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Returns keys and values of a layer with those of new tokens behind them, and keeps them."""
        self.layers[layer] = tuple(torch.cat(pair, dim=2) for pair in zip(self.layers[layer], new))
        return self.layers[layer]


class RMSNorm(nn.Module):
    """Divides by the root mean square, in FP32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the shape and type of `x`."""
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).type_as(x)


def rotated(x: torch.Tensor, turn: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns queries or keys turned by the angles of their positions, given as cosines and sines."""
    left, right = x.chunk(2, dim=-1)
    return x * turn[0] + torch.cat((-right, left), dim=-1) * turn[1]


class Layer(nn.Module):
    """Grouped-query attention, then SwiGLU, each with its norm and residual."""

    def __init__(self, size: Size, place: int) -> None:
        super().__init__()
        self.size, self.place, self.head_width = size, place, size.width // size.heads
        self.norms = nn.ModuleList(RMSNorm(size.width) for _ in range(2))
        self.query, self.output = (nn.Linear(size.width, size.width, bias=False) for _ in range(2))
        narrow = size.key_heads * self.head_width
        self.key, self.value = (nn.Linear(size.width, narrow, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(size.width, size.hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(size.hidden, size.width, bias=False)

    def forward(self, x: torch.Tensor, turn: Sequence[torch.Tensor], cache: Cache) -> torch.Tensor:
        """Returns the hidden states (batch, tokens, width) after this layer."""
        x = x + self.attention(self.norms[0](x), turn, cache)
        y = self.norms[1](x)
        mixed: torch.Tensor = self.down(F.silu(self.gate(y)) * self.up(y))
        return x + mixed

    def attention(self, x: torch.Tensor, turn: Sequence[torch.Tensor], cache: Cache) -> torch.Tensor:
        """Returns what each token takes from those before it."""
        query, key, value = (
            part(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        pair = cache.append(self.place, rotated(key, turn), value)
        group = self.size.heads // self.size.key_heads
        key, value = (t.unsqueeze(2).expand(-1, -1, group, -1, -1).flatten(1, 2) for t in pair)
        found = F.scaled_dot_product_attention(rotated(query, turn), key, value, is_causal=x.shape[1] > 1)
        mixed: torch.Tensor = self.output(found.transpose(1, 2).flatten(2))
        return mixed


class Decoder(nn.Module):
    """Token ids (batch, tokens) and the cache of those before them to logits of the next one (batch, vocabulary)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        self.layers = nn.ModuleList(Layer(size, place) for place in range(size.layers))
        self.norm = RMSNorm(size.width)
        self.head = nn.Linear(size.width, size.vocabulary, bias=False)
        self.head_width = size.width // size.heads
        if size.tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Appends the tokens to the cache."""
        positions = torch.arange(cache.tokens, cache.tokens + tokens.shape[1])
        cache.tokens += tokens.shape[1]
        frequencies = 500000.0 ** -(torch.arange(0, self.head_width, 2) / self.head_width)
        angles = torch.outer(positions, frequencies).repeat(1, 2).to(tokens.device)
        x = self.embedding(tokens)
        turn = [angles.cos().type_as(x), angles.sin().type_as(x)]
        for layer in self.layers:
            x = layer(x, turn, cache)
        logits: torch.Tensor = self.head(self.norm(x[:, -1]))
        return logits


Step = Tuple[Decoder, Tuple[torch.Tensor, Cache]]
"""A module and its inputs, as `estimate` and `latency.check` take them."""


def prefill(size: str = "8B", tokens: int = 512) -> Step:
    """Returns the step that reads a prompt and gives the first new token."""
    return _step(size, tokens, before=0)


def decode(size: str = "8B", tokens: int = 512) -> Step:
    """Returns the step that gives one more token behind so many."""
    return _step(size, 1, before=tokens)


def _step(size: str, tokens: int, before: int) -> Step:
    with torch.device("meta"):
        decoder = Decoder(SIZES[size])
    return decoder, (torch.ones(1, tokens, dtype=torch.int64), Cache(SIZES[size], before))
