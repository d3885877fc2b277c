"""Pose algebra of face-vid2vid: head angles, rotation and the transformation of canonical keypoints (paper
section 3.1).

A pose is the estimator's dict: `yaw`, `pitch`, `roll` logits (B, 66), `t` (B, 3), `exp` (B, 3K). Keypoints
are (B, K, 3).
"""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

Rotation = Literal["published", "beta"]

PUBLISHED_PI = 3.14  # the published networks were trained with this value

_EXACT = jax.lax.Precision.HIGHEST  # 3x3 products: free, and an accelerator's default would round angles


def degrees(logits: jax.Array) -> jax.Array:
    """Angle bins (..., 66) -> expected angle in degrees (...), between -99 and 96."""
    bins = jnp.arange(logits.shape[-1], dtype=jnp.float32)
    return 3.0 * (jax.nn.softmax(logits.astype(jnp.float32), -1) * bins).sum(-1) - 99.0


def angles(
    pose: Mapping[str, jax.Array],
    yaw: jax.Array | float | None = None,
    pitch: jax.Array | float | None = None,
    roll: jax.Array | float | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """yaw, pitch, roll of a pose in degrees, (B,) each; given angles (degrees) replace predicted ones."""
    given = {"yaw": yaw, "pitch": pitch, "roll": roll}
    return tuple(
        degrees(pose[name])
        if value is None
        else jnp.broadcast_to(jnp.asarray(value, jnp.float32), pose[name].shape[:-1])
        for name, value in given.items()
    )


def rotation_matrix(
    yaw: jax.Array,
    pitch: jax.Array,
    roll: jax.Array,
    rotation: Rotation = "published",
    pi: float = PUBLISHED_PI,
) -> jax.Array:
    """Angles in degrees (...) -> rotation matrices (..., 3, 3).

    Args:
        rotation: "published" is R_x(pitch) R_y(yaw) R_z(roll); "beta" is R_x(roll) R_y(pitch) R_z(yaw), the
            mistaken rule with which the vox-256-beta weights were trained.
        pi: 3.14 in the published code; `numpy.pi` gives true angles (0.05 % off for published weights).
    """
    if rotation == "beta":
        yaw, pitch, roll = pitch, roll, yaw
    elif rotation != "published":
        raise ValueError(f"rotation {rotation!r}: choose published or beta")
    yaw, pitch, roll = (jnp.asarray(a, jnp.float32) / 180.0 * pi for a in (yaw, pitch, roll))
    one, zero = jnp.ones_like(yaw), jnp.zeros_like(yaw)

    def matrix(*rows):
        return jnp.stack([jnp.stack(row, -1) for row in rows], -2)

    c, s = jnp.cos(pitch), jnp.sin(pitch)
    about_x = matrix((one, zero, zero), (zero, c, -s), (zero, s, c))
    c, s = jnp.cos(yaw), jnp.sin(yaw)
    about_y = matrix((c, zero, s), (zero, one, zero), (-s, zero, c))
    c, s = jnp.cos(roll), jnp.sin(roll)
    about_z = matrix((c, -s, zero), (s, c, zero), (zero, zero, one))
    product = jnp.matmul(about_x, about_y, precision=_EXACT)
    return jnp.matmul(product, about_z, precision=_EXACT)


def pose_rotation(
    pose: Mapping[str, jax.Array],
    *,
    yaw: jax.Array | float | None = None,
    pitch: jax.Array | float | None = None,
    roll: jax.Array | float | None = None,
    rotation: Rotation = "published",
    pi: float = PUBLISHED_PI,
) -> jax.Array:
    """The head rotation (B, 3, 3) of a pose. Given angles (degrees) replace predicted ones: free view."""
    return rotation_matrix(*angles(pose, yaw, pitch, roll), rotation, pi)


def expression(pose: Mapping[str, jax.Array]) -> jax.Array:
    """The expression deltas (B, K, 3) of a pose."""
    return pose["exp"].reshape(pose["exp"].shape[0], -1, 3)


def place_keypoints(
    canonical: jax.Array, rotation: jax.Array, translation: jax.Array, delta: jax.Array | None = None
) -> jax.Array:
    """R x_c + t + delta.

    Args:
        canonical: (B, K, 3).
        rotation: (B, 3, 3).
        translation: (B, 3).
        delta: expression (B, K, 3), added after the rotation; None leaves it out.
    """
    moved = jnp.einsum("bij,bkj->bki", rotation, canonical, precision=_EXACT) + translation[:, None]
    return moved if delta is None else moved + delta


def transform_keypoints(
    canonical: jax.Array,
    pose: Mapping[str, jax.Array],
    *,
    yaw: jax.Array | float | None = None,
    pitch: jax.Array | float | None = None,
    roll: jax.Array | float | None = None,
    rotation: Rotation = "published",
    pi: float = PUBLISHED_PI,
    vertical_only: bool = False,
    with_expression: bool = True,
) -> jax.Array:
    """T: canonical keypoints (B, K, 3) and a pose -> keypoints of the image (B, K, 3).

    Args:
        yaw, pitch, roll: degrees; each one given replaces the predicted angle (free view). t and the
            expression stay.
        vertical_only: keep only t_y, as SadTalker does.
        with_expression: whether the deltas are added.
    """
    matrix = pose_rotation(pose, yaw=yaw, pitch=pitch, roll=roll, rotation=rotation, pi=pi)
    translation = pose["t"] * jnp.array([0.0, 1.0, 0.0]) if vertical_only else pose["t"]
    return place_keypoints(canonical, matrix, translation, expression(pose) if with_expression else None)


def relative_rotation(source: jax.Array, driving: jax.Array) -> jax.Array:
    """R_s R_d^-1 (B, 3, 3): the paper's local transformation (`jacobian` of the generator)."""
    return jnp.einsum("bij,bkj->bik", source, driving, precision=_EXACT)
