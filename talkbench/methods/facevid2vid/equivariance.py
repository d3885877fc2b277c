"""Random thin-plate-spline transformations for the equivariance loss (first-order motion model)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.warp import coordinate_grid, grid_sample

AFFINE_SIGMA = 0.05
SPLINE_SIGMA = 0.005
POINTS_PER_SIDE = 5


class Transform(NamedTuple):
    """theta (B, 2, 3): affine part; control (B, P): weights of the spline's control points, y major."""

    theta: jax.Array
    control: jax.Array


def from_noise(
    theta_noise: jax.Array,
    control_noise: jax.Array,
    affine_sigma: float = AFFINE_SIGMA,
    spline_sigma: float = SPLINE_SIGMA,
) -> Transform:
    """Normal noise (B, 2, 3) and (B, P), P a square -> a transformation near the identity."""
    identity = jnp.eye(2, 3)
    return Transform(identity + affine_sigma * theta_noise, spline_sigma * control_noise)


def draw(
    key: jax.Array, batch: int, affine_sigma: float = AFFINE_SIGMA, spline_sigma: float = SPLINE_SIGMA
) -> Transform:
    """A random transformation for each image of a batch."""
    first, second = jax.random.split(key)
    return from_noise(
        jax.random.normal(first, (batch, 2, 3)),
        jax.random.normal(second, (batch, POINTS_PER_SIDE**2)),
        affine_sigma,
        spline_sigma,
    )


def warp_points(transform: Transform, points: jax.Array) -> jax.Array:
    """T(p) of points (B, ..., 2), or (1, ..., 2) for all of the batch, coordinates (x, y) in [-1, 1]; (B, ..., 2).

    theta p + sum of a_c r^2 log(r + 1e-6) over control points c, with r the L1 distance; the same number is
    added to x and y.
    """
    exact = jax.lax.Precision.HIGHEST
    batch, flat = len(transform.theta), points.reshape(len(points), -1, 2)
    many = jnp.broadcast_to(flat, (batch, *flat.shape[1:]))
    linear, shift = transform.theta[:, :, :2], transform.theta[:, :, 2]
    moved = jnp.einsum("bij,bnj->bni", linear, many, precision=exact) + shift[:, None]
    side = round(np.sqrt(transform.control.shape[-1]))
    control = coordinate_grid((side, side)).reshape(-1, 2)
    r = jnp.abs(flat[:, :, None] - control).sum(-1)
    radial = jnp.broadcast_to(r * r * jnp.log(r + 1e-6), (batch, *r.shape[1:]))
    bend = jnp.einsum("bnc,bc->bn", radial, transform.control, precision=exact)
    return (moved + bend[..., None]).reshape(batch, *points.shape[1:])


def warp_frames(transform: Transform, frames: jax.Array) -> jax.Array:
    """Frames (B, H, W, C) sampled at T(grid), the outside mirrored."""
    grid = coordinate_grid(frames.shape[1:3])[None]
    return grid_sample(frames, warp_points(transform, grid), "reflection")


def jacobian(transform: Transform, points: jax.Array) -> jax.Array:
    """dT/dp at points (B, N, 2): (B, N, 2, 2), rows are the outputs."""

    def one(theta, control, point):
        return warp_points(Transform(theta[None], control[None]), point[None])[0]

    each_point = jax.vmap(jax.jacfwd(one, argnums=2), in_axes=(None, None, 0))
    return jax.vmap(each_point)(transform.theta, transform.control, points)
