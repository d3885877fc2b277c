"""The self-attention encoder of MakeItTalk's speaker branch and of its discriminator.

Not quite the usual one: the normalisation divides by the *unbiased* deviation plus epsilon, and the positional
table's exponents are doubled. Both are kept, since checkpoints were trained with them. There is no mask.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Linear

POSITIONS = 512  # rows of the published table, so no sequence is longer


def positional_table(rows: int, width: int) -> np.ndarray:
    """float32 (rows, width): sines and cosines of position / 10000^(2 i / width), i the channel's own index."""
    channel = np.arange(width)
    angle = np.arange(rows)[:, None] / 10000.0 ** (2.0 * channel / width)
    return np.where(channel % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


class DeviationNorm(nn.Module):
    """alpha (x - mean) / (std + 1e-6) + bias over the last axis, std with n - 1."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = self.param("alpha", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        # The gradient of a square root is infinite at 0: a constant row gets the floor's.
        variance = jnp.maximum(x.var(-1, ddof=1, keepdims=True), 1e-24)
        return alpha * (x - x.mean(-1, keepdims=True)) / (jnp.sqrt(variance) + 1e-6) + bias


class Attention(nn.Module):
    """Self-attention with `heads` heads; (B, N, C) -> (B, N, C)."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        b, n, width = x.shape
        if width % self.heads:
            raise ValueError(f"{width} channels cannot be split into {self.heads} heads")

        def split(name):
            return Linear(width, name=name)(x).reshape(b, n, self.heads, width // self.heads)

        q, k, v = split("q_linear"), split("k_linear"), split("v_linear")
        scores = jnp.einsum("bihc,bjhc->bhij", q, k) / np.sqrt(width // self.heads).astype(np.float32)
        weights = nn.Dropout(self.dropout)(jax.nn.softmax(scores, -1), deterministic=not train)
        mixed = jnp.einsum("bhij,bjhc->bihc", weights, v).reshape(b, n, width)
        return Linear(width, name="out")(mixed)


class FeedForward(nn.Module):
    """Two linear layers at each position."""

    hidden: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = nn.relu(Linear(self.hidden, name="linear_1")(x))
        y = nn.Dropout(self.dropout)(y, deterministic=not train)
        return Linear(x.shape[-1], name="linear_2")(y)


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each with its normalisation before it and a residual around both."""

    heads: int
    hidden: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y = Attention(self.heads, self.dropout, name="attn")(DeviationNorm(name="norm_1")(x), train)
        x = x + drop(y)
        y = FeedForward(self.hidden, self.dropout, name="ff")(DeviationNorm(name="norm_2")(x), train)
        return x + drop(y)


class Encoder(nn.Module):
    """Rows (B, N, C) -> (B, N, width), each having seen all N of its sequence.

    Attributes:
        width, layers, heads, hidden: 64, 2, 2 and 2048 in the published networks.
        dropout: in training (stream `dropout`).
        positions: longest sequence.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    hidden: int = 2048
    dropout: float = 0.1
    positions: int = POSITIONS

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        if x.shape[1] > self.positions:
            raise ValueError(
                f"a sequence of {x.shape[1]} rows: at most {self.positions}, cut it into segments"
            )
        x = Linear(self.width, name="embed")(x) * np.sqrt(self.width).astype(np.float32)
        x = x + positional_table(self.positions, self.width)[: x.shape[1]]
        for i in range(self.layers):
            x = EncoderLayer(self.heads, self.hidden, self.dropout, name=f"layers_{i}")(x, train)
        return DeviationNorm(name="norm")(x)
