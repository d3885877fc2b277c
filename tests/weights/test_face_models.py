"""Licensed models are imitated: random bases on a handful of vertices, in each published layout."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from talkbench.geometry.face_model import free_model
from talkbench.weights.face_models import read_face_model
from talkbench.weights.readers import WeightsFileError

COUNT, UNIT = 80, 90_000.0  # Basel's unit is the micrometre
RNG = np.random.default_rng(0)
MARKS = RNG.permutation(COUNT)[:68]
MEAN = RNG.normal(size=(COUNT, 3)) * UNIT
MEAN[MARKS] = (free_model().mean[free_model().landmarks] + (1, 2, 3)) * UNIT
SHAPES, EXPRESSIONS = RNG.normal(size=(2, 4, COUNT, 3)) * UNIT / 10
DEVIATIONS = np.array([4.0, 3, 2, 1])


def columns(basis):
    """Displacements at coefficient 1 (K, N, 3) -> components (3N, K), still to be multiplied by DEVIATIONS."""
    return basis.reshape(len(basis), -1).T / DEVIATIONS


def basel_2017(path):
    with h5py.File(path, "w") as file:
        for name, basis, mean in (
            ("shape", SHAPES, MEAN - 7),
            ("expression", EXPRESSIONS, np.full((COUNT, 3), 7.0)),
        ):
            file[f"{name}/model/mean"] = mean.ravel()
            file[f"{name}/model/pcaBasis"] = columns(basis)
            file[f"{name}/model/pcaVariance"] = DEVIATIONS**2


def basel_2009(path):
    shape = {"shapeMU": MEAN.reshape(-1, 1), "shapePC": columns(SHAPES), "shapeEV": DEVIATIONS[:, None]}
    savemat(path, {**shape, "tl": np.ones((3, 3))})


def lsfm(path):
    savemat(path, {"mean": MEAN.ravel(), "components": columns(SHAPES), "eigenvalues": DEVIATIONS**2})


def own(path):
    with open(path, "wb") as file:
        np.savez(file, mean=MEAN, shape_basis=SHAPES, expression_basis=EXPRESSIONS, landmarks=MARKS)


@pytest.fixture
def files(tmp_path):
    """The folder with landmark numbers and the expressions of the mesh."""
    (tmp_path / "marks.txt").write_text("\n".join(map(str, MARKS)))
    np.savez(
        tmp_path / "expressions.npz", expression_basis=EXPRESSIONS, expression_range=np.array([0.0, 1.0])
    )
    return tmp_path


@pytest.mark.parametrize("write", [basel_2017, basel_2009, lsfm, own])
def test_layouts(files, write):
    path = files / "model"
    write(path)
    extra = files / "expressions.npz" if write in (basel_2009, lsfm) else None
    model = read_face_model(path, None if write is own else files / "marks.txt", extra, num_shape=3)
    assert len(model.shape_basis) == 3 and len(model.expression_basis) == 4
    assert model.expression_range == ((0.0, 1.0) if extra else None)
    marks = model.mean[model.landmarks]
    assert np.linalg.norm(marks[36] - marks[45]) == pytest.approx(1)
    np.testing.assert_allclose(marks.mean(0), 0, atol=1e-9)
    unit = np.linalg.norm(MEAN[MARKS[36]] - MEAN[MARKS[45]])
    np.testing.assert_allclose(model.shape_basis * unit, SHAPES[:3], rtol=1e-6)
    np.testing.assert_allclose(model.expression_basis * unit, EXPRESSIONS, rtol=1e-6)


def test_what_is_missing_is_named(files):
    path = files / "model"
    with pytest.raises(WeightsFileError, match="cannot be opened"):
        read_face_model(path)
    lsfm(path)
    with pytest.raises(WeightsFileError, match="a model of shapes alone"):
        read_face_model(path, files / "marks.txt")
    with pytest.raises(WeightsFileError, match="which vertices are landmarks"):
        read_face_model(path, None, files / "expressions.npz")
    np.savez(files / "other.npz", expression_basis=np.zeros((2, 5, 3)))
    with pytest.raises(WeightsFileError, match="it should hold expression_basis"):
        read_face_model(path, files / "marks.txt", files / "other.npz")
    basel_2017(path)
    (files / "few.txt").write_text("1 2 3")
    with pytest.raises(WeightsFileError, match="68 whole numbers from 0 to 79"):
        read_face_model(path, files / "few.txt")
    (files / "few.txt").write_text("nose")
    with pytest.raises(WeightsFileError, match="68 whole numbers"):
        read_face_model(path, files / "few.txt")


def test_files_of_something_else_are_refused(files):
    path = files / "model"
    np.savez(files / "weights.npz", layer=np.zeros(3))
    with pytest.raises(WeightsFileError, match="no face model .* it holds layer"):
        read_face_model(files / "weights.npz")
    path.write_bytes(b"MATLAB 7.3 MAT-file, made by nobody")
    with pytest.raises(WeightsFileError, match="save -v7"):
        read_face_model(path)
    savemat(path, {"shapeMU": MEAN, "shapePC": np.zeros((6, 2)), "shapeEV": np.ones(2)})
    with pytest.raises(WeightsFileError, match="incomplete face model"):
        read_face_model(path)
    own(path)
    turned = {"mean": MEAN * (1, -1, 1), "shape_basis": SHAPES, "expression_basis": EXPRESSIONS}
    np.savez(files / "turned.npz", **turned, landmarks=MARKS)
    with pytest.raises(WeightsFileError, match="turn the model to x right, y up"):
        read_face_model(files / "turned.npz")
