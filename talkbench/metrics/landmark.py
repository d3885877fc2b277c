"""Landmark metrics: LMD, the D-* family of MakeItTalk, AKD, MKR, lip gap, head pose, landmark motion.

Landmarks are (T, 68, 2) or (T, 68, 3) in pixels, iBUG order. Both sides must come from the same detector:
detectors differ by more than methods do. Functions take finite arrays; who has frames without a face leaves
them out first (`evaluation.measure` does, and reports the coverage).
"""

import numpy as np

from talkbench.geometry.alignment import kabsch
from talkbench.geometry.rotations import angle_between, head_angles
from talkbench.geometry.topology import INNER_MOUTH, JAW, MOUTH, T_SHAPE, eye_distance
from talkbench.geometry.topology import lip_gap as inner_lip_gap

JAW_AND_LIPS = np.concatenate([JAW, MOUTH])
STILL = 1e-4  # lip gaps that vary less are constant: a judge's rounding differs from frame to frame


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64), axis=-1)


def _centred(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    return points - points.mean(1, keepdims=True)


def lmd_per_frame(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Mean lip distance a frame, each frame's own mouth mean taken off; 2-D, the points' own pixels; (T,)."""
    return _distance(_centred(real[:, MOUTH, :2]), _centred(fake[:, MOUTH, :2])).mean(1)


def lmd(real: np.ndarray, fake: np.ndarray, *, size: int) -> float:
    """Lip landmark distance (Chen et al. 2018/2019) in pixels of a 256-pixel crop.

    Args:
        size: side of the crop that the landmarks are in; the distance is multiplied by 256 / size.
    """
    return float(lmd_per_frame(real, fake).mean() * 256 / size)


def lmd_script(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """ATVGnet's script: the *sum* over the 20 lip points, a frame; 20 times `lmd_per_frame`; (T,)."""
    return lmd_per_frame(real, fake) * len(MOUTH)


def mouth_raw(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean distance of the mouth points without centring (others' "M-LMD"), own pixels."""
    return float(_distance(real[:, MOUTH, :2], fake[:, MOUTH, :2]).mean())


def face_raw(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean distance of all points without centring (others' "F-LMD"), own pixels; equals `akd_euclidean`."""
    return float(_distance(real[..., :2], fake[..., :2]).mean())


def face_centred(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean distance of all points after each frame's mean is taken off, own pixels."""
    return float(_distance(_centred(real[..., :2]), _centred(fake[..., :2])).mean())


def polygon_area(points: np.ndarray) -> np.ndarray:
    """Shoelace area of (..., P, 2+) rings in x, y; (...)."""
    x, y = np.asarray(points, np.float64)[..., 0], np.asarray(points, np.float64)[..., 1]
    return 0.5 * np.abs((x * np.roll(y, -1, -1) - np.roll(x, -1, -1) * y).sum(-1))


def lip_width(real: np.ndarray) -> float:
    """Largest distance of the mouth corners (54, 48) over the real frames."""
    return float(_distance(real[:, 54], real[:, 48]).max())


def face_width(real: np.ndarray) -> float:
    """Largest distance of the jaw ends (16, 0) over the real frames."""
    return float(_distance(real[:, 16], real[:, 0]).max())


def d_ll(real, fake) -> float:
    """MakeItTalk D-LL: distance of jaw and lip points over the lip width, percent."""
    return float(100 * _distance(real[:, JAW_AND_LIPS], fake[:, JAW_AND_LIPS]).mean() / lip_width(real))


def d_l(real, fake) -> float:
    """MakeItTalk D-L: distance of all points over the face width, percent."""
    return float(100 * _distance(real, fake).mean() / face_width(real))


def _velocity_distance(real, fake, points, steps):
    real, fake = np.asarray(real, np.float64)[:, points], np.asarray(fake, np.float64)[:, points]
    distance = _distance(np.diff(real, axis=0), np.diff(fake, axis=0))
    return distance.mean() if steps is None else distance[steps].mean()


def d_vl(real, fake, steps=None) -> float:
    """MakeItTalk D-VL: distance of the velocities of jaw and lip points over the lip width, percent a frame.

    Args:
        steps: (T-1,) bool, which frame-to-frame steps count (both frames scored and adjacent); None: all.
    """
    return float(100 * _velocity_distance(real, fake, JAW_AND_LIPS, steps) / lip_width(real))


def d_v(real, fake, steps=None) -> float:
    """MakeItTalk D-V: distance of the velocities of all points over the face width, percent a frame."""
    return float(100 * _velocity_distance(real, fake, slice(None), steps) / face_width(real))


def d_a(real, fake, ring: np.ndarray = INNER_MOUTH) -> float:
    """MakeItTalk D-A: difference of the lip opening's area over the largest real one, percent.

    Where the real mouth never opens: 0 if the other doesn't either, else NaN.
    """
    area_real, area_fake = polygon_area(real[:, ring]), polygon_area(fake[:, ring])
    largest = area_real.max()
    difference = np.abs(area_fake - area_real).mean()
    if largest == 0:
        return 0.0 if difference == 0 else float("nan")
    return float(100 * difference / largest)


def weak_perspective(reference: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) of a 3-D reference (P, 3) seen as 2-D points (T, P, 2) by a orthographic camera.

    The affine camera of least squares, its two rows made orthonormal (nearest in the Frobenius sense).
    """
    reference = np.asarray(reference, np.float64) - np.mean(reference, 0, dtype=np.float64)
    camera = np.einsum("tpi,jp->tij", _centred(points), np.linalg.pinv(reference))  # (T, 2, 3)
    u, _, vt = np.linalg.svd(camera, full_matrices=False)
    rows = u @ vt
    return np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], 1)


def rotations(landmarks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Head rotations (T, 3, 3) from landmarks (T, 68, 3) by `kabsch` or (T, 68, 2) by `weak_perspective`.

    Args:
        reference: (68, 3), a face at rest; axes as the landmarks' (x right, y down).
    """
    points, reference = np.asarray(landmarks)[:, T_SHAPE], np.asarray(reference)[T_SHAPE]
    return (
        kabsch(np.broadcast_to(reference, points.shape), points)
        if points.shape[-1] == 3
        else weak_perspective(reference, points)
    )


def euler(rotation: np.ndarray) -> np.ndarray:
    """Degrees (T, 3): pitch about x, yaw about y, roll about z of R = Rz Ry Rx (T, 3, 3)."""
    return head_angles(np.asarray(rotation, np.float64))[..., [1, 0, 2]]


def d_rot(real, fake, reference) -> float:
    """MakeItTalk D-Rot: mean angle in degrees between the head rotations of both sides (`rotations`)."""
    return float(angle_between(rotations(real, reference), rotations(fake, reference)).mean())


def d_rot_euler(real, fake, reference) -> float:
    """Mean absolute difference of the three Euler angles, degrees."""
    return float(np.abs(euler(rotations(real, reference)) - euler(rotations(fake, reference))).mean())


def d_pos(real, fake) -> float:
    """MakeItTalk D-Pos: distance of the centroids of the T shape over the face width, percent."""
    centre_real = np.asarray(real, np.float64)[:, T_SHAPE].mean(1)
    centre_fake = np.asarray(fake, np.float64)[:, T_SHAPE].mean(1)
    return float(100 * _distance(centre_real, centre_fake).mean() / face_width(real))


def akd(real, fake) -> float:
    """Average keypoint distance of pose-evaluation: mean |difference| over *coordinates*, own pixels, 2-D."""
    return float(np.abs(np.asarray(real, np.float64)[..., :2] - np.asarray(fake, np.float64)[..., :2]).mean())


def akd_euclidean(real, fake) -> float:
    """Mean Euclidean distance of the landmarks, own pixels, 2-D: the usual reading of the name AKD."""
    return face_raw(real, fake)


def akd_present(real, fake, found_real, found_fake) -> float:
    """AKD of points (T, P, 2) found on both sides (bool (T, P)): mean over frames of each frame's mean.

    Frames without a common point are left out; NaN where there are none.
    """
    both = np.asarray(found_real, bool) & np.asarray(found_fake, bool)
    difference = np.abs(np.asarray(real, np.float64) - np.asarray(fake, np.float64)).mean(-1)
    frames = both.any(1)
    if not frames.any():
        return float("nan")
    return float((np.where(both, difference, 0)[frames].sum(1) / both[frames].sum(1)).mean())


def mkr(found_real, found_fake) -> float:
    """Missing keypoint rate: mean over frames of (found in real, not in fake) / (found in real).

    Args:
        found_real, found_fake: bool (T, P). Frames with no point found in the real picture are left out
            (NaN if all).
    """
    found_real, found_fake = np.asarray(found_real, bool), np.asarray(found_fake, bool)
    due = found_real.sum(1)
    lost = (found_real & ~found_fake).sum(1)
    return float((lost[due > 0] / due[due > 0]).mean()) if (due > 0).any() else float("nan")


def lip_gap(landmarks: np.ndarray) -> np.ndarray:
    """Opening of the inner lips over the face's size, 2-D, (T,).

    Mean of the distances 61-67, 62-66, 63-65, divided by the distance of the outer eye corners 36-45
    averaged over the clip.
    """
    points = np.asarray(landmarks, np.float64)[..., :2]
    return inner_lip_gap(points) / eye_distance(points).mean()


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two series; 0 where one of them is constant."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def lip_gap_r(real, fake) -> float:
    """Correlation over the clip of `lip_gap` of both sides; 0 for a mouth that never moves (by `STILL`)."""
    gaps = [lip_gap(real), lip_gap(fake)]
    if min(np.ptp(gap) for gap in gaps) < STILL:
        return 0.0
    return correlation(*gaps)


def velocity(landmarks: np.ndarray) -> float:
    """Mean speed of the landmarks in x, y, pixels a frame."""
    return float(np.linalg.norm(np.diff(np.asarray(landmarks, np.float64)[..., :2], axis=0), axis=-1).mean())


def acceleration(landmarks: np.ndarray) -> float:
    """Mean norm of the landmarks' second differences in x, y, pixels a frame squared."""
    return float(
        np.linalg.norm(np.diff(np.asarray(landmarks, np.float64)[..., :2], 2, axis=0), axis=-1).mean()
    )


def jitter_ratio(real, fake) -> float:
    """`acceleration` of the fake over that of the real landmarks (NaN where the real ones have none)."""
    base = acceleration(real)
    return acceleration(fake) / base if base > 0 else float("nan")
