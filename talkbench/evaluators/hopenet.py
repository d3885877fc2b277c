"""Hopenet: head pose of a face crop (Ruiz, Chong, Rehg 2018), weights `hopenet_robust_alpha1` or alike.

A ResNet-50 with three classifiers over 66 bins of 3 degrees. face-vid2vid's training uses it as the teacher
of head pose.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.conv import Linear
from talkbench.nn.pool import global_avg_pool
from talkbench.nn.resize import resize_antialias, resize_linear
from talkbench.nn.resnet import ResNet
from talkbench.nn.vgg import imagenet_normalize
from talkbench.weights.torch_layout import abstract_variables, convert, strip_module

NUM_BINS = 66
INPUT_SIZE = 224

# The backbone's parameters are a subtree here, but stand at the top of the checkpoint.
_RULES = ((r"^(conv1|bn1|layer\d)\.", r"backbone.\1."),)


class Hopenet(nn.Module):
    """Normalised images (B, 224, 224, 3) -> yaw, pitch, roll logits (B, 66)."""

    backbone: nn.Module = ResNet()
    num_bins: int = NUM_BINS

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        x = global_avg_pool(self.backbone(images))
        return tuple(Linear(self.num_bins, name=f"fc_{angle}")(x) for angle in ("yaw", "pitch", "roll"))


def degrees(logits: jax.Array) -> jax.Array:
    """Bins (..., 66) -> expected angle in degrees (...)."""
    bins = jnp.arange(logits.shape[-1], dtype=jnp.float32)
    return 3.0 * (jax.nn.softmax(logits.astype(jnp.float32), -1) * bins).sum(-1) - 99.0


def convert_hopenet(state_dict: Mapping[str, Any], network: Hopenet | None = None) -> dict:
    """The published state dict as variables; its unused layer `fc_finetune` is left out."""
    network = network or Hopenet()
    abstract = abstract_variables(network.init, (1, INPUT_SIZE, INPUT_SIZE, 3))
    return convert(strip_module(state_dict), abstract, _RULES, [r"fc_finetune\..*"], "Hopenet checkpoint")


def estimate(
    variables: Mapping, images: jax.Array, network: Hopenet | None = None, antialias: bool = False
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Images (B, H, W, 3) in [0, 1] -> yaw, pitch, roll in degrees, (B,) each.

    Args:
        antialias: how images are resized to 224: plain bilinear (as the published training did, with tensors
            and an old torchvision) or antialiased (today's default there). Degrees differ by some tenths at
            most.
    """
    network = network or Hopenet()
    resize = resize_antialias if antialias else resize_linear
    small = resize(images, (INPUT_SIZE, INPUT_SIZE))
    return tuple(degrees(logits) for logits in network.apply(variables, imagenet_normalize(small)))
