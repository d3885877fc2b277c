"""G_ani, HDTF's style-specific animation generator, and its discriminators (supplement, figures 1 and 2).

The authors released no code for these. Names, and what the figures leave open, are our reading of them; the deviations are
listed in docs/fidelity.md. Sequences are (B, T, C) at 100 frames/s.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.conv import Conv, Linear
from talkbench.nn.norm import BatchNorm, instance_norm
from talkbench.nn.resize import resize_linear

NUM_MOUTH, NUM_EYEBROW, NUM_HEAD = 28, 5, 5
AUDIO_FEATURES = 15
IDENTITY_FEATURES = 512


class ResidualBlock(nn.Module):
    """x + conv5(ReLU([BN](conv5(x)))), the supplement's Res (`norm` False) and ResBN blocks."""

    norm: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        y = Conv(x.shape[-1], (5,), padding=2, dtype=self.dtype, name="conv1")(x)
        if self.norm:
            y = BatchNorm(name="norm")(y, train)
        return x + Conv(x.shape[-1], (5,), padding=2, dtype=self.dtype, name="conv2")(nn.relu(y))


class StyleStatistics(nn.Module):
    """Style vector (B, I) -> (hidden, mean, standard deviation), each (B, features): the supplement's AdaIN block."""

    features: int = 256
    dtype: Any = None

    @nn.compact
    def __call__(self, style: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        h = nn.relu(Linear(self.features, dtype=self.dtype, name="fc1")(style))
        h = nn.relu(Linear(self.features, dtype=self.dtype, name="fc2")(h))
        mean = Linear(self.features, dtype=self.dtype, name="mean")(h)
        ones = nn.initializers.ones
        return h, mean, Linear(self.features, bias_init=ones, dtype=self.dtype, name="std")(h)


class TemporalDown(nn.Module):
    """T -> ceil(T / 2): strided 1x1 shortcut plus ReLU(BN(strided conv3))."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        width = x.shape[-1]
        y = Conv(width, (3,), stride=2, padding=1, dtype=self.dtype, name="conv")(x)
        y = nn.relu(BatchNorm(name="norm")(y, train))
        return Conv(width, (1,), stride=2, dtype=self.dtype, name="skip")(x) + y


class TemporalUp(nn.Module):
    """T -> 2 T by linear interpolation, which is also the shortcut around ReLU(BN(conv3))."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = resize_linear(x, (2 * x.shape[1],))
        y = Conv(x.shape[-1], (3,), padding=1, dtype=self.dtype, name="conv")(x)
        return x + nn.relu(BatchNorm(name="norm")(y, train))


class AnimationGenerator(nn.Module):
    """G_ani: audio features and identity embedding -> mouth, eyebrow and head parameters.

    Attributes:
        features: width of all layers.
        extractor_blocks: residual blocks of the audio feature extractor.
        style_blocks: pairs of a residual block and an AdaIN.
        mouth_blocks: residual blocks of the mouth branch.
        temporal_blocks: halvings of the long-time decoder that eyebrow and head share.
    """

    features: int = 256
    extractor_blocks: int = 18
    style_blocks: int = 3
    mouth_blocks: int = 8
    temporal_blocks: int = 4
    num_mouth: int = NUM_MOUTH
    num_eyebrow: int = NUM_EYEBROW
    num_head: int = NUM_HEAD
    dtype: Any = None

    @nn.compact
    def __call__(self, audio: jax.Array, identity: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """audio (B, T, 15), identity (B, 512) -> a dict of sequences.

        `mouth` (B, T, 28), `eyebrow` (B, T, 5), `head` (B, T, 5), float32; `audio_feature`, `styled_feature`, `temporal`
        (B, T, features), `temporal_bottleneck` (B, ceil(T / 2**temporal_blocks), features).
        """
        if audio.ndim != 3 or identity.ndim != 2 or len(audio) != len(identity):
            raise ValueError(
                f"audio {audio.shape} and identity {identity.shape}: expected (B, T, features) and (B, size)"
            )
        d = self.dtype
        x = Conv(self.features, (1,), dtype=d, name="audio_in")(audio)
        for i in range(self.extractor_blocks):
            x = ResidualBlock(True, d, name=f"extractor_{i}")(x, train)
        made = {"audio_feature": x}
        style = identity
        for i in range(self.style_blocks):
            x = ResidualBlock(False, d, name=f"style_res_{i}")(x)
            style, mean, std = StyleStatistics(self.features, d, name=f"adain_{i}")(style)
            x = std[:, None] * instance_norm(x) + mean[:, None]  # over time: Huang & Belongie 2017
        made["styled_feature"] = styled = x
        for i in range(self.mouth_blocks):
            x = ResidualBlock(True, d, name=f"mouth_{i}")(x, train)
        made["mouth"] = self._out(x, self.num_mouth, "mouth_out")
        x = styled
        for i in range(self.temporal_blocks):
            x = TemporalDown(d, name=f"down_{i}")(x, train)
        made["temporal_bottleneck"] = x
        for i in range(self.temporal_blocks):
            x = TemporalUp(d, name=f"up_{i}")(x, train)
        made["temporal"] = x = x[:, : audio.shape[1]]
        made["eyebrow"] = self._out(x, self.num_eyebrow, "eyebrow_out")
        made["head"] = self._out(x, self.num_head, "head_out")
        return made

    def _out(self, x, width, name):
        return Conv(width, (1,), dtype=self.dtype, name=name)(x).astype(jnp.float32)


class AnimationDiscriminator(nn.Module):
    """D_mou, D_ebro or D_hed: animation (B, T, n) and audio (B, T, 15) -> scores (B, ceil(T / 64), n)."""

    features: int = 256
    num_down: int = 6
    num_same: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(self, animation: jax.Array, audio: jax.Array) -> jax.Array:
        width, d = self.features, self.dtype
        x = jnp.concatenate([animation, audio], -1)
        x = nn.relu(Conv(width, (1,), dtype=d, name="conv_in")(x))
        for i in range(self.num_down):
            x = nn.relu(Conv(width, (5,), stride=2, padding=2, dtype=d, name=f"down_{i}")(x))
        for i in range(self.num_same):
            x = nn.relu(Conv(width, (3,), padding=1, dtype=d, name=f"same_{i}")(x))
        return Conv(animation.shape[-1], (1,), dtype=d, name="conv_out")(x).astype(jnp.float32)
