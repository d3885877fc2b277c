import numpy as np
import pytest

from talkbench.geometry.rotations import (
    angle_between,
    head_angles,
    head_rotation,
    hopenet_angles,
    hopenet_rotation,
    rotation_x,
    rotation_y,
    rotation_z,
)

FORWARD, UP = np.array([0.0, 0, 1]), np.array([0.0, 1, 0])


def test_yaw_turns_the_nose_to_picture_right_pitch_nods_down_roll_tilts_left():
    assert (head_rotation([30.0, 0, 0]) @ FORWARD)[0] > 0
    assert (head_rotation([0, 30.0, 0]) @ FORWARD)[1] < 0
    assert (head_rotation([0, 0, 30.0]) @ UP)[0] < 0


def test_orders():
    angles = np.array([20.0, -10.0, 35.0])
    yaw, pitch, roll = angles
    np.testing.assert_allclose(
        head_rotation(angles), rotation_z(roll) @ rotation_y(yaw) @ rotation_x(pitch), atol=1e-12
    )
    np.testing.assert_allclose(
        hopenet_rotation(angles), rotation_x(pitch) @ rotation_y(yaw) @ rotation_z(roll), atol=1e-12
    )
    assert np.abs(head_rotation(angles) - hopenet_rotation(angles)).max() > 0.05


@pytest.mark.parametrize(
    "to_matrix, to_angles", [(head_rotation, head_angles), (hopenet_rotation, hopenet_angles)]
)
def test_angles_come_back(to_matrix, to_angles):
    angles = np.random.default_rng(0).uniform([-89, -179, -179], [89, 179, 179], (200, 3))
    np.testing.assert_allclose(to_angles(to_matrix(angles)), angles, atol=1e-8)
    locked = to_matrix(np.array([[90.0, 20, 30], [-90.0, 20, 30]]))
    np.testing.assert_allclose(to_matrix(to_angles(locked)), locked, atol=1e-6)


def test_angle_between():
    base = head_rotation(np.array([10.0, 20, 30]))
    for degrees in (0.0, 1e-5, 5.0, 90.0, 179.0, 180.0):
        assert angle_between(base, base @ rotation_y(degrees)) == pytest.approx(degrees, abs=1e-9)


def test_three_angles_are_asked_for():
    with pytest.raises(ValueError, match="yaw, pitch, roll"):
        head_rotation(np.zeros((4, 2)))
