"""Linear face models: vertices from shape and expression coefficients, behind one interface.

`free_model` is the project's own head; `weights.face_models` reads licensed ones.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from talkbench.geometry.head import EXPRESSION_NAMES, FACE, SHAPE_NAMES, Deformer, head, shape_fields
from talkbench.geometry.topology import CHIN, NOSE_TIP, OUTER_EYE_CORNERS

BLINK_NAMES = ("blinkRight", "blinkLeft")


class FaceModelError(ValueError):
    """A face model whose arrays do not belong together; the message says which."""


@dataclass(frozen=True)
class FaceModel:
    """vertices = mean + shape . shape_basis + expression . expression_basis.

    Axes as everywhere here: x right in the picture, y up, z towards the viewer; unit: distance of the outer eye corners.

    Attributes:
        mean: (N, 3).
        shape_basis: (S, N, 3), displacement at coefficient 1.
        expression_basis: (E, N, 3).
        landmarks: int (68,), vertices of the iBUG landmarks.
        shape_deviation: (S,), how far a coefficient usually is from 0.
        expression_deviation: (E,).
        expression_range: lowest and highest sensible coefficient (blend shapes: 0, 1), or None.
        expression_names: (E,) names, or empty.
    """

    mean: np.ndarray
    shape_basis: np.ndarray
    expression_basis: np.ndarray
    landmarks: np.ndarray
    shape_deviation: np.ndarray
    expression_deviation: np.ndarray
    expression_range: tuple[float, float] | None = None
    expression_names: tuple[str, ...] = ()

    def __post_init__(self):
        count = len(self.mean)
        for name, basis, deviation in (
            ("shape", self.shape_basis, self.shape_deviation),
            ("expression", self.expression_basis, self.expression_deviation),
        ):
            if basis.ndim != 3 or basis.shape[1:] != (count, 3):
                raise FaceModelError(f"{name} basis {basis.shape}, expected (number, {count}, 3)")
            if deviation.shape != basis.shape[:1] or not (deviation > 0).all():
                raise FaceModelError(f"{name} deviation must be {len(basis)} positive numbers")
        marks = np.asarray(self.landmarks)
        if marks.shape != (68,) or marks.dtype.kind not in "iu" or marks.min() < 0 or marks.max() >= count:
            raise FaceModelError(f"landmarks must be 68 whole numbers from 0 to {count - 1}")
        points = self.mean[marks]
        right, left = points[list(OUTER_EYE_CORNERS)]
        if not (right[0] < left[0] and points[CHIN, 1] < right[1] and points[NOSE_TIP, 2] > right[2]):
            raise FaceModelError(
                "the landmarks' right eye is not on picture left, or the chin not below the eyes, or the nose not "
                "before them: check the landmark numbers, and turn the model to x right, y up, z towards the viewer"
            )

    def vertices(self, shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """shape (S,), expression (..., E) -> (..., N, 3)."""
        rest = self.mean + np.tensordot(shape, self.shape_basis, 1)
        return rest + np.tensordot(expression, self.expression_basis, 1)


@cache
def free_model() -> FaceModel:
    """The face (468 vertices) of the synthetic head: 60 shape directions, 33 expressions, then the two blinks.

    A blink's direction depends on the shape; here it is that of the mean head.
    """
    data = head()
    mean = data.vertices[FACE].astype(np.float64)
    blink = Deformer(np.zeros(len(SHAPE_NAMES))).basis[len(EXPRESSION_NAMES) :]
    blink = blink.reshape(len(BLINK_NAMES), -1, 3)[:, FACE]
    return FaceModel(
        mean=mean,
        shape_basis=shape_fields(mean),
        expression_basis=np.concatenate([data.expression[:, FACE], blink]).astype(np.float64),
        landmarks=np.asarray(data.landmarks68),
        shape_deviation=np.ones(len(SHAPE_NAMES)),
        expression_deviation=np.array([0.3] * len(EXPRESSION_NAMES) + [1.0] * len(BLINK_NAMES)),
        expression_range=(0.0, 1.0),
        expression_names=EXPRESSION_NAMES + BLINK_NAMES,
    )
