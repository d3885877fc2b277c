"""Losses of MakeItTalk's landmark branches and of AutoVC, as dicts of named terms without their weights.

Where paper and published code differ there is a function for each; `docs/fidelity.md` says which is used.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.geometry.topology import (
    INNER_MOUTH,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    MOUTH,
    NOSE,
    NUM_LANDMARKS,
    OUTER_MOUTH,
    RIGHT_BROW,
    RIGHT_EYE,
    T_SHAPE,
)

_OPEN = (JAW, RIGHT_BROW, LEFT_BROW, NOSE)
_CLOSED = (RIGHT_EYE, LEFT_EYE, OUTER_MOUTH, INNER_MOUTH)
_UPPER_LIP, _LOWER_LIP = 62, 66


def _neighbours() -> tuple[np.ndarray, np.ndarray]:
    before, after = np.zeros(NUM_LANDMARKS, np.int64), np.zeros(NUM_LANDMARKS, np.int64)
    for part in (*_OPEN, *_CLOSED):
        before[part], after[part] = np.roll(part, 1), np.roll(part, -1)
    for part in _OPEN:
        before[part[0]], after[part[-1]] = part[1], part[-2]
    return before, after


BEFORE, AFTER = _neighbours()  # neighbours of each landmark; at the end of an open part both are the same


def points(landmarks: jax.Array) -> jax.Array:
    """(..., 204) -> (..., 68, 3)."""
    return landmarks.reshape(*landmarks.shape[:-1], NUM_LANDMARKS, -1)


def laplacian(landmarks: jax.Array) -> jax.Array:
    """Each landmark less the mean of its two neighbours: (..., 68, 3) -> same shape (paper, eq. 4)."""
    return landmarks - 0.5 * (landmarks[..., BEFORE, :] + landmarks[..., AFTER, :])


def lip_weight(target: jax.Array) -> jax.Array:
    """(N, 68, 3) real landmarks -> (N, 68, 1): 1, on the lips 1 / (4 opening + 0.1), so closed lips count most."""
    opening = jnp.abs(target[:, _LOWER_LIP, 1] - target[:, _UPPER_LIP, 1])
    weight = jnp.ones((len(target), NUM_LANDMARKS))
    return weight.at[:, MOUTH].set((1 / (4 * opening + 0.1))[:, None])[..., None]


def content(
    displacement: jax.Array, face: jax.Array, target: jax.Array, use_lip_weight: bool = True
) -> Mapping[str, jax.Array]:
    """The published code's content loss, means over all numbers.

    Args:
        displacement: (N, 204), frames of one clip in order.
        face: (1 or N, 204) at rest.
        target: (N, 204) real landmarks.

    Returns:
        position (weighted L1), motion (L1 of the differences of frames; off by default there), laplacian (L1).
    """
    ours, theirs = points(face + displacement), points(target)
    distance = jnp.abs(ours - theirs)
    return {
        "position": ((lip_weight(theirs) if use_lip_weight else 1.0) * distance).mean(),
        "motion": jnp.abs(jnp.diff(displacement, axis=0) - jnp.diff(target, axis=0)).mean(),
        "laplacian": jnp.abs(laplacian(ours) - laplacian(theirs)).mean(),
    }


def squared(predicted: jax.Array, target: jax.Array) -> Mapping[str, jax.Array]:
    """The paper's landmark loss (eqs. 3 and 6): *sums* over frames and landmarks of squared distances.

    Args:
        predicted, target: (N, 204).

    Returns:
        position, laplacian.
    """
    ours, theirs = points(predicted), points(target)
    return {
        "position": jnp.square(ours - theirs).sum(),
        "laplacian": jnp.square(laplacian(ours) - laplacian(theirs)).sum(),
    }


def realism(fake: jax.Array) -> jax.Array:
    """What the generator pays for scores (..., ) below 1: sum of (r - 1)^2 (paper, eq. 6; LSGAN)."""
    return jnp.square(fake - 1).sum()


def discrimination(real: jax.Array, fake: jax.Array) -> Mapping[str, jax.Array]:
    """What the discriminator pays: sums of (r_real - 1)^2 and of r_fake^2 (paper, eq. 7)."""
    return {"real": jnp.square(real - 1).sum(), "fake": jnp.square(fake).sum()}


def voice_conversion(
    coarse: jax.Array, fine: jax.Array, mel: jax.Array, codes: jax.Array, codes_again: jax.Array
) -> Mapping[str, jax.Array]:
    """AutoVC's terms.

    Args:
        coarse, fine: spectrogram before and after the postnet (B, T, C), converted to the source's own voice.
        mel: the source (B, T, C).
        codes, codes_again: codes of the source and of `fine`.

    Returns:
        coarse, fine (mean squares), codes (mean of absolute differences).
    """
    return {
        "coarse": jnp.square(coarse - mel).mean(),
        "fine": jnp.square(fine - mel).mean(),
        "codes": jnp.abs(codes - codes_again).mean(),
    }


def same_speaker(similarity: jax.Array, who: jax.Array) -> jax.Array:
    """GE2E's softmax loss (Wan et al. 2018, eq. 6) with two utterances of each speaker, both ways.

    Args:
        similarity: (B, B), scaled cosines of first (rows) and second utterances.
        who: (B,) numbers of the speakers; others' utterances of the same speaker do not count.
    """
    other = (who[:, None] == who) & ~jnp.eye(len(who), dtype=bool)
    logits = jnp.where(other, -1e9, similarity)
    right = jnp.diagonal(logits)
    return sum((jax.nn.logsumexp(logits, axis) - right).mean() for axis in (0, 1)) / 2


def amounts(landmarks, still: np.ndarray, rate: float):
    """How far and how fast a head turns, (..., 4): logarithms of yaw's and pitch's deviations (degrees, .3 added) and mean
    speeds (degrees a second, 1 added). Angles are those of small turns from the front, whatever the face's size.

    Args:
        landmarks: (..., N, 68, 3), posed, in network units; a NumPy or a JAX array, and so is the answer.
        still: (P, 3), the `T_SHAPE` of a face at rest. rate: frames a second.
    """
    xp = landmarks.__array_namespace__()
    arms = still - still.mean(0)
    inertia = np.square(arms).sum() * np.eye(3) - arms.T @ arms
    where = landmarks[..., T_SHAPE, :]
    where = where - where.mean(-2, keepdims=True)
    where = where * np.linalg.norm(arms) / xp.sqrt(xp.square(where).sum((-2, -1), keepdims=True))
    lever = xp.cross(arms, where).sum(-2)
    angles = xp.rad2deg(lever @ np.linalg.inv(inertia).T)[..., :2]  # about x and y
    speed = rate * xp.sqrt(xp.square(xp.diff(angles, axis=-2)) + 1e-6).mean(-2)
    deviation = xp.sqrt(angles.var(-2) + 1e-4)
    return xp.log(xp.concatenate([deviation + 0.3, speed + 1.0], -1))


def manner(fake: jax.Array, real: jax.Array, still: np.ndarray, rate: float) -> jax.Array:
    """How far the way a head moves is from its speaker's, whatever moves when.

    Ours: squared terms alone make heads stand still.

    Args:
        fake: (B, N, 204). real: (B, 4), the speakers' `amounts`. still, rate: of `amounts`.

    Returns:
        Mean over clips of the summed squares of differences.
    """
    return jnp.square(amounts(points(fake), still, rate) - real).sum(-1).mean()
