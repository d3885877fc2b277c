import numpy as np
import pytest

from talkbench.evaluators import arcface

rng = np.random.default_rng(0)


def turned(points, degrees, scale, shift):
    a = np.deg2rad(degrees)
    return scale * points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + shift


def test_similarity_is_recovered():
    points = turned(arcface.TEMPLATE, 20, 1.7, [30, -4])
    matrix = arcface.similarity(points)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], arcface.TEMPLATE, atol=1e-9)
    assert np.linalg.det(matrix[:, :2]) == pytest.approx(1 / 1.7**2)
    noisy = points + rng.standard_normal(points.shape)
    best = arcface.similarity(noisy)

    def error(m):
        return np.square(noisy @ m[:, :2].T + m[:, 2] - arcface.TEMPLATE).sum()

    for _ in range(20):  # least squares: no similarity nearby is better
        a, b, u, v = 1e-3 * rng.standard_normal(4)
        assert error(best + np.array([[a, -b, u], [b, a, v]])) > error(best)
    with pytest.raises(ValueError, match="coincide"):
        arcface.similarity(np.ones((5, 2)))


def test_five_points():
    landmarks = rng.standard_normal((3, 68, 3))
    points = arcface.five_points(landmarks)
    assert points.shape == (3, 5, 2)
    np.testing.assert_allclose(points[1, 0], landmarks[1, 36:42, :2].mean(0))
    np.testing.assert_allclose(points[2, 4], landmarks[2, 54, :2])


def test_alignment_puts_points_on_the_template():
    spots = turned(arcface.TEMPLATE, -15, 2.0, [60, 90])
    image = np.zeros((400, 400, 3), np.uint8)
    y, x = np.mgrid[:400, :400] + 0.5
    for i, (u, v) in enumerate(spots):
        image[..., 0] += (np.hypot(x - u, y - v) < 6).astype(np.uint8) * np.uint8(50 * (i + 1))
    face = arcface.align(image, spots)
    assert face.shape == (112, 112, 3)
    grid = np.mgrid[:112, :112]
    for i, (u, v) in enumerate(arcface.TEMPLATE):
        weight = np.where(np.hypot(grid[1] - u, grid[0] - v) < 5, face[..., 0], 0).astype(float)
        centre = [(weight * grid[1]).sum() / weight.sum(), (weight * grid[0]).sum() / weight.sum()]
        assert np.abs(np.array(centre) - [u, v]).max() < 0.3 and face[round(v), round(u), 0] == 50 * (i + 1)


def test_channel_order_must_be_named():
    with pytest.raises(ValueError, match="choose bgr or rgb"):
        arcface.embed({}, np.zeros((1, 112, 112, 3), np.uint8), "gbr")
