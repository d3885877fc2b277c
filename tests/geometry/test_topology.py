import numpy as np

from talkbench.geometry import topology
from talkbench.geometry.head import head


def rest_landmarks():
    data = head()
    return data.vertices[data.landmarks68]


def test_groups_cover_every_landmark_once():
    np.testing.assert_array_equal(np.sort(np.concatenate(list(topology.GROUPS.values()))), np.arange(68))


def test_mirror_is_an_involution_that_fits_the_head():
    np.testing.assert_array_equal(topology.MIRROR[topology.MIRROR], np.arange(68))
    face = rest_landmarks()
    np.testing.assert_allclose(face[topology.MIRROR] * [-1, 1, 1], face, atol=1e-5)


def test_right_is_the_subjects_right():
    face = rest_landmarks()
    assert (face[topology.RIGHT_EYE, 0] < 0).all() and (face[topology.LEFT_EYE, 0] > 0).all()


def test_distances():
    face = rest_landmarks()
    assert abs(topology.eye_distance(face) - 1) < 1e-4
    assert topology.lip_gap(face) < 1e-4
    face = np.array(face)
    face[topology.INNER_LIP_PAIRS[:, 1], 1] -= 0.2
    assert abs(topology.lip_gap(face) - 0.2) < 1e-5
    upper, lower = face[topology.LID_PAIRS.T]
    assert (upper[:, 1] > lower[:, 1] + 0.03).all() and np.abs(upper[:, 0] - lower[:, 0]).max() < 0.05


def test_mirrored_keeps_the_pixel_convention():
    points = np.zeros((68, 2))
    points[0] = (0.5, 10.0)  # centre of the leftmost pixel
    np.testing.assert_array_equal(topology.mirrored(points, 64)[16], (63.5, 10.0))
