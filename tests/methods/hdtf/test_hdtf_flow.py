import numpy as np
import pytest

from talkbench.methods.hdtf import device_flow, host_flow
from talkbench.methods.hdtf.projection import linear_vertices, project

SIZE = 32


def points(seed=0, number=40, low=6.0, high=22.0):
    return np.random.default_rng(seed).uniform(low, high, (number, 2))


def both(reference, driving):
    """F_app and mean displacement of host and device, each in turn."""
    device = device_flow.approximate_flow(np.float32(reference)[None], np.float32(driving)[None], SIZE)
    yield host_flow.approximate_flow(reference, driving, SIZE)
    yield np.asarray(device[0][0]), np.asarray(device[1][0])


def test_device_and_host_agree():
    (flow, mean), (same, same_mean) = both(points(0), points(1))
    np.testing.assert_allclose(same, flow, atol=2e-6)
    np.testing.assert_allclose(same_mean, mean, atol=2e-6)


def test_each_pixel_moves_as_its_nearest_vertex():
    reference, driving = points(0), points(1)
    flow, mean = host_flow.approximate_flow(reference, driving, SIZE)
    identity = 2 * np.arange(SIZE) / (SIZE - 1) - 1
    place = 2 * driving / SIZE - 1
    top = int(driving[:, 1].max())
    for i, j in ((0, 0), (9, 11), (top - 1, 20)):
        nearest = np.argmin(((place - (identity[j], identity[i])) ** 2).sum(1))
        step = 2 * (reference - driving)[nearest] / SIZE
        np.testing.assert_allclose(flow[i, j], (identity[j] + step[0], identity[i] + step[1]), atol=1e-12)
    np.testing.assert_allclose(flow[top, 5], (identity[5] + mean[0], identity[top] + mean[1]), atol=1e-12)


def test_still_face_is_the_identity_and_a_shift_is_constant():
    identity = np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, SIZE)]), -1)
    for flow, mean in both(points(), points()):
        np.testing.assert_allclose(flow, identity, atol=1e-6)
        np.testing.assert_allclose(mean, 0, atol=1e-6)
    for flow, _ in both(points(), points() + (3.0, -2.0)):
        np.testing.assert_allclose(
            flow - identity, np.full((SIZE, SIZE, 2), (-6 / SIZE, 4 / SIZE)), atol=1e-6
        )


@pytest.mark.parametrize("shift, rows", [(-40.0, SIZE), (40.0, 0)])
def test_faces_outside_the_picture(shift, rows):
    """Above it every row is torso, below it none."""
    driving = points(1) + (0.0, shift)
    for flow, mean in both(points(0), driving):
        displacement = flow - np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, SIZE)]), -1)
        still = np.isclose(displacement, mean, atol=1e-5).all((1, 2))
        assert still.sum() == rows


def test_a_reference_serves_many_frames():
    driving = np.float32([points(1), points(2)])
    flow, _ = device_flow.approximate_flow(np.float32(points(0))[None], driving, SIZE)
    for i in range(2):
        np.testing.assert_allclose(
            flow[i], host_flow.approximate_flow(points(0), driving[i], SIZE)[0], atol=2e-6
        )


def test_unfit_points_are_named():
    with pytest.raises(ValueError, match="same N"):
        host_flow.approximate_flow(points(), points(number=3), SIZE)
    with pytest.raises(ValueError, match="same N"):
        device_flow.approximate_flow(points()[None], points(number=3)[None], SIZE)


def test_projection_by_hand():
    mean = np.array([[1.0, 2.0, 3.0]])
    vertices = linear_vertices(
        mean, np.ones((2, 1, 3)), np.ones((1, 1, 3)), np.array([1.0, -1.0]), np.array([[0.5]])
    )
    np.testing.assert_allclose(vertices, [[[1.5, 2.5, 3.5]]])
    quarter = np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])  # x -> y
    made = project(vertices, quarter, np.array([[1.0, 2.0, 0.0]]), 2.0, 100, 50)
    np.testing.assert_allclose(made, [[[-5 + 1 + 50, 50 - (3 + 2 + 25) - 1, 7]]])
