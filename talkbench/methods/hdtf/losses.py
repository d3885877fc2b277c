"""Training losses of HDTF (paper sections 4.1 and 4.2), each without its weight.

`ANIMATION_WEIGHTS` and `VIDEO_WEIGHTS` hold the supplement's weights under the same names. All return float32 scalars.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from talkbench.nn.vgg import VGG, imagenet_normalize

ANIMATION_WEIGHTS = {
    "gan_mouth": 1.0,
    "gan_eyebrow": 1.0,
    "gan_head": 1.0,
    "mouth": 100.0,
    "eyebrow": 10.0,
    "head": 10.0,
}
VIDEO_WEIGHTS = {"gan": 1.0, "perceptual": 10.0, "feature_matching": 10.0}

SSIM_DELTAS = (1e-4, 9e-4)  # unpublished: (0.01)^2 and (0.03)^2, for parameters of about unit range


def parameter_l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Parameters (B, T, P): absolute differences summed over P, averaged over time and batch (L1 of the mouth)."""
    return jnp.abs(prediction.astype(jnp.float32) - target).sum(-1).mean()


def temporal_ssim(
    prediction: jax.Array, target: jax.Array, deltas: tuple[float, float] = SSIM_DELTAS
) -> jax.Array:
    """1 - structural similarity of parameter curves (B, T, P) over their T frames, averaged over P and batch.

    Means, variances (biased) and covariances are those of a curve over time: the shape of the motion counts, not the
    value at each frame.
    """
    a, b = prediction.astype(jnp.float32), target.astype(jnp.float32)
    mean_a, mean_b = a.mean(1, keepdims=True), b.mean(1, keepdims=True)
    variance_a, variance_b = jnp.square(a - mean_a).mean(1), jnp.square(b - mean_b).mean(1)
    covariance = ((a - mean_a) * (b - mean_b)).mean(1)
    mean_a, mean_b = mean_a[:, 0], mean_b[:, 0]
    level = (2 * mean_a * mean_b + deltas[0]) / (mean_a**2 + mean_b**2 + deltas[0])
    shape = (2 * covariance + deltas[1]) / (variance_a + variance_b + deltas[1])
    return 1 - (level * shape).mean()


def generator_gan(fake: jax.Array) -> jax.Array:
    """LSGAN's term of the generator from the scores of what it made, any shape."""
    return jnp.square(fake.astype(jnp.float32) - 1).mean()


def discriminator_gan(real: jax.Array, fake: jax.Array) -> jax.Array:
    """LSGAN's term of the discriminator from its scores of real and (detached) generated samples."""
    return jnp.square(real.astype(jnp.float32) - 1).mean() + jnp.square(fake.astype(jnp.float32)).mean()


def feature_matching(real: Sequence[jax.Array], fake: Sequence[jax.Array]) -> jax.Array:
    """Mean absolute differences summed over the discriminator's maps; no gradient into the real maps."""
    return sum(_mean_difference(jax.lax.stop_gradient(a), b) for a, b in zip(real, fake, strict=True))


def perceptual(network: VGG, variables: Mapping, prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute differences of VGG-19 features summed over `network.taps`; RGB images (B, H, W, 3) in [0, 1].

    The layers are unpublished; VGG's default taps are those of the first order motion model, on which the network is
    built. No gradient flows into the target's features.
    """
    ours = network.apply(variables, imagenet_normalize(prediction))
    theirs = network.apply(variables, imagenet_normalize(jax.lax.stop_gradient(target)))
    return sum(_mean_difference(ours[tap], theirs[tap]) for tap in network.taps)


def _mean_difference(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).mean()
