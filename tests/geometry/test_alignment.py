import numpy as np
import pytest
from scipy.spatial import procrustes

from talkbench.geometry.alignment import align, kabsch, similarity, transform
from talkbench.geometry.rotations import head_rotation

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_known_similarity_is_found(dims):
    points = RNG.normal(size=(5, 12, dims))
    rotation = head_rotation(RNG.uniform(-80, 80, (5, 3)) * ([0, 0, 1] if dims == 2 else [1, 1, 1]))[
        :, :dims, :dims
    ]
    scale, shift = RNG.uniform(0.3, 3, 5), RNG.normal(size=(5, dims))
    target = transform(points, scale, rotation, shift)
    found = similarity(points, target)
    for value, truth in zip(found, (scale, rotation, shift)):
        np.testing.assert_allclose(value, truth, atol=1e-10)
    np.testing.assert_allclose(align(points, target), target, atol=1e-10)
    np.testing.assert_allclose(kabsch(points, target), rotation, atol=1e-10)


def test_noisy_fit_equals_scipy_procrustes():
    a, b = RNG.normal(size=(2, 68, 2))
    normal_a, _, disparity = procrustes(a, b)
    moved = align(b, normal_a, reflection=True)
    assert ((moved - normal_a) ** 2).sum() == pytest.approx(disparity, abs=1e-10)


def test_no_reflection_unless_asked():
    points = RNG.normal(size=(9, 3))
    mirrored = points * [-1, 1, 1]
    assert np.linalg.det(kabsch(points, mirrored)) == pytest.approx(1)
    assert np.linalg.det(similarity(points, mirrored, reflection=True)[1]) == pytest.approx(-1)


def test_weights_leave_points_out_and_count_twice():
    points, target = RNG.normal(size=(2, 10, 3))
    weights = np.array([1.0] * 7 + [0.0] * 3)
    for value, truth in zip(similarity(points, target, weights), similarity(points[:7], target[:7])):
        np.testing.assert_allclose(value, truth, atol=1e-10)
    twice = np.append(np.arange(10), 0)
    for value, truth in zip(
        similarity(points, target, [2.0] + [1] * 9), similarity(points[twice], target[twice])
    ):
        np.testing.assert_allclose(value, truth, atol=1e-10)


def test_one_target_serves_a_batch():
    points, target = RNG.normal(size=(4, 6, 2)), RNG.normal(size=(6, 2))
    np.testing.assert_allclose(align(points, target)[2], align(points[2], target), atol=1e-12)


def test_coinciding_points_keep_their_scale():
    scale, rotation, shift = similarity(np.ones((5, 2)), RNG.normal(size=(5, 2)))
    assert scale == 1 and np.isfinite(rotation).all() and np.isfinite(shift).all()


def test_misfits_are_refused():
    with pytest.raises(ValueError, match="same N and D"):
        kabsch(np.zeros((5, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="weight"):
        kabsch(np.zeros((5, 3)), np.zeros((5, 3)), np.zeros(5))
