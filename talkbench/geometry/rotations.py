"""Rotations and Euler angles.

Column vectors: p' = R p. Axes in this package: x right in the picture, y up, z towards the viewer. Each
angle turns counter-clockwise about its axis seen from the axis' tip, so yaw (about y) > 0 turns a nose to
picture right, pitch (about x) > 0 nods down, roll (about z) > 0 tilts the head's top to picture left.

Two orders are in use, and they are not interchangeable:

    head_rotation      R = Rz(roll) Ry(yaw) Rx(pitch)    the synthetic heads, HDTF's mesh, pose metrics
    hopenet_rotation   R = Rx(pitch) Ry(yaw) Rz(roll)    face-vid2vid (Wang et al. 2021), Hopenet's angles
"""

import numpy as np


def _about(angle: np.ndarray, first: int, second: int) -> np.ndarray:
    """Rotation by `angle` (radians, any shape) that takes axis `first` towards axis `second`: (..., 3, 3)."""
    angle = np.asarray(angle)
    if angle.dtype not in (np.float32, np.float64):
        angle = angle.astype(np.float64)
    out = np.zeros((*angle.shape, 3, 3), angle.dtype)
    out[..., 3 - first - second, 3 - first - second] = 1
    out[..., first, first] = out[..., second, second] = np.cos(angle)
    out[..., second, first] = np.sin(angle)
    out[..., first, second] = -out[..., second, first]
    return out


def rotation_x(degrees: np.ndarray) -> np.ndarray:
    """Rotation about x (pitch): degrees (...) -> (..., 3, 3) [[1,0,0],[0,c,-s],[0,s,c]]."""
    return _about(np.deg2rad(degrees), 1, 2)


def rotation_y(degrees: np.ndarray) -> np.ndarray:
    """Rotation about y (yaw): degrees (...) -> (..., 3, 3) [[c,0,s],[0,1,0],[-s,0,c]]."""
    return _about(np.deg2rad(degrees), 2, 0)


def rotation_z(degrees: np.ndarray) -> np.ndarray:
    """Rotation about z (roll): degrees (...) -> (..., 3, 3) [[c,-s,0],[s,c,0],[0,0,1]]."""
    return _about(np.deg2rad(degrees), 0, 1)


def _three(yaw_pitch_roll: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    angles = np.asarray(yaw_pitch_roll)
    if angles.shape[-1:] != (3,):
        raise ValueError(f"angles of shape {angles.shape}: the last axis must be yaw, pitch, roll")
    return angles[..., 0], angles[..., 1], angles[..., 2]


def head_rotation(yaw_pitch_roll: np.ndarray) -> np.ndarray:
    """Degrees (..., 3) yaw, pitch, roll -> (..., 3, 3) R = Rz(roll) Ry(yaw) Rx(pitch)."""
    yaw, pitch, roll = _three(yaw_pitch_roll)
    return rotation_z(roll) @ rotation_y(yaw) @ rotation_x(pitch)


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Inverse of `head_rotation`: (..., 3, 3) -> degrees (..., 3) yaw in [-90, 90], pitch, roll.

    At yaw = +-90 only pitch -+ roll is determined; roll is then 0.
    """
    r = np.asarray(rotation)
    yaw = np.arcsin(np.clip(-r[..., 2, 0], -1, 1))
    regular = np.hypot(r[..., 0, 0], r[..., 1, 0]) > 1e-6
    pitch = np.where(regular, np.arctan2(r[..., 2, 1], r[..., 2, 2]), np.arctan2(-r[..., 1, 2], r[..., 1, 1]))
    roll = np.where(regular, np.arctan2(r[..., 1, 0], r[..., 0, 0]), 0)
    return np.rad2deg(np.stack([yaw, pitch, roll], axis=-1))


def hopenet_rotation(yaw_pitch_roll: np.ndarray) -> np.ndarray:
    """Degrees (..., 3) yaw, pitch, roll -> (..., 3, 3) R = Rx(pitch) Ry(yaw) Rz(roll)."""
    yaw, pitch, roll = _three(yaw_pitch_roll)
    return rotation_x(pitch) @ rotation_y(yaw) @ rotation_z(roll)


def hopenet_angles(rotation: np.ndarray) -> np.ndarray:
    """Inverse of `hopenet_rotation`: (..., 3, 3) -> degrees (..., 3) yaw in [-90, 90], pitch, roll.

    At yaw = +-90 only pitch +- roll is determined; roll is then 0.
    """
    r = np.asarray(rotation)
    yaw = np.arcsin(np.clip(r[..., 0, 2], -1, 1))
    regular = np.hypot(r[..., 0, 0], r[..., 0, 1]) > 1e-6
    pitch = np.where(regular, np.arctan2(-r[..., 1, 2], r[..., 2, 2]), np.arctan2(r[..., 2, 1], r[..., 1, 1]))
    roll = np.where(regular, np.arctan2(-r[..., 0, 1], r[..., 0, 0]), 0)
    return np.rad2deg(np.stack([yaw, pitch, roll], axis=-1))


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle of the rotation from a to b, both (..., 3, 3): degrees (...) in [0, 180]."""
    relative = np.swapaxes(np.asarray(a, np.float64), -1, -2) @ np.asarray(b, np.float64)
    axis = np.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        axis=-1,
    )
    # arctan2 of sine and cosine stays exact near 0, where arccos of the trace loses half its digits
    sine, cosine = np.linalg.norm(axis, axis=-1), np.trace(relative, axis1=-2, axis2=-1) - 1
    return np.rad2deg(np.arctan2(sine, cosine))
