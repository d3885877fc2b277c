"""Shape, expression and pose of a clip from its 68 landmarks: Gauss-Newton on all frames at once (JAX, float64).

Unknown are, for the clip, shape and scale; for each frame, three angles, two translations and the expression. Frames are
coupled only by what they share, so each step eliminates them one by one (Schur complement) and solves a system of the
shape's size: cost and memory (about 0.2 MB a frame) grow linearly with the clip.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.geometry.face_model import FaceModel
from talkbench.geometry.rotations import head_angles, head_rotation

JAW_ENDS = (0, 16)
POSE = 5  # yaw, pitch, roll, two translations
MIN_LANDMARKS = 12
_BOUND = 0.02  # an expression this far beyond its range costs as much as one deviation


class FitError(ValueError):
    """Landmarks that cannot be fitted; the message says why."""


@dataclass(frozen=True)
class FaceFit:
    """A fitted clip of T frames; weak perspective.

    Attributes:
        shape: (S,).
        expression: (T, E).
        angles: (T, 3) yaw, pitch, roll in degrees, R = Rz(roll) Ry(yaw) Rx(pitch).
        translation: (T, 2), where the model's origin lies in the picture, pixels, x right and y down.
        scale: pixels per unit of the model, one for the clip.
        residuals: (T, 68) distances of fitted and given landmarks in pixels; nan where none was given.
        face_width: distance of the ends of the jaw line of the neutral face seen from the front, in pixels.
        iterations: Gauss-Newton steps that were accepted.
        converged: whether the last one gained less than the tolerance.
    """

    shape: np.ndarray
    expression: np.ndarray
    angles: np.ndarray
    translation: np.ndarray
    scale: float
    residuals: np.ndarray
    face_width: float
    iterations: int
    converged: bool

    @property
    def error(self) -> float:
        """Mean residual as a share of the face's width."""
        return float(np.nanmean(self.residuals)) / self.face_width


def project_face(model: FaceModel, fit: FaceFit) -> np.ndarray:
    """All vertices of a fitted clip in the picture: (T, N, 2) pixels, x right and y down, as the landmarks were."""
    turned = model.vertices(fit.shape, fit.expression) @ np.swapaxes(head_rotation(fit.angles), 1, 2)
    return fit.scale * turned[..., :2] * (1, -1) + fit.translation[:, None]


def fit_face(
    model: FaceModel,
    landmarks: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    noise: float = 0.01,
    max_steps: int = 50,
    tolerance: float = 1e-3,
) -> FaceFit:
    """Fit `model` to a clip.

    Minimised is the sum of squares of landmark distances / noise, coefficients / their deviations, and what expressions
    exceed their range.

    Args:
        landmarks: (T, 68, 2 or 3) pixels, x right and y down (a third coordinate is not used); nan: not known.
        weights: (T, 68) >= 0 trust in each landmark, or None; 0: not known.
        noise: expected error of a landmark as a share of the face's width.
        max_steps: most steps tried.
        tolerance: stop when a step lowers the sum by less than this share.

    Raises:
        FitError: unfit shapes, or a frame with too few landmarks.
    """
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 3 or points.shape[1] != 68 or points.shape[2] not in (2, 3) or not len(points):
        raise FitError(f"landmarks of shape {points.shape}, expected (T, 68, 2 or 3) with T > 0")
    points = points[..., :2]
    weights = np.ones(points.shape[:2]) if weights is None else np.array(weights, np.float64)
    if weights.shape != points.shape[:2] or not (weights >= 0).all():
        raise FitError(f"weights of shape {weights.shape}, expected {points.shape[:2]}, none below 0")
    weights[~np.isfinite(points).all(-1)] = 0
    few = np.flatnonzero((weights > 0).sum(1) < MIN_LANDMARKS)
    if len(few):
        raise FitError(
            f"frame {few[0]} has {int((weights[few[0]] > 0).sum())} known landmarks, at least {MIN_LANDMARKS} "
            "are needed: leave such frames out"
        )
    marks = model.landmarks
    mean = model.mean[marks]
    up = np.where(weights[..., None] > 0, points, 0) * (1, -1)
    angles, translation, scale = _initial_pose(mean, up, weights)
    # in units of the face's width in the picture: steps of all unknowns are then of similar size
    width = scale * np.linalg.norm(mean[JAW_ENDS[0]] - mean[JAW_ENDS[1]])
    shared = np.append(np.zeros(len(model.shape_basis)), np.log(scale / width))
    expression = np.zeros((len(points), len(model.expression_basis)))
    frames = np.concatenate([np.deg2rad(angles), translation / width, expression], 1)
    low, high = model.expression_range or (-1e9, 1e9)
    problem = {
        "mean": mean,
        "shape_basis": model.shape_basis[:, marks],
        "expression_basis": model.expression_basis[:, marks],
        "shape_deviation": model.shape_deviation,
        "expression_deviation": model.expression_deviation,
        "range": np.array([low, high]),
        "target": up / width,
        "weights": weights / noise,
    }
    with jax.enable_x64(True):
        problem = jax.tree.map(jnp.asarray, problem)
        shared, frames, steps, converged = _descend(problem, shared, frames, max_steps, tolerance)
        fitted = np.asarray(_project(problem, shared, frames)) * width
        shared, frames = np.asarray(shared), np.asarray(frames)
    distances = np.where(weights > 0, np.linalg.norm(fitted - up, axis=-1), np.nan)
    shape, scale = shared[:-1], float(np.exp(shared[-1]) * width)
    ends = model.vertices(shape, np.zeros(expression.shape[1]))[marks[list(JAW_ENDS)]]
    return FaceFit(
        shape=shape,
        expression=frames[:, POSE:],
        angles=np.rad2deg(frames[:, :3]),
        translation=width * frames[:, 3:POSE] * (1, -1),
        scale=scale,
        residuals=distances,
        face_width=scale * float(np.linalg.norm(ends[1] - ends[0])),
        iterations=steps,
        converged=converged,
    )


