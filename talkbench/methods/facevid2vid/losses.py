"""Training losses of face-vid2vid (paper section 3.4), each without its weight.

`PUBLISHED_WEIGHTS` and `PAPER_WEIGHTS` hold the weights under the same names. Images are (B, H, W, 3) in [0,
1], keypoints (B, K, 3), angles in degrees. All return float32 scalars.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from talkbench.methods.facevid2vid import equivariance as tps
from talkbench.nn.resize import gaussian_downsample
from talkbench.nn.vgg import VGG, imagenet_normalize

Gan = Literal["hinge", "ls"]
DiscriminatorOutput = Sequence[tuple[Sequence[jax.Array], jax.Array]]

PUBLISHED_WEIGHTS = {
    "perceptual": 10.0,
    "gan": 1.0,
    "feature_matching": 10.0,
    "equivariance": 10.0,
    "keypoint": 10.0,
    "headpose": 20.0,
    "expression": 5.0,
}
PAPER_WEIGHTS = {**PUBLISHED_WEIGHTS, "equivariance": 20.0}

PUBLISHED_LAYER_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0)
PAPER_LAYER_WEIGHTS = (0.03125, 0.0625, 0.125, 0.25, 1.0)

PYRAMID = (1.0, 0.5, 0.25, 0.125)


def perceptual_terms(
    network: VGG,
    variables: Mapping,
    prediction: jax.Array,
    target: jax.Array,
    scales: Sequence[float] = PYRAMID,
) -> jax.Array:
    """Mean absolute differences of feature maps, (scales, taps), on an anti-aliased pyramid.

    No gradient flows into the target's features.
    """

    def features(images, scale):
        reduced = imagenet_normalize(gaussian_downsample(images, scale))
        made = network.apply(variables, reduced)
        return [made[tap] for tap in network.taps]

    rows = []
    for scale in scales:
        ours, theirs = features(prediction, scale), features(jax.lax.stop_gradient(target), scale)
        rows.append([_mean_difference(a, b) for a, b in zip(ours, theirs, strict=True)])
    return jnp.array(rows)


def perceptual(
    network: VGG,
    variables: Mapping,
    prediction: jax.Array,
    target: jax.Array,
    scales: Sequence[float] = PYRAMID,
    layer_weights: Sequence[float] = PUBLISHED_LAYER_WEIGHTS,
) -> jax.Array:
    """Weighted sum of `perceptual_terms` over layers and scales. `network` is a VGG-19 with five taps."""
    terms = perceptual_terms(network, variables, prediction, target, scales)
    return (terms * jnp.array(layer_weights, jnp.float32)).sum()


def _mean_difference(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).mean()


def generator_gan(fake: DiscriminatorOutput, gan: Gan = "hinge") -> jax.Array:
    """The generator's adversarial term from the discriminator's output on its images, summed over scales."""
    if gan == "hinge":
        return sum(-score.astype(jnp.float32).mean() for _, score in fake)
    if gan == "ls":
        return sum(((1 - score.astype(jnp.float32)) ** 2).mean() for _, score in fake)
    raise ValueError(f"gan {gan!r}: choose hinge or ls")


def feature_matching(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> jax.Array:
    """Mean absolute differences summed over scales and maps; no gradient into the real maps."""
    return sum(
        _mean_difference(jax.lax.stop_gradient(a), b)
        for (ours, _), (theirs, _) in zip(real, fake, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )


def discriminator_gan(real: DiscriminatorOutput, fake: DiscriminatorOutput, gan: Gan = "hinge") -> jax.Array:
    """The discriminator's term from its outputs on real and detached generated images, summed over scales."""
    total = 0.0
    for (_, a), (_, b) in zip(real, fake, strict=True):
        a, b = a.astype(jnp.float32), b.astype(jnp.float32)
        if gan == "hinge":
            total = total - jnp.minimum(a - 1, 0).mean() - jnp.minimum(-b - 1, 0).mean()
        elif gan == "ls":
            total = total + ((1 - a) ** 2 + b**2).mean()
        else:
            raise ValueError(f"gan {gan!r}: choose hinge or ls")
    return total


def equivariance(keypoints: jax.Array, transformed: jax.Array, transform: tps.Transform) -> jax.Array:
    """Mean |x - T(x')| in x and y: x are the driving frame's keypoints, x' those of the frame warped by T."""
    return jnp.abs(keypoints[..., :2] - tps.warp_points(transform, transformed[..., :2])).mean()


def keypoint_spread(keypoints: jax.Array, distance: float = 0.1) -> jax.Array:
    """Sum over all ordered pairs, i = j included, of the mean of max(0, distance - squared distance)."""
    difference = keypoints[:, :, None] - keypoints[:, None] + 1e-6
    return jnp.maximum(distance - (difference**2).sum(-1), 0).mean(0).sum()


def keypoint_depth(keypoints: jax.Array, depth: float = 0.33) -> jax.Array:
    """Mean over the batch of |mean z - depth|."""
    return jnp.abs(keypoints[..., 2].mean(1) - depth).mean()


def keypoint_prior(keypoints: jax.Array) -> jax.Array:
    """Keypoints of the driving frame shall be apart from each other and at mean depth 0.33."""
    return keypoint_spread(keypoints) + keypoint_depth(keypoints)


def headpose(predicted: Sequence[jax.Array], teacher: Sequence[jax.Array]) -> jax.Array:
    """Mean absolute differences in degrees, summed over the angles; no gradient into the teacher's."""
    return sum(jnp.abs(a - jax.lax.stop_gradient(b)).mean() for a, b in zip(predicted, teacher, strict=True))


def expression(delta: jax.Array) -> jax.Array:
    """Mean over the batch of the L1 norm of the deltas (B, 3K): grows with the number of keypoints."""
    return jnp.abs(delta).sum(-1).mean()
