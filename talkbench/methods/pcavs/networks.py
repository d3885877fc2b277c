"""The networks of PC-AVS, by the published labels: E (non-identity), V (identity), A_sync (speech), G (generator).

Pictures are (B, H, W, 3) in [-1, 1], mel windows (B, 80, 20, 1) in [0, 1] (mel first, then time). Each encoder has its
published backbone and, for small pictures, one of `nn.blocks.pyramid`, whose last map is flattened, not averaged: an
average loses where things are.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.blocks import pyramid
from talkbench.nn.conv import Conv, Linear
from talkbench.nn.discriminator import MultiscalePatchGan
from talkbench.nn.fan import ConvBlock
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import adaptive_avg_pool, global_avg_pool, max_pool
from talkbench.nn.resize import resize_linear
from talkbench.nn.resnet import ResNet, SEBasicBlock
from talkbench.nn.stylegan2 import MappingNetwork, StyledConv, ToRGB, upsample

Discriminator = MultiscalePatchGan
AUDIO_GAIN = 1.2  # of the speech content in the published inference (not in training)


class Hourglass(nn.Module):
    """The 2D-FAN hourglass with maximum pooling, linear upsampling to the skip's size, and dropout on the skips.

    Dropout is on where `train` is and an rng `dropout` is given.
    """

    features: int = 256
    depth: int = 4
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return self._level(self.depth, x, train)

    def _level(self, level: int, x: jax.Array, train: bool) -> jax.Array:
        def block(name, x):
            return ConvBlock(self.features, self.dtype, name=name)(x, train)

        still = not (train and self.has_rng("dropout"))
        up = nn.Dropout(self.dropout, deterministic=still)(block(f"b1_{level}", x))
        low = block(f"b2_{level}", max_pool(x, (2, 2)))
        low = self._level(level - 1, low, train) if level > 1 else block("b2_plus_1", low)
        low = block(f"b3_{level}", low)
        return up + resize_linear(low, up.shape[1:3])


class FanBackbone(nn.Module):
    """One stage of the 2D-FAN landmark network and a linear layer: picture -> feature (B, outputs).

    The linear layer sees every pixel of a map of 1/8 of the side, so the size of the picture is fixed by the weights
    (published: 224).
    """

    features: int = 256
    outputs: int = 512
    landmarks: int = 68
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        width, dtype = self.features, self.dtype
        x = Conv(width // 4, (7, 7), 2, 3, dtype=dtype, name="conv1")(x)
        x = nn.relu(BatchNorm(name="bn1")(x, train))
        x = max_pool(ConvBlock(width // 2, dtype, name="conv2")(x, train), (2, 2))
        x = ConvBlock(width // 2, dtype, name="conv3")(x, train)
        x = ConvBlock(width, dtype, name="conv4")(x, train)
        x = Hourglass(width, dropout=self.dropout, dtype=dtype, name="m0")(x, train)
        x = ConvBlock(width, dtype, name="top_m_0")(x, train)
        x = Conv(width, (1, 1), dtype=dtype, name="conv_last0")(x)
        x = nn.relu(BatchNorm(name="bn_end0")(x, train))
        x = Conv(self.landmarks, (1, 1), dtype=dtype, name="l0")(x)
        x = nn.relu(BatchNorm(name="bn5")(x, train))
        x = Conv(1, (3, 3), 2, 1, dtype=dtype, name="conv6")(x)
        return Linear(self.outputs, dtype=dtype, name="fc")(nn.relu(x.reshape(len(x), -1)))


class PyramidBackbone(nn.Module):
    """`nn.blocks.pyramid`, its last map squeezed to half the width and flattened, a dense layer: (B, ...) -> (B, outputs)."""

    widths: Sequence[int]
    outputs: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = pyramid(x, self.widths, train, self.dtype)[-1]
        x = Conv(self.widths[-1] // 2, (1, 1), dtype=self.dtype, name="squeeze")(x)
        x = nn.relu(BatchNorm(name="squeeze_norm")(x, train)).reshape(len(x), -1)
        return BatchNorm(name="norm")(Linear(self.outputs, dtype=self.dtype, name="dense")(x), train)


class NonIdentityEncoder(nn.Module):
    """E: what is not identity in a picture, and the heads that take speech content and head pose out of it.

    Attributes:
        backbone: "fan" (published) or "pyramid".
        features: width of feature, speech content and pose feature.
        mouth_dim: width of the mouth part of the style; 0: features - pose_dim, as published.
        pose_dim: numbers of the pose code.
        num_classes: > 0: the training-only classifiers of the published checkpoint exist too.
        clip_len: frames that `mouth_fc` and `headpose_fc` see at once.
        fan_features: width of the hourglass. widths: of the pyramid.
    """

    backbone: str = "fan"
    features: int = 512
    mouth_dim: int = 0
    pose_dim: int = 12
    num_classes: int = 0
    clip_len: int = 1
    fan_features: int = 256
    dropout: float = 0.5
    widths: Sequence[int] = (32, 64, 96)
    dtype: Any = None

    def setup(self):
        linear = lambda n: Linear(n, dtype=self.dtype)  # noqa: E731
        if self.backbone == "fan":
            self.model = FanBackbone(self.fan_features, self.features, dropout=self.dropout, dtype=self.dtype)
        elif self.backbone == "pyramid":
            self.model = PyramidBackbone(self.widths, self.features, self.dtype)
        else:
            raise ValueError(f"backbone {self.backbone!r}: choose fan or pyramid")
        self.to_mouth_0, self.to_mouth_2 = linear(self.features), linear(self.features)
        self.to_headpose_0, self.to_headpose_2 = linear(self.features), linear(self.features)
        self.mouth_embed_1 = linear(self.mouth_dim or self.features - self.pose_dim)
        self.headpose_embed_1 = linear(self.pose_dim)
        if self.num_classes:
            self.classifier_0, self.classifier_2 = linear(self.features), linear(self.num_classes)
            self.mouth_fc_1, self.headpose_fc_1 = linear(self.num_classes), linear(self.num_classes)

    def feature(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Picture -> feature (B, features)."""
        return self.model(x, train)

    def mouth(self, feature: jax.Array) -> jax.Array:
        """Feature -> visual speech content (B, features), in the space of the audio encoder's."""
        return self.to_mouth_2(nn.relu(self.to_mouth_0(feature)))

    def pose(self, feature: jax.Array) -> jax.Array:
        """Feature -> pose feature (B, features)."""
        return self.to_headpose_2(nn.relu(self.to_headpose_0(feature)))

    def mouth_embed(self, content: jax.Array) -> jax.Array:
        """Speech content, heard or seen -> mouth part of the style (B, mouth_dim)."""
        return self.mouth_embed_1(nn.relu(content))

    def pose_code(self, pose: jax.Array) -> jax.Array:
        """Pose feature -> pose code (B, pose_dim)."""
        return self.headpose_embed_1(nn.relu(pose))

    def scores(self, feature: jax.Array, mouth: jax.Array, code: jax.Array) -> dict[str, jax.Array]:
        """Training-only class scores of feature, content and code (clip_len frames joined)."""
        return {
            "classifier": self.classifier_2(nn.relu(self.classifier_0(feature))),
            "mouth_fc": self.mouth_fc_1(nn.relu(mouth.reshape(-1, self.clip_len * self.features))),
            "headpose_fc": self.headpose_fc_1(nn.relu(code.reshape(-1, self.clip_len * self.pose_dim))),
        }

    def __call__(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Everything: feature, mouth, pose, mouth_embed, pose_code (and scores). x: a multiple of `clip_len` pictures."""
        feature = self.feature(x, train)
        mouth, pose = self.mouth(feature), self.pose(feature)
        made = {"feature": feature, "mouth": mouth, "pose": pose}
        made |= {"mouth_embed": self.mouth_embed(mouth), "pose_code": self.pose_code(pose)}
        return made | (self.scores(feature, mouth, made["pose_code"]) if self.num_classes else {})


class IdentityEncoder(nn.Module):
    """V: picture(s) of a person -> vector (B, features), map (B, *map_size, map_width), class scores (B, num_classes).

    Input (B, H, W, 3), or (B, K, H, W, 3): K references, over which vector and map are averaged.

    Attributes:
        backbone: "resnext" (published) or "pyramid".
        stages, groups, base_width: of the ResNeXt; its features are 2048.
        features: width of the pyramid's vector; widths: of its blocks. Its map is the last one, not resampled.
    """

    backbone: str = "resnext"
    num_classes: int = 5830
    map_width: int = 512
    map_size: Sequence[int] = (7, 7)
    stages: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    groups: int = 32
    base_width: int = 4
    features: int = 2048
    widths: Sequence[int] = (32, 64, 96)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array, jax.Array]:
        references = x.shape[1] if x.ndim == 5 else 1
        x = x.reshape(-1, *x.shape[-3:])
        if self.backbone == "resnext":
            # Grouped convolutions as 32 small ones each take half a minute to compile; the direct form is slow in its
            # gradient only, and only on a CPU, where nobody trains this size.
            sizes = self.stages, True, self.width, self.groups, self.base_width, self.dtype
            x = ResNet(*sizes, form="direct", name="model")(x, train)
            vector = global_avg_pool(x)
            feature_map = Conv(self.map_width, (1, 1), dtype=self.dtype, name="conv1x1")(x)
            feature_map = adaptive_avg_pool(feature_map, self.map_size)
        elif self.backbone == "pyramid":
            x = pyramid(x, self.widths, train, self.dtype)[-1]
            squeezed = Conv(self.widths[-1] // 2, (1, 1), dtype=self.dtype, name="squeeze")(x)
            squeezed = nn.relu(squeezed).reshape(len(x), -1)
            vector = nn.relu(Linear(self.features, dtype=self.dtype, name="dense")(squeezed))
            feature_map = Conv(self.map_width, (1, 1), dtype=self.dtype, name="conv1x1")(x)
        else:
            raise ValueError(f"backbone {self.backbone!r}: choose resnext or pyramid")
        average = lambda y: y.reshape(-1, references, *y.shape[1:]).mean(1)  # noqa: E731
        vector, feature_map = average(vector), average(feature_map)
        return vector, feature_map, Linear(self.num_classes, dtype=self.dtype, name="fc")(vector)


class SEResNet(nn.Module):
    """voxceleb_trainer's ResNetSE with self-attentive pooling over time: mel window -> content (B, outputs)."""

    stages: Sequence[int] = (3, 4, 6, 3)
    widths: Sequence[int] = (32, 64, 128, 256)
    attention: int = 128
    outputs: int = 512
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = nn.relu(Conv(self.widths[0], (3, 3), padding=1, dtype=self.dtype, name="conv1")(x))
        x = BatchNorm(name="bn1")(x, train)
        for stage, (count, width) in enumerate(zip(self.stages, self.widths, strict=True)):
            for i in range(count):
                stride = 2 if stage and i == 0 else 1
                x = SEBasicBlock(width, stride, self.dtype, name=f"layer{stage + 1}_{i}")(x, train)
        # Published features run over channels, then frequencies.
        x = x.transpose(0, 2, 3, 1).reshape(len(x), x.shape[2], -1)
        weights = nn.relu(Conv(self.attention, (1,), dtype=self.dtype, name="attention_0")(x))
        weights = BatchNorm(name="attention_2")(weights, train)
        weights = nn.softmax(Conv(x.shape[-1], (1,), dtype=self.dtype, name="attention_3")(weights), 1)
        self.sow("intermediates", "attention", weights)
        return Linear(self.outputs, dtype=self.dtype, name="fc")((x * weights).sum(1))


class AudioEncoder(nn.Module):
    """A_sync: mel window (B, 80, 20, 1) -> speech content (B, outputs) and, with `num_classes`, speaker scores (else None).

    Attributes:
        backbone: "seresnet" (published) or "pyramid" (`widths` are its blocks').
    """

    backbone: str = "seresnet"
    outputs: int = 512
    num_classes: int = 0
    stages: Sequence[int] = (3, 4, 6, 3)
    widths: Sequence[int] = (32, 64, 128, 256)
    attention: int = 128
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array | None]:
        if self.backbone == "seresnet":
            model = SEResNet(self.stages, self.widths, self.attention, self.outputs, self.dtype, name="model")
        elif self.backbone == "pyramid":
            model = PyramidBackbone(self.widths, self.outputs, self.dtype, name="model")
        else:
            raise ValueError(f"backbone {self.backbone!r}: choose seresnet or pyramid")
        content = model(x, train)
        if not self.num_classes:
            return content, None
        return content, Linear(self.num_classes, dtype=self.dtype, name="fc")(content)


