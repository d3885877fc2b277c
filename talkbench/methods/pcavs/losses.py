"""Training losses of PC-AVS, each without its weight (`PUBLISHED_WEIGHTS` has them), as float32 scalars.

Pictures are (B, H, W, 3) in [-1, 1]; a discriminator's output is a list for each scale: [the scale's picture,
features..., scores].
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from talkbench.nn.vgg import VGG

Gan = Literal["hinge", "ls", "original", "w"]
Form = Literal["distance", "cosine"]
Scales = Sequence[Sequence[jax.Array]]

PUBLISHED_WEIGHTS = {
    "gan": 1.0,
    "feature_matching": 10.0,
    "perceptual": 10.0,
    "contrastive_audio": 100.0,
    "contrastive_video": 100.0,
    "cross_modal": 1.0,
    "identity": 1.0,
}
LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def _score(scores: jax.Array, wanted: bool, gan: Gan, for_discriminator: bool) -> jax.Array:
    scores = scores.astype(jnp.float32)
    sign = 1.0 if wanted else -1.0
    if gan == "w" or (gan == "hinge" and not for_discriminator):
        return -sign * scores.mean()
    if gan == "hinge":
        return jax.nn.relu(1 - sign * scores).mean()
    if gan == "ls":
        return jnp.square(scores - float(wanted)).mean()
    if gan == "original":  # sigmoid cross-entropy
        return jax.nn.softplus(-sign * scores).mean()
    raise ValueError(f"gan {gan!r}: choose hinge, ls, original or w")


def adversarial(
    output: Scales, wanted: bool, gan: Gan = "hinge", for_discriminator: bool = True
) -> jax.Array:
    """How far the scores are from "real" (`wanted` True) or "fake", averaged over the scales.

    The generator's term is `adversarial(fake, True, gan, for_discriminator=False)`.
    """
    return sum(_score(scale[-1], wanted, gan, for_discriminator) for scale in output) / len(output)


def feature_matching(
    real: Scales, fake: Scales, image: float = 1.0, levels: Literal["image", "features"] = "image"
) -> jax.Array:
    """Mean absolute differences of all levels but the scores, summed over levels, averaged over scales.

    Args:
        image: weight of level 0, the picture itself.
        levels: "image": level 0 is among them (published code), "features": it is not (as in SPADE).
    """
    first = {"image": 0, "features": 1}[levels]
    total = 0.0
    for ours, theirs in zip(real, fake, strict=True):
        for level in range(first, len(ours) - 1):
            difference = mean_difference(jax.lax.stop_gradient(ours[level]), theirs[level])
            total = total + (difference if level else image * difference)
    return total / len(real)


def mean_difference(a: jax.Array, b: jax.Array) -> jax.Array:
    """Mean absolute difference."""
    return jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).mean()


def perceptual_terms(network: VGG, variables: Any, made: jax.Array, target: jax.Array) -> list[jax.Array]:
    """Mean absolute differences of the VGG features of pictures that are *not* normalised, as published."""
    ours = network.apply(variables, made)
    theirs = network.apply(variables, jax.lax.stop_gradient(target))
    return [mean_difference(ours[tap], theirs[tap]) for tap in network.taps]


def perceptual(
    network: VGG,
    variables: Any,
    made: jax.Array,
    target: jax.Array,
    layer_weights: Sequence[float] = LAYER_WEIGHTS,
) -> jax.Array:
    """Weighted sum of `perceptual_terms`."""
    terms = perceptual_terms(network, variables, made, target)
    return sum(weight * term for weight, term in zip(layer_weights, terms, strict=True))


def _unit(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-24))


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """(N, D), (M, D) -> (N, M) cosine similarities."""
    return _unit(a) @ _unit(b).T


def contrastive(
    query: jax.Array,
    keys: jax.Array,
    form: Form = "distance",
    negatives: jax.Array | None = None,
    eps: float = 1e-4,
) -> jax.Array:
    """Cross-entropy of picking each query's own key (paper L_c) among those of the batch.

    Args:
        query, keys: (N, D), rows of one clip at the same index.
        form: "distance": logits 1 / |q - k| of unit rows (published code); "cosine": logits are the cosines (paper,
            through a review).
        negatives: (N, K, D), further keys of each query, such as the same clip at other times.
        eps: smallest distance; identical rows would give infinity.
    """
    query, keys = _unit(query), _unit(keys)
    if form == "distance":
        # From differences, not from inner products: 2 - 2 cos loses half the digits of a small distance.
        logits = _inverse_distance(query[:, None] - keys[None], eps)
    elif form == "cosine":
        logits = query @ keys.T
    else:
        raise ValueError(f"contrastive form {form!r}: choose distance or cosine")
    if negatives is not None:
        others = _unit(negatives)
        if form == "distance":
            more = _inverse_distance(query[:, None] - others, eps)
        else:
            more = jnp.einsum("nd,nkd->nk", query, others)
        logits = jnp.concatenate([logits, more], 1)
    return cross_entropy(logits, jnp.arange(len(query)))


def _inverse_distance(difference: jax.Array, eps: float) -> jax.Array:
    return jax.lax.rsqrt(jnp.maximum(jnp.square(difference).sum(-1), eps**2))


def cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean softmax cross-entropy of scores (N, classes) and class numbers (N,): the identity loss L_i."""
    logits = jax.nn.log_softmax(scores.astype(jnp.float32))
    return -jnp.take_along_axis(logits, labels[:, None], 1).mean()


def evenness(scores: jax.Array) -> jax.Array:
    """Mean squared difference of softmax(scores) and the even distribution (published L2SoftmaxLoss; off)."""
    return jnp.square(jax.nn.softmax(scores.astype(jnp.float32)) - 1 / scores.shape[1]).mean()


def log_evenness(scores: jax.Array) -> jax.Array:
    """Divergence of the even distribution from softmax(scores) (published SumLogSoftmaxLoss; off)."""
    return -jax.nn.log_softmax(scores.astype(jnp.float32)).mean() - jnp.log(float(scores.shape[1]))
