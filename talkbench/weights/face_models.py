"""Read a licensed face model (Basel, LSFM) that the user has: such files may not be shared, so none travels with us.

Layouts that are understood; nothing in a file is run:

* Basel 2017 and 2019, `.h5`: `shape/model/{mean,pcaBasis,pcaVariance}` and the same under `expression`;
* Basel 2009, `.mat`: `shapeMU`, `shapePC`, `shapeEV` (deviations), optionally `expMU`, `expPC`, `expEV`;
* LSFM, `.mat`: `mean`, `components`, `eigenvalues` (variances);
* `.npz`: `mean` (N, 3), `shape_basis` (S, N, 3), `expression_basis` (E, N, 3), optionally `shape_deviation`,
  `expression_deviation`, `landmarks` (68,), `expression_names`, `expression_range`.

Coefficients count in deviations of their principal component. A model of shapes alone (Basel 2009, LSFM) needs a second
file with the expressions of the same mesh.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from talkbench.geometry.face_model import FaceModel, FaceModelError
from talkbench.geometry.topology import OUTER_EYE_CORNERS
from talkbench.weights.readers import WeightsFileError, read

NUM_SHAPE = 60  # as many as the free head has
_MAT_NAMES = (
    *("shapeMU", "shapePC", "shapeEV", "expMU", "expPC", "expEV"),
    *("mean", "components", "eigenvalues", "shape_basis", "expression_basis"),
)


def read_face_model(
    path: str | Path,
    landmarks: str | Path | None = None,
    expressions: str | Path | None = None,
    num_shape: int = NUM_SHAPE,
    num_expression: int | None = None,
) -> FaceModel:
    """A face model of a file, its outer eye corners at distance 1 and its landmarks around the origin.

    Args:
        path: the model, in one of the layouts above.
        landmarks: text file with the numbers (from 0) of the 68 vertices in iBUG order; not needed where the model itself
            holds them.
        expressions: `.npz` with `expression_basis` (E, N, 3) in the model's own unit, and optionally the other expression
            arrays; takes the place of the model's own expressions.
        num_shape, num_expression: how many of the leading directions are kept; None: all.

    Raises:
        WeightsFileError: one line that names the file and the remedy.
    """
    path = Path(path)
    parts = _parts(path)
    if expressions is not None:
        parts |= _npz_expressions(Path(expressions), len(parts["mean"]))
    if "expression_basis" not in parts:
        raise WeightsFileError(
            f"{path}: a model of shapes alone; name a .npz with expression_basis (E, {len(parts['mean'])}, 3) as well"
        )
    if landmarks is not None:
        parts["landmarks"] = _read_numbers(Path(landmarks))
    if "landmarks" not in parts:
        raise WeightsFileError(
            f"{path}: it does not say which vertices are landmarks; name a text file with their 68 numbers as well"
        )
    marks = np.asarray(parts["landmarks"])
    mean, shape, expression = (
        np.asarray(parts[name], np.float64) for name in ("mean", "shape_basis", "expression_basis")
    )
    if marks.shape != (68,) or marks.dtype.kind not in "iu" or marks.min() < 0 or marks.max() >= len(mean):
        raise WeightsFileError(
            f"{landmarks or path}: landmarks must be 68 whole numbers from 0 to {len(mean) - 1}, the model's vertices"
        )
    right, left = mean[marks[list(OUTER_EYE_CORNERS)]]
    unit = np.linalg.norm(right - left)
    if not unit > 0:
        raise WeightsFileError(f"{landmarks or path}: the outer eye corners (36, 45) are the same vertex")
    kept_shape, kept_expression = slice(num_shape), slice(num_expression)
    low_high = parts.get("expression_range")
    try:
        return FaceModel(
            mean=(mean - mean[marks].mean(0)) / unit,
            shape_basis=shape[kept_shape] / unit,
            expression_basis=expression[kept_expression] / unit,
            landmarks=marks.astype(np.int32),
            shape_deviation=_deviation(parts, "shape", len(shape))[kept_shape],
            expression_deviation=_deviation(parts, "expression", len(expression))[kept_expression],
            expression_range=None if low_high is None else tuple(map(float, low_high)),
            expression_names=tuple(map(str, parts.get("expression_names", ())))[kept_expression],
        )
    except FaceModelError as error:
        raise WeightsFileError(f"{path}: {error}") from None


def _deviation(parts: Mapping, name: str, count: int) -> np.ndarray:
    return np.asarray(parts.get(f"{name}_deviation", np.ones(count)), np.float64)


def _parts(path: Path) -> dict[str, np.ndarray]:
    """A file's arrays under the names of the `.npz` layout."""
    try:
        with path.open("rb") as file:
            head = file.read(128)
    except OSError as error:
        raise WeightsFileError(f"{path}: cannot be opened ({error.strerror or error})") from None
    if head.startswith(b"MATLAB 7.3"):
        raise WeightsFileError(f"{path}: MATLAB's version 7.3 of .mat; save it with `save -v7` and name that")
    arrays = _read_mat(path) if head.startswith(b"MATLAB 5.0") else read(path)
    if not isinstance(arrays, dict):
        arrays = {}
    try:
        if "shape/model/mean" in arrays:
            return _basel_2017(arrays)
        if "shapeMU" in arrays:
            return _basel_2009(arrays)
        if "components" in arrays:
            return _lsfm(arrays)
        if {"mean", "shape_basis"} <= arrays.keys():
            return _checked(path, dict(arrays))
    except (KeyError, ValueError) as error:
        if isinstance(error, WeightsFileError):
            raise
        raise WeightsFileError(f"{path}: an incomplete face model ({error}); copy it again") from None
    some = ", ".join(list(arrays)[:5]) or "nothing"
    raise WeightsFileError(f"{path}: no face model of Basel, LSFM or .npz layout; it holds {some}")


