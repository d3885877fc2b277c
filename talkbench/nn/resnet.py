"""Residual networks with torchvision's parameter names: basic, bottleneck and ResNeXt; the SE block of speaker networks."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from talkbench.nn.conv import Conv, Form, Linear
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import global_avg_pool, max_pool


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, the first with the stride. The output is `features` wide."""

    features: int
    stride: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        y = Conv(
            self.features,
            (3, 3),
            stride=self.stride,
            padding=1,
            use_bias=False,
            dtype=self.dtype,
            name="conv1",
        )(x)
        y = nn.relu(BatchNorm(name="bn1")(y, train))
        y = Conv(self.features, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name="conv2")(y)
        y = BatchNorm(name="bn2")(y, train)
        return nn.relu(y + _shortcut(x, y.shape[-1], self.stride, self.dtype, train))


class Bottleneck(nn.Module):
    """1x1, 3x3 (stride, groups), 1x1 to 4 `features`; inside features * base_width / 64 * groups wide."""

    features: int
    stride: int = 1
    groups: int = 1
    base_width: int = 64
    dtype: Any = None
    form: Form = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        width = int(self.features * (self.base_width / 64)) * self.groups
        y = Conv(width, (1, 1), use_bias=False, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(name="bn1")(y, train))
        y = Conv(
            width,
            (3, 3),
            stride=self.stride,
            padding=1,
            groups=self.groups,
            use_bias=False,
            form=self.form,
            dtype=self.dtype,
            name="conv2",
        )(y)
        y = nn.relu(BatchNorm(name="bn2")(y, train))
        y = Conv(4 * self.features, (1, 1), use_bias=False, dtype=self.dtype, name="conv3")(y)
        y = BatchNorm(name="bn3")(y, train)
        return nn.relu(y + _shortcut(x, y.shape[-1], self.stride, self.dtype, train))


class SqueezeExcite(nn.Module):
    """Channels scaled by a sigmoid of their means: C -> C / reduction -> C."""

    reduction: int = 8
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        y = nn.relu(Linear(width // self.reduction, dtype=self.dtype, name="fc_0")(global_avg_pool(x)))
        y = nn.sigmoid(Linear(width, dtype=self.dtype, name="fc_2")(y))
        return x * y.reshape(len(x), *(1,) * (x.ndim - 2), width)


class SEBasicBlock(nn.Module):
    """Two 3x3 convolutions and squeeze-excitation; the first ReLU comes before its BatchNorm."""

    features: int
    stride: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        window = {"window": (3, 3), "padding": 1, "use_bias": False, "dtype": self.dtype}
        y = nn.relu(Conv(self.features, stride=self.stride, **window, name="conv1")(x))
        y = BatchNorm(name="bn1")(y, train)
        y = BatchNorm(name="bn2")(Conv(self.features, **window, name="conv2")(y), train)
        y = SqueezeExcite(dtype=self.dtype, name="se")(y)
        return nn.relu(y + _shortcut(x, self.features, self.stride, self.dtype, train))


def _shortcut(x, features, stride, dtype, train):
    if stride == 1 and x.shape[-1] == features:
        return x
    x = Conv(features, (1, 1), stride=stride, use_bias=False, dtype=dtype, name="downsample_0")(x)
    return BatchNorm(name="downsample_1")(x, train)


class ResNet(nn.Module):
    """Image (N, H, W, C) -> feature map (N, H/32, W/32, 8 width [x 4]). No pooling and no classifier at the
    end.

    Attributes:
        stages: number of blocks in each stage.
        bottleneck: Bottleneck blocks (ResNet-50 and up) or basic ones.
        width: width of the first stage; each further one is twice as wide and has stride 2.
        groups, base_width: (32, 4) for ResNeXt-50 32x4d.
        form: of the bottlenecks' 3x3 convolutions (`nn.conv.conv`).
    """

    stages: Sequence[int] = (3, 4, 6, 3)
    bottleneck: bool = True
    width: int = 64
    groups: int = 1
    base_width: int = 64
    dtype: Any = None
    form: Form = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(self.width, (7, 7), stride=2, padding=3, use_bias=False, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(BatchNorm(name="bn1")(x, train))
        x = max_pool(x, (3, 3), (2, 2), (1, 1))
        for stage, count in enumerate(self.stages):
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                name = f"layer{stage + 1}_{i}"
                features = self.width * 2**stage
                if self.bottleneck:
                    sizes = features, stride, self.groups, self.base_width, self.dtype, self.form
                    block = Bottleneck(*sizes, name=name)
                else:
                    block = BasicBlock(features, stride, self.dtype, name=name)
                x = block(x, train)
        return x