def _initial_pose(mean: np.ndarray, target: np.ndarray, weights: np.ndarray):
    """Angles (T, 3) degrees, translations (T, 2) and scale of the mean face, by the best affine map of each frame."""
    points = np.concatenate([mean, np.ones((len(mean), 1))], 1)
    normal = np.einsum("tl,li,lj->tij", weights, points, points)
    right = np.einsum("tl,li,tlc->tic", weights, points, target)
    affine = np.linalg.solve(normal + 1e-9 * np.eye(4) * normal.trace(axis1=1, axis2=2)[:, None, None], right)
    u, singular, vt = np.linalg.svd(np.swapaxes(affine[:, :3], 1, 2), full_matrices=False)
    rows = u @ vt  # the nearest two rows of a rotation
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    scale = float(np.median(singular.mean(1)))
    centre = np.einsum("tl,tlc->tc", weights, target) / weights.sum(1, keepdims=True)
    middle = np.einsum("tl,lc->tc", weights, mean) / weights.sum(1, keepdims=True)
    return head_angles(rotation), centre - scale * np.einsum("tij,tj->ti", rows, middle), scale


def _descend(problem, shared, frames, max_steps: int, tolerance: float):
    """Levenberg's damping around Gauss-Newton: -> (shared, frames, accepted steps, converged)."""
    shared, frames = jnp.asarray(shared), jnp.asarray(frames)
    cost, damping, steps = float(_cost(problem, shared, frames)), 1e-3, 0
    for _ in range(max_steps):
        new_shared, new_frames, new_cost = _step(problem, shared, frames, damping)
        new_cost = float(new_cost)
        if new_cost < cost:
            gain = (cost - new_cost) / cost
            shared, frames, cost = new_shared, new_frames, new_cost
            damping, steps = damping / 3, steps + 1
            if gain < tolerance:
                return shared, frames, steps, True
        elif damping > 1e6 or cost == 0:
            return shared, frames, steps, True  # no direction is better any more
        else:
            damping *= 5
    return shared, frames, steps, False


def _rotation(angles: jax.Array) -> jax.Array:
    """Radians (3,) yaw, pitch, roll -> (3, 3), as `head_rotation`."""
    (sy, sp, sr), (cy, cp, cr) = jnp.sin(angles), jnp.cos(angles)
    return jnp.array(
        [
            [cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp],
            [sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp],
            [-sy, cy * sp, cy * cp],
        ]
    )