def _checked(path: Path, arrays: dict) -> dict:
    """The `.npz` layout: bases of any numeric kind that fit the mean."""
    count = len(arrays["mean"])
    for name in ("shape_basis", "expression_basis"):
        if name in arrays and arrays[name].shape[1:] != (count, 3):
            raise WeightsFileError(f"{path}: {name} {arrays[name].shape}, expected (number, {count}, 3)")
    if arrays["mean"].shape != (count, 3):
        raise WeightsFileError(f"{path}: mean {arrays['mean'].shape}, expected (N, 3)")
    return arrays


def _read_mat(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        arrays = loadmat(path, variable_names=_MAT_NAMES)
    except (MatReadError, OSError, ValueError, TypeError, KeyError, EOFError) as error:
        raise WeightsFileError(f"{path}: damaged ({error}); copy it again") from None
    return {name: x for name, x in arrays.items() if isinstance(x, np.ndarray) and x.dtype.kind in "fiu"}


def _directions(columns: np.ndarray, deviations: np.ndarray, count: int) -> np.ndarray:
    """Principal components (3N, K) and their deviations (K,) -> displacements (K, N, 3)."""
    columns, deviations = np.asarray(columns, np.float64), np.asarray(deviations, np.float64).ravel()
    if columns.shape != (3 * count, len(deviations)):
        raise ValueError(f"components {columns.shape} of {count} vertices with {len(deviations)} deviations")
    return (columns * deviations).T.reshape(-1, count, 3)


def _points(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(-1, 3)


def _basel_2017(arrays: Mapping) -> dict[str, np.ndarray]:
    mean = _points(arrays["shape/model/mean"])
    made = {}
    for name in ("shape", "expression"):
        if f"{name}/model/pcaBasis" in arrays:
            deviations = np.sqrt(arrays[f"{name}/model/pcaVariance"])
            made[f"{name}_basis"] = _directions(arrays[f"{name}/model/pcaBasis"], deviations, len(mean))
    if "expression/model/mean" in arrays:
        mean = mean + _points(arrays["expression/model/mean"])
    return {"mean": mean, **made}


def _basel_2009(arrays: Mapping) -> dict[str, np.ndarray]:
    mean = _points(arrays["shapeMU"])
    made = {"shape_basis": _directions(arrays["shapePC"], arrays["shapeEV"], len(mean))}
    if "expPC" in arrays:
        made["expression_basis"] = _directions(arrays["expPC"], arrays["expEV"], len(mean))
    if "expMU" in arrays:
        mean = mean + _points(arrays["expMU"])
    return {"mean": mean, **made}


def _lsfm(arrays: Mapping) -> dict[str, np.ndarray]:
    mean, components = _points(arrays["mean"]), np.asarray(arrays["components"])
    if components.shape[0] != mean.size:  # some copies are stored transposed
        components = components.T
    return {"mean": mean, "shape_basis": _directions(components, np.sqrt(arrays["eigenvalues"]), len(mean))}


def _npz_expressions(path: Path, count: int) -> dict[str, np.ndarray]:
    arrays = read(path)
    basis = arrays.get("expression_basis") if isinstance(arrays, dict) else None
    if not isinstance(basis, np.ndarray) or basis.ndim != 3 or basis.shape[1:] != (count, 3):
        raise WeightsFileError(f"{path}: it should hold expression_basis (E, {count}, 3), the model's mesh")
    return {name: value for name, value in arrays.items() if name.startswith("expression_")}


def _read_numbers(path: Path) -> np.ndarray:
    try:
        words = path.read_text().replace(",", " ").split()
        return np.array([int(word) for word in words], np.int64)
    except OSError as error:
        raise WeightsFileError(f"{path}: cannot be opened ({error.strerror or error})") from None
    except ValueError:
        raise WeightsFileError(
            f"{path}: landmarks must be 68 whole numbers, one a vertex, in iBUG order"
        ) from None