def published_layout(size: int, multiplier: int = 2) -> tuple[int, tuple[int, ...]]:
    """(side of the first map, widths of all levels) for pictures of `size`: from 7 where it divides the size, else from 4.

    Raises:
        ValueError: `size` is no doubling of that.
    """
    if size % 7 == 0:
        start, table = 7, {7: 512, 14: 512, 28: 512, 56: 512, 112: 256, 224: 128, 448: 64}
    else:
        start = 4
        table = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    if size not in table:
        raise ValueError(f"no generator for pictures of {size} px: choose {', '.join(map(str, table))}")
    halved = (56 if start == 7 else 64) if multiplier != 2 else size
    return start, tuple(
        width if side <= halved else width * multiplier // 2 for side, width in table.items() if side <= size
    )


class Generator(nn.Module):
    """G: style (B, S) and the identity's map -> picture (B, H, W, 3) in [-1, 1].

    Attributes:
        widths: of the levels; each after the first has twice the side.
        start: side of the first map.
        style_mlp: the style goes through StyleGAN2's mapping network first (the paper's description); the published
            code feeds it directly.
        mapping_layers: of that network.
        constant: a learned first map exists (published checkpoints have one); it is used where no map is given.
        patch: the last of several levels makes squares of patch x patch pixels, a power of two (1: published).
        lr_mul: of the modulated convolutions (see `nn.stylegan2`). Weights of deviation 1 need long training; with 8,
            Adam's steps are 8 times as long.
    """

    widths: Sequence[int] = (512, 512, 512, 512, 256, 128)
    start: int = 7
    style_mlp: bool = False
    mapping_layers: int = 8
    constant: bool = True
    patch: int = 1
    lr_mul: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        style: jax.Array,
        identity_map: jax.Array | None = None,
        noise: Sequence[jax.Array] | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Make a picture.

        Args:
            style: (B, S), for every layer.
            identity_map: (B, start, start, widths[0]); None: the learned constant.
            noise: a map (B or 1, h, w, 1) for each styled convolution. None: drawn anew where an rng `noise` is given,
                else the stored maps (published: buffers, used with `randomize_noise` off).
        """
        sides = [self.start * 2 ** ((i + 1) // 2) for i in range(2 * len(self.widths) - 1)]
        stored = [
            self.variable("batch_stats", f"noise_{i}", self._draw, (1, side, side, 1)).value
            for i, side in enumerate(sides)
        ]
        if noise is None and self.has_rng("noise"):
            keys = jax.random.split(self.make_rng("noise"), len(sides))
            noise = [jax.random.normal(k, (len(style), s, s, 1)) for k, s in zip(keys, sides, strict=True)]
        noise = stored if noise is None else noise
        if len(noise) != len(sides):
            raise ValueError(f"{len(noise)} noise maps for {len(sides)} layers")
        first = (1, self.start, self.start, self.widths[0])
        if self.constant:
            constant = self.param("input", nn.initializers.normal(1.0), first)
            if identity_map is None:
                identity_map = jnp.broadcast_to(constant, (len(style), *first[1:]))
        if identity_map is None:
            raise ValueError("this generator has no learned first map: it needs the identity's")
        if identity_map.shape[1:] != first[1:]:
            raise ValueError(f"identity map {identity_map.shape}, this generator starts from {first[1:]}")
        if self.style_mlp:
            style = MappingNetwork(style.shape[-1], self.mapping_layers, name="style")(style)
        how = {"lr_mul": self.lr_mul, "dtype": self.dtype}
        x = StyledConv(self.widths[0], name="conv1", **how)(identity_map, style, noise[0])
        picture = ToRGB(3, name="to_rgb1", **how)(x, style)
        for i, width in enumerate(self.widths[1:]):
            up = StyledConv(width, upsample=True, name=f"convs_{2 * i}", **how)
            x = up(x, style, noise[2 * i + 1])
            x = StyledConv(width, name=f"convs_{2 * i + 1}", **how)(x, style, noise[2 * i + 2])
            if self.patch == 1 or i + 2 < len(self.widths):
                picture = ToRGB(3, name=f"to_rgbs_{i}", **how)(x, style, picture)
                continue
            squares = ToRGB(3 * self.patch**2, name=f"to_rgbs_{i}", **how)(x, style)
            for _ in range(self.patch.bit_length()):
                picture = upsample(picture)
            picture = picture + _unpatched(squares, self.patch)
        return jnp.tanh(picture)

    def _draw(self, shape):
        return jax.random.normal(self.make_rng("params"), shape)


def _unpatched(x: jax.Array, patch: int) -> jax.Array:
    """(B, H, W, 3 p p) -> (B, H p, W p, 3)."""
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, patch, patch, 3).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * patch, width * patch, 3)


def style(identity: jax.Array, mouth: jax.Array, pose: jax.Array) -> jax.Array:
    """The generator's style (B, S): identity vector, mouth embedding, pose code."""
    return jnp.concatenate([identity, mouth.astype(identity.dtype), pose.astype(identity.dtype)], -1)
