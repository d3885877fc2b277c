"""VGG-16 and VGG-19 feature maps (Simonyan & Zisserman 2015) for perceptual losses and distances."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from talkbench.nn.conv import Conv
from talkbench.nn.pool import max_pool

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

_GROUPS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


def imagenet_normalize(images: jax.Array) -> jax.Array:
    """RGB in [0, 1] -> ImageNet's normalised values."""
    return (images - IMAGENET_MEAN) / IMAGENET_STD


class VGG(nn.Module):
    """Feature maps after chosen ReLUs.

    Parameters carry torchvision's indices: `features_0` is the published `features.0`. Layers after the last
    tap don't exist.

    Attributes:
        arch: "vgg16" or "vgg19".
        taps: names such as "relu3_1" (block 3, first convolution).
        width: multiplies the published widths (below 1 for tests).
    """

    arch: str = "vgg19"
    taps: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    width: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """x: (N, H, W, 3), already normalised. Returns {tap: (N, h, w, C)}."""
        if self.arch not in _GROUPS:
            raise ValueError(f"unknown VGG {self.arch!r}: choose {' or '.join(_GROUPS)}")
        wanted = set(self.taps)
        outputs, index = {}, 0
        for block, (count, width) in enumerate(zip(_GROUPS[self.arch], _WIDTHS, strict=True), 1):
            for layer in range(1, count + 1):
                if wanted <= outputs.keys():
                    return outputs
                conv = Conv(
                    int(width * self.width), (3, 3), padding=1, dtype=self.dtype, name=f"features_{index}"
                )
                x = nn.relu(conv(x))
                index += 2
                if f"relu{block}_{layer}" in wanted:
                    outputs[f"relu{block}_{layer}"] = x
            x = max_pool(x, (2, 2))
            index += 1
        if wanted - outputs.keys():
            raise ValueError(f"{self.arch} has no {', '.join(sorted(wanted - outputs.keys()))}")
        return outputs
