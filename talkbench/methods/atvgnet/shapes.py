"""Landmarks as ATVGnet's networks see them: normalised shapes, times five, as codes of a PCA basis. numpy only.

A face is 68 points (x right, y down); as a vector of 136 they interleave: x0, y0, x1, y1, ... Normalised shapes are
centred and of unit Frobenius norm (about +-0.2), network shapes are `SCALE` times that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talkbench.geometry.alignment import align

SCALE = 5.0
POINTS = 68
# What the published demo multiplies codes 1..5 by, and what the AT-net test script does; code 0 is left alone.
BOOSTS = {"none": (), "demo": (2.2, 2.4, 2.6, 2.8, 3.0), "test": (2.4, 2.8, 3.2, 3.6, 4.0)}
# The published normalisation almost closes the mouth of its mean face by so much of this direction of S.
_MOUTH_DIRECTION, _MOUTH_AMOUNT, _MOUTH_START = 1, -0.06, 96


class ShapeError(ValueError):
    """Arrays that are no basis, or landmarks that cannot be normalised."""


@dataclass(frozen=True)
class Shapes:
    """The arrays that landmarks are normalised, coded and aligned with; keys of the published files.

    Attributes:
        U: (136, n) orthonormal PCA directions of network shapes, the largest first; the codes are those of the first few.
        mean: (136,) mean network shape.
        mean_shape_img: (68, 2) Procrustes reference, any scale.
        mean_shape_norm: (136,) mean normalised shape.
        base_68: (68, 2) alignment template in pixels of a 163-pixel canvas, whose rows and columns 1..128 are the crop.
        S: (100, 136) shape directions (rows) of the published normalisation, or None.
    """

    U: np.ndarray
    mean: np.ndarray
    mean_shape_img: np.ndarray
    mean_shape_norm: np.ndarray
    base_68: np.ndarray
    S: np.ndarray | None = None


def from_arrays(arrays: Mapping[str, np.ndarray], origin: str) -> Shapes:
    """A `Shapes` of named arrays, such as the published ones. `origin` is how errors call them.

    Raises:
        ShapeError: an array is missing or has the wrong size.
    """
    sizes = {"mean": 136, "mean_shape_img": 136, "mean_shape_norm": 136, "base_68": 136}
    missing = [name for name in ("U", *sizes) if name not in arrays]
    if missing:
        raise ShapeError(f"{origin}: no {', '.join(missing)}; fit a basis with `talkbench basis`")
    wrong = [name for name, size in sizes.items() if np.size(arrays[name]) != size]
    if wrong or np.ndim(arrays["U"]) != 2 or len(arrays["U"]) != 136:
        raise ShapeError(
            f"{origin}: {', '.join(wrong) or 'U'} is not of 68 points; fit a basis with `talkbench basis`"
        )
    flat = lambda name: np.asarray(arrays[name], np.float64).reshape(136)  # noqa: E731
    points = lambda name: flat(name).reshape(POINTS, 2)  # noqa: E731
    directions = np.asarray(arrays["S"], np.float64) if "S" in arrays else None
    return Shapes(
        np.asarray(arrays["U"], np.float64), flat("mean"), points("mean_shape_img"), flat("mean_shape_norm"),
        points("base_68"), directions,
    )  # fmt: skip


def unit(points: np.ndarray) -> np.ndarray:
    """(..., 68, 2) centred and of unit Frobenius norm."""
    centred = points - points.mean(-2, keepdims=True)
    return centred / np.linalg.norm(centred, axis=(-2, -1), keepdims=True)


def procrustes(landmarks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Each frame turned, reflected if need be, scaled and shifted onto the unit reference, as scipy's `procrustes`.

    Args:
        landmarks: (T, 68, 2) in any unit. reference: (68, 2).

    Returns:
        float64 (T, 136), about +-0.2.

    Raises:
        ShapeError: wrong shape, NaN, or all points of a frame coincide.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (POINTS, 2):
        raise ShapeError(f"landmarks of shape {landmarks.shape}: 68 points (T, 68, 2) are needed")
    if not np.isfinite(landmarks).all() or not np.ptp(landmarks, axis=1).any(-1).all():
        raise ShapeError("landmarks with NaN, or a frame whose points coincide; leave such frames out")
    return align(landmarks, unit(np.asarray(reference, np.float64)), reflection=True).reshape(-1, 136)


def normalise_published(
    landmarks: np.ndarray, shapes: Shapes, reference: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """The published normalisation of a clip: motion relative to one frame, put on the mean face.

    Args:
        landmarks: (T, 68, 2). reference: the frame whose identity and pose are taken out (published: the last; so a
            clip of one frame always gives the same constant, whatever the face).

    Returns:
        (normalised shapes (T, 136), plain Procrustes shapes (T, 136)).

    Raises:
        ShapeError: no S among the arrays; what `procrustes` refuses.
    """
    if shapes.S is None:
        raise ShapeError(
            "the published normalisation needs S, which this basis lacks; use normalisation clip or plain"
        )
    aligned = procrustes(landmarks, shapes.mean_shape_img)
    mouth = _MOUTH_AMOUNT * shapes.S[_MOUTH_DIRECTION]
    mouth[:_MOUTH_START] = 0
    coordinates = (aligned - unit(shapes.mean_shape_img).reshape(136)) @ shapes.S.T
    moved = coordinates - coordinates[reference] - shapes.S @ mouth
    return moved @ shapes.S + shapes.mean_shape_norm, aligned


def normalise(landmarks: np.ndarray, shapes: Shapes, how: str, reference: int = 0) -> np.ndarray:
    """Network shapes (T, 136), float32, of a clip's landmarks (T, 68, 2).

    Args:
        how: "published": see `normalise_published`; "clip": the motion since frame `reference`, on the mean face;
            "plain": Procrustes only, which keeps the face's own shape.

    Raises:
        ShapeError: an unknown `how`; what the others refuse.
    """
    if how == "published":
        made = normalise_published(landmarks, shapes, reference)[0]
    elif how in ("clip", "plain"):
        made = procrustes(landmarks, shapes.mean_shape_img)
        if how == "clip":
            made = made - made[reference] + shapes.mean_shape_norm
    else:
        raise ShapeError(f"normalisation {how!r}: there are published, clip and plain")
    return (SCALE * made).astype(np.float32)


def encode(network_shapes: np.ndarray, shapes: Shapes, codes: int) -> np.ndarray:
    """(..., 136) -> PCA codes (..., codes), float32."""
    return ((network_shapes - shapes.mean) @ shapes.U[:, :codes]).astype(np.float32)


def decode(codes: np.ndarray, shapes: Shapes, boost: str = "none") -> np.ndarray:
    """Codes (..., n) -> network shapes (..., 136), float32. `boost`: of `BOOSTS`; codes past the sixth are not boosted.

    Raises:
        ShapeError: an unknown boost.
    """
    if boost not in BOOSTS:
        raise ShapeError(f"boost {boost!r}: there are {', '.join(BOOSTS)}")
    codes = np.array(codes, np.float64)
    factors = BOOSTS[boost][: codes.shape[-1] - 1]
    codes[..., 1 : 1 + len(factors)] *= factors
    return (codes @ shapes.U[:, : codes.shape[-1]].T + shapes.mean).astype(np.float32)


def fit(samples: np.ndarray, template: np.ndarray, reference: np.ndarray) -> Shapes:
    """A basis of normalised shapes.

    Args:
        samples: (N, 136) normalised shapes, one random frame a clip (`normalise` / `SCALE`).
        template: (68, 2) alignment template, see `Shapes`. reference: (68, 2) Procrustes reference.

    Raises:
        ShapeError: fewer than two samples.
    """
    if len(samples) < 2:
        raise ShapeError(f"{len(samples)} landmark sets: a basis needs two at least, better hundreds")
    samples = SCALE * np.asarray(samples, np.float64)
    mean = samples.mean(0)
    directions = np.linalg.svd((samples - mean).T, full_matrices=True)[0]
    # A sign for each direction, so that the same data give the same basis everywhere.
    directions *= np.sign(directions[np.abs(directions).argmax(0), np.arange(136)])
    return Shapes(directions, mean, reference, unit(reference).reshape(136), template)