def _points(problem, shared: jax.Array, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Landmarks without pose (T, 68, 3), and with it and the scale, before translation (T, 68, 3)."""
    rest = problem["mean"] + jnp.tensordot(shared[:-1], problem["shape_basis"], 1)
    points = rest + jnp.tensordot(frames[:, POSE:], problem["expression_basis"], 1)
    rotation = jax.vmap(_rotation)(frames[:, :3])
    return points, jnp.exp(shared[-1]) * jnp.einsum("tij,tlj->tli", rotation, points)


@jax.jit
def _project(problem, shared: jax.Array, frames: jax.Array) -> jax.Array:
    """Landmarks in the picture (T, 68, 2), y up."""
    return _points(problem, shared, frames)[1][..., :2] + frames[:, None, 3:POSE]


def _beyond(problem, expression: jax.Array) -> jax.Array:
    """How far expressions are out of their range, 0 inside."""
    low, high = problem["range"]
    return jnp.minimum(expression - low, 0) + jnp.maximum(expression - high, 0)


def _total(problem, shared: jax.Array, frames: jax.Array) -> jax.Array:
    away = (_project(problem, shared, frames) - problem["target"]) * problem["weights"][..., None]
    expression = frames[:, POSE:]
    parts = (
        away,
        expression / problem["expression_deviation"],
        _beyond(problem, expression) / _BOUND,
        shared[:-1] / problem["shape_deviation"],
    )
    return sum(jnp.square(part).sum() for part in parts)


_cost = jax.jit(_total)


def _data_derivatives(problem, shared: jax.Array, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weighted derivatives of the landmarks by each frame's own (T, 136, 5 + E) and the shared unknowns (T, 136, S + 1)."""
    points, turned = _points(problem, shared, frames)
    scale, count = jnp.exp(shared[-1]), len(frames)
    rows = scale * jax.vmap(_rotation)(frames[:, :3])[:, :2]
    turns = scale * jax.vmap(jax.jacfwd(_rotation))(frames[:, :3])[:, :2]
    by_angle = jnp.einsum("tija,tlj->tlia", turns, points)
    by_place = jnp.broadcast_to(jnp.eye(2), (count, 68, 2, 2))
    by_expression = jnp.einsum("tij,elj->tlie", rows, problem["expression_basis"])
    by_shape = jnp.einsum("tij,slj->tlis", rows, problem["shape_basis"])
    weights = problem["weights"][..., None, None]
    own = jnp.concatenate([by_angle, by_place, by_expression], -1) * weights
    common = jnp.concatenate([by_shape, turned[..., :2, None]], -1) * weights
    return own.reshape(count, 136, -1), common.reshape(count, 136, -1)


@jax.jit
def _step(problem, shared: jax.Array, frames: jax.Array, damping: float):
    """One damped Gauss-Newton step -> (shared, frames, cost there)."""
    away = (_project(problem, shared, frames) - problem["target"]) * problem["weights"][..., None]
    away = away.reshape(len(frames), -1)
    by_own, by_common = _data_derivatives(problem, shared, frames)
    own = jnp.einsum("trf,trg->tfg", by_own, by_own)
    cross = jnp.einsum("trf,trs->tfs", by_own, by_common)
    flat = by_common.reshape(-1, by_common.shape[-1])
    common = flat.T @ flat
    own_slope, common_slope = jnp.einsum("trf,tr->tf", by_own, away), flat.T @ away.ravel()
    # what is usual of the coefficients, and the ranges of the expressions
    prior = 1 / jnp.square(problem["expression_deviation"])
    expression = frames[:, POSE:]
    beyond = _beyond(problem, expression) / _BOUND**2
    slope = prior * expression + beyond
    curve = prior + (beyond != 0) / _BOUND**2
    own_slope = own_slope.at[:, POSE:].add(slope)
    own = own + jnp.pad(curve, ((0, 0), (POSE, 0)))[:, None] * jnp.eye(own.shape[-1])
    prior = jnp.append(1 / jnp.square(problem["shape_deviation"]), 0.0)
    common, common_slope = common + jnp.diag(prior), common_slope + prior * shared
    own = own * (1 + damping * jnp.eye(own.shape[-1]))
    common = common * (1 + damping * jnp.eye(len(common)))
    solved = jnp.linalg.solve(own, jnp.concatenate([cross, own_slope[..., None]], -1))
    reduced = common - jnp.einsum("tfs,tfr->sr", cross, solved[..., :-1])
    move = -jnp.linalg.solve(reduced, common_slope - jnp.einsum("tfs,tf->s", cross, solved[..., -1]))
    frames = frames - solved[..., -1] - solved[..., :-1] @ move
    shared = shared + move
    return shared, frames, _total(problem, shared, frames)
