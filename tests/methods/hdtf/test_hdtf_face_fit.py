import jax
import numpy as np
import pytest

from talkbench.geometry.face_model import free_model
from talkbench.geometry.head import Deformer
from talkbench.geometry.rotations import angle_between, head_rotation
from talkbench.methods.hdtf import face_fit
from talkbench.methods.hdtf.face_fit import FitError, fit_face, project_face

FRAMES, SCALE = 8, 120.0


@pytest.fixture(scope="module")
def clip():
    """A moving, speaking, blinking head of its own shape -> (landmarks (T, 68, 2) pixels, jaw (T,), angles (T, 3))."""
    rng = np.random.default_rng(3)
    time = np.linspace(0, 2 * np.pi, FRAMES)
    expression = np.zeros((FRAMES, 33))
    expression[:, 0] = 0.35 - 0.35 * np.cos(2 * time)  # jawOpen
    expression[:, 13] = expression[:, 14] = 0.4 + 0.4 * np.sin(time)  # smiles
    expression[:, 30] = 0.3  # browInnerUp
    blink = np.repeat(0.5 - 0.5 * np.cos(time)[:, None], 2, 1)
    angles = np.stack([20 * np.sin(time), 8 * np.cos(time), 5 * np.sin(2 * time)], 1)
    head = Deformer(rng.normal(0, 0.7, 60).clip(-1.5, 1.5))(expression, blink, np.zeros((FRAMES, 2)))
    points = head[:, free_model().landmarks] @ np.swapaxes(head_rotation(angles), 1, 2)
    shift = np.stack([250 + 9 * np.cos(time), 300 + 5 * np.sin(time)], 1)
    return SCALE * points[..., :2] * (1, -1) + shift[:, None], expression[:, 0], angles


def test_a_clip_is_recovered(clip):
    landmarks, jaw, angles = clip
    landmarks = landmarks.copy()
    landmarks[2, 40] = np.nan
    fit = fit_face(free_model(), landmarks)
    assert fit.converged
    assert fit.error <= 0.015
    assert np.corrcoef(fit.expression[:, 0], jaw)[0, 1] >= 0.8
    assert angle_between(head_rotation(fit.angles), head_rotation(angles)).max() < 4
    assert fit.scale == pytest.approx(SCALE, rel=0.1)
    drawn = project_face(free_model(), fit)[:, free_model().landmarks]
    distances = np.linalg.norm(drawn - landmarks, axis=-1)
    np.testing.assert_allclose(fit.residuals, distances, atol=1e-6)
    assert np.isnan(fit.residuals).sum() == 1
    width = fit.face_width / fit.scale
    assert width == pytest.approx(np.ptp(free_model().mean[free_model().landmarks[[0, 16]], 0]), rel=0.2)


def test_weights_decide_what_is_fitted(clip):
    """Landmarks that are far off have no pull at weight 0; their residual is not counted."""
    landmarks, jaw, _ = clip
    wrong, weights = landmarks.copy(), np.ones((FRAMES, 68))
    wrong[:, :17] += 80
    weights[:, :17] = 0
    fit = fit_face(free_model(), wrong, weights)
    assert fit.error <= 0.015
    assert np.isnan(fit.residuals[:, :17]).all()
    assert np.corrcoef(fit.expression[:, 0], jaw)[0, 1] >= 0.8


def test_derivatives():
    """Along a random direction, against differences."""
    rng = np.random.default_rng(0)
    count, shapes, expressions = 2, 3, 4
    problem = {
        "mean": rng.normal(size=(68, 3)),
        "shape_basis": rng.normal(size=(shapes, 68, 3)),
        "expression_basis": rng.normal(size=(expressions, 68, 3)),
        "weights": rng.uniform(size=(count, 68)),
    }
    shared, frames = rng.normal(size=shapes + 1), rng.normal(size=(count, face_fit.POSE + expressions))
    to_shared, to_frames = rng.normal(size=shared.shape), rng.normal(size=frames.shape)
    with jax.enable_x64(True):
        own, common = jax.jit(face_fit._data_derivatives)(problem, shared, frames)
        ahead, behind = (
            face_fit._project(problem, shared + step * to_shared, frames + step * to_frames)
            for step in (1e-6, -1e-6)
        )
    wanted = np.asarray(ahead - behind) / 2e-6 * problem["weights"][..., None]
    made = np.einsum("trf,tf->tr", own, to_frames) + np.einsum("trs,s->tr", common, to_shared)
    np.testing.assert_allclose(made.reshape(count, 68, 2), wanted, atol=1e-7)


def test_what_cannot_be_fitted_is_named(clip):
    landmarks = clip[0]
    with pytest.raises(FitError, match="expected .T, 68, 2 or 3."):
        fit_face(free_model(), landmarks[:, :51])
    with pytest.raises(FitError, match="none below 0"):
        fit_face(free_model(), landmarks, -np.ones((FRAMES, 68)))
    few = landmarks.copy()
    few[3, 5:] = np.nan
    with pytest.raises(FitError, match="frame 3 has 5 known landmarks, at least 12"):
        fit_face(free_model(), few)
