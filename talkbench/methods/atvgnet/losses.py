"""ATVGnet's losses (paper section 3.3, section 7 of our specification)."""

import jax
import jax.numpy as jnp
import numpy as np

BETA = 0.5
# y of the mouth points 48..67; squared, it makes 10^4.
MOUTH_WEIGHT = 100.0


def pixel(fake: jax.Array, real: jax.Array, attention: jax.Array, beta: float = BETA) -> jax.Array:
    """Dynamic pixel-wise loss: mean of |fake - real| (attention + beta), no gradient into the attention as a weight.

    Args:
        fake, real: (B, T, H, W, 3) in [-1, 1]. attention: (B, T, H, W, 1) in [0, 1].
    """
    return (jnp.abs(fake - real) * (jax.lax.stop_gradient(attention) + beta)).mean()


def landmark_weights(mouth: float = MOUTH_WEIGHT) -> np.ndarray:
    """(136,): 1, but `mouth` at the y of points 48..67."""
    weights = np.ones(136, np.float32)
    weights[97::2] = mouth
    return weights


def landmark(predicted: jax.Array, target: jax.Array, mouth: float = MOUTH_WEIGHT) -> jax.Array:
    """Mean over (B, T, 136) of (w (predicted - target))^2; the weight stands inside the square, as published."""
    return jnp.square((predicted - target) * landmark_weights(mouth)).mean()


def judged(logit: jax.Array, real: bool) -> jax.Array:
    """Binary cross-entropy of sequence judgements (B,), given before their sigmoid."""
    return jax.nn.softplus(-logit if real else logit).mean()


def codes(predicted: jax.Array, target: jax.Array) -> jax.Array:
    """AT-net's loss: mean squared error of PCA codes (B, T, codes)."""
    return jnp.square(predicted - target).mean()
