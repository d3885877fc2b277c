"""How driving keypoints are made at inference: absolute, relative, free view, a user's rotation,
frontalisation.

Keypoints are (B, K, 3) in [-1, 1]. Hull volumes and the choice of a frame run on the host (SciPy); the rest
is jittable.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import ConvexHull

from talkbench.methods.facevid2vid.pose import (
    PUBLISHED_PI,
    Rotation,
    expression,
    place_keypoints,
    pose_rotation,
    relative_rotation,
)


def hull_volume(points: np.ndarray) -> float:
    """Volume of the convex hull of points (K, 3); area for points (K, 2)."""
    return float(ConvexHull(np.asarray(points, np.float64)).volume)


def adapt_scale(source: np.ndarray, driving_initial: np.ndarray) -> float:
    """How much larger the source's keypoints (K, 3) are than those of the first driving frame.

    sqrt(volume) / sqrt(volume): the published rule, a square root that was left from 2-D areas.
    """
    return float(np.sqrt(hull_volume(source)) / np.sqrt(hull_volume(driving_initial)))


def relative_keypoints(
    source: jax.Array, driving: jax.Array, driving_initial: jax.Array, scale: float | jax.Array = 1.0
) -> jax.Array:
    """source + scale (driving - driving_initial): the driver's movement, not its position. (B, K, 3).

    `driving_initial` are the first driving frame's keypoints made with the *source's* canonical keypoints;
    `scale` comes from `adapt_scale`, or is 1.
    """
    return source + scale * (driving - driving_initial)


def best_frame(source_landmarks: np.ndarray, driving_landmarks: np.ndarray) -> int:
    """The driving frame whose landmarks are most like the source's, to start relative motion from.

    Args:
        source_landmarks: (68, 2 or more) pixels.
        driving_landmarks: (T, 68, 2 or more); frames with a value that isn't finite are passed over.

    Raises:
        ValueError: if no driving frame has landmarks.
    """
    source = _normalised(source_landmarks)
    best, least = -1, np.inf
    for frame, landmarks in enumerate(driving_landmarks):
        if not np.isfinite(landmarks).all():
            continue
        distance = float(np.square(source - _normalised(landmarks)).sum())
        if distance < least:
            best, least = frame, distance
    if best < 0:
        raise ValueError("no driving frame has landmarks: choose the first frame instead of the best one")
    return best


def _normalised(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks centred, and x and y divided by the square root of their hull's area."""
    centred = np.asarray(landmarks, np.float64)
    centred = centred - centred.mean(0)
    centred[:, :2] /= np.sqrt(hull_volume(centred[:, :2]))
    return centred


def user_keypoints(
    canonical: jax.Array,
    pose: Mapping[str, jax.Array],
    user_rotation: jax.Array,
    user_translation: jax.Array | float = 0.0,
    *,
    rotation: Rotation = "published",
    pi: float = PUBLISHED_PI,
) -> jax.Array:
    """The paper's user control: R <- R_user R, t <- t_user + t, expression unchanged. (B, K, 3).

    `user_rotation` (3, 3) or (B, 3, 3); `user_translation` (3,) or (B, 3).
    """
    matrix = pose_rotation(pose, rotation=rotation, pi=pi)
    turned = jnp.matmul(jnp.asarray(user_rotation, jnp.float32), matrix, precision=jax.lax.Precision.HIGHEST)
    return place_keypoints(canonical, turned, pose["t"] + user_translation, expression(pose))


def redirect_keypoints(
    canonical: jax.Array,
    pose: Mapping[str, jax.Array],
    target_rotation: jax.Array | None = None,
    *,
    rotate_expression: bool = False,
    fix_depth: bool = False,
    rotation: Rotation = "published",
    pi: float = PUBLISHED_PI,
) -> jax.Array:
    """Keypoints of the same face with its head turned to `target_rotation` ((3, 3) or (B, 3, 3)), by default
    to the front.

    Args:
        rotate_expression: turn the deltas as well, by R_new R_old^-1 (a second reimplementation's
            frontalisation).
        fix_depth: then shift z so that its mean is 0.33, where training keeps it (of the same origin).
    """
    old = pose_rotation(pose, rotation=rotation, pi=pi)
    new = jnp.eye(3) if target_rotation is None else jnp.asarray(target_rotation, jnp.float32)
    new = jnp.broadcast_to(new, old.shape)
    delta = expression(pose)
    if rotate_expression:
        turn = relative_rotation(new, old)
        delta = jnp.einsum("bij,bkj->bki", turn, delta, precision=jax.lax.Precision.HIGHEST)
    keypoints = place_keypoints(canonical, new, pose["t"], delta)
    if fix_depth:
        keypoints = keypoints.at[..., 2].add(0.33 - keypoints[..., 2].mean(1, keepdims=True))
    return keypoints
