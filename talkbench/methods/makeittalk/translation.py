"""Image-to-image translation: drawn landmarks and a portrait to a picture (MakeItTalk, section 4.3).

Pictures inside are channels last, **BGR** in [0, 1], as the published weights saw them.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.conv import Conv
from talkbench.nn.norm import BatchNorm

STYLE_SCALE = 3e7


class _ResBlock(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def conv(index, y):
            return Conv(x.shape[-1], (3, 3), padding=1, use_bias=False, name=f"block_{index}")(y)

        y = nn.relu(BatchNorm(name="block_1")(conv(0, x), train))
        return nn.relu(x + BatchNorm(name="block_4")(conv(3, y), train))


class Level(nn.Module):
    """One level of the U; all but the outermost return their input beside their output.

    Layers are named by their place in the published sequence, so the numbers depend on which layers a level has.
    """

    widths: tuple[int, ...]  # this level's and all below it
    outputs: int
    outermost: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        width, innermost = self.widths[0], len(self.widths) == 1
        index = iter(range(12))
        y = Conv(width, (3, 3), 2, padding=1, use_bias=False, name=f"model_{next(index)}")(x)
        if not (self.outermost or innermost):
            y = BatchNorm(name=f"model_{next(index)}")(y, train)
        next(index)
        y = nn.relu(y)
        for _ in range(2):
            y = _ResBlock(name=f"model_{next(index)}")(y, train)
        if not innermost:
            y = Level(self.widths[1:], width, name=f"model_{next(index)}")(y, train)
        next(index)
        name = f"model_{next(index)}"
        y = Conv(self.outputs, (3, 3), padding=1, use_bias=False, upsample=True, name=name)(y)
        if self.outermost:
            return y
        y = nn.relu(BatchNorm(name=f"model_{next(index)}")(y, train))
        next(index)
        for _ in range(2):
            y = _ResBlock(name=f"model_{next(index)}")(y, train)
        return jnp.concatenate([x, y], -1)


class ResUnet(nn.Module):
    """(N, H, W, 6) drawing and portrait -> (N, H, W, 3) before `tanh`; sides divisible by 2^levels (64).

    Attributes:
        widths: of each level, outermost first.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    outputs: int = 3

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        factor = 2 ** len(self.widths)
        if x.shape[1] % factor or x.shape[2] % factor:
            raise ValueError(
                f"pictures of {x.shape[1]}x{x.shape[2]} pixels: sides must be divisible by {factor}"
            )
        return Level(self.widths, self.outputs, outermost=True, name="model")(x, train)


MIXED = 6  # outputs of a network whose picture is a mix


def picture(raw: jax.Array, whole: tuple[jax.Array, ...] = ()) -> jax.Array:
    """What the network's output (N, H, W, 3) shows, BGR: its tanh.

    Args:
        whole: pictures (N, H, W, 3) in [0, 1]; with two of them `raw` has `MIXED` channels, and each pixel is a mix, weighed by
            the softmax of the last three, of what the first three show and of those pictures. Ours: the network's finest
            level sees half the resolution, which at 64 px is too little.
    """
    drawn = jnp.tanh(raw[..., :3])
    if not whole:
        return drawn
    weights = jax.nn.softmax(raw[..., 3:])
    return sum(weights[..., i, None] * layer for i, layer in enumerate((drawn, *whole)))


def shown(made: jax.Array) -> jax.Array:
    """A `picture` in [0, 1]: negative values black."""
    return jnp.maximum(made, 0)


def gram(features: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N C, N C) over N C H W. It mixes the pictures of a batch, as the published one does."""
    rows = features.transpose(0, 3, 1, 2).reshape(features.shape[0] * features.shape[3], -1)
    return rows @ rows.T / features.size


def losses(
    predicted: jax.Array, target: jax.Array, vgg: Callable, style: bool = False
) -> Mapping[str, jax.Array]:
    """Terms of the translation loss, without weights; pictures (N, H, W, 3), BGR in [0, 1].

    Args:
        vgg: pictures -> {tap: features}. They are **not** brought to ImageNet's mean and deviation first.
        style: also the published code's third term (its factor 3e7 included); it is not in the paper.

    Returns:
        l1, perceptual, perceptual_0 ... (one a tap, in the order of `vgg`), with `style` also style.
    """
    ours, theirs = vgg(predicted).values(), vgg(target).values()
    terms = {
        f"perceptual_{i}": jnp.abs(a - b).mean() for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
    }
    made = {"l1": jnp.abs(predicted - target).mean(), "perceptual": sum(terms.values()), **terms}
    if style:
        pairs = zip(ours, theirs, strict=True)
        made["style"] = STYLE_SCALE * sum(jnp.square(gram(a) - gram(b)).mean() for a, b in pairs)
    return made


def window_difference(made: jax.Array, target: jax.Array, window: jax.Array) -> jax.Array:
    """Mean absolute difference (N, H, W, C) under a Gaussian around the mouth; ours, for small pictures.

    Args:
        window: (N, 3), centre x, y and half width of the mouth, in [-1, 1] over the picture.
    """
    height, width = made.shape[1:3]
    x = (jnp.arange(width) + 0.5) * (2 / width) - 1
    y = (jnp.arange(height) + 0.5) * (2 / height) - 1
    across = jnp.exp(-0.5 * jnp.square((x - window[:, :1]) / window[:, 2:]))
    down = jnp.exp(-0.5 * jnp.square((y - window[:, 1:2]) / (0.8 * window[:, 2:])))
    weight = down[:, :, None] * across[:, None]
    return ((jnp.abs(made - target).mean(-1) * weight).sum((1, 2)) / weight.sum((1, 2))).mean()
