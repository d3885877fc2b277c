"""The cartoon warp on a toy, triangles, puppet files."""

import cv2
import numpy as np
import pytest

from talkbench.data.synthetic.source import synthetic_clip
from talkbench.methods.makeittalk import cartoon

SQUARE = np.array([[0, 0], [7, 0], [0, 7], [7, 7]], float)
HALVES = np.array([[0, 1, 2], [1, 2, 3]])
RAMP = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1)  # each pixel shows its own x, y


def test_a_warp_that_moves_nothing():
    warped, covered = cartoon.warp(RAMP, SQUARE, SQUARE[None], HALVES)
    assert covered.all() and warped.shape == (1, 8, 8, 2)
    np.testing.assert_allclose(warped[0], RAMP, atol=1e-5)


def test_shift_scale_and_holes():
    moved = np.stack([SQUARE + [1, 2], SQUARE / 2])
    warped, covered = cartoon.warp(RAMP, SQUARE, moved, HALVES)
    assert covered[0, 2:, 1:].all() and covered[0].sum() == 6 * 7
    np.testing.assert_allclose(warped[0, 2:, 1:], RAMP[:6, :7], atol=1e-5)
    assert not np.asarray(warped[0])[~np.asarray(covered[0])].any()
    assert covered[1].sum() == 16  # pixels 0..3 of 0..3.5
    np.testing.assert_allclose(warped[1, :4, :4], 2 * RAMP[:4, :4], atol=1e-5)


def test_later_triangles_cover_earlier_ones():
    reference = np.concatenate([SQUARE, SQUARE])
    moved = np.concatenate([SQUARE, SQUARE + [1, 0]])[None]
    warped, _ = cartoon.warp(RAMP, reference, moved, np.concatenate([HALVES, HALVES + 4]))
    np.testing.assert_allclose(warped[0, :, 1:, 0], RAMP[:, :-1, 0], atol=1e-5)
    assert not warped[0, :, 0, 0].any()
    flat = np.concatenate([HALVES, [[0, 0, 3]]])  # a triangle without area shows nothing
    np.testing.assert_allclose(cartoon.warp(RAMP, SQUARE, SQUARE[None], flat)[0][0], RAMP, atol=1e-5)


def test_composite():
    made = cartoon.composite(np.full((1, 2, 3), 1.0), np.array([[0.25, 1.0]]), np.zeros((1, 2, 3)))
    assert made[..., 0].tolist() == [[0.25, 1.0]]


def test_borders():
    near, far = cartoon.border(100, 200), cartoon.far_border(100, 200)
    assert near[1].tolist() == [0, 24] and near[6].tolist() == [199, 99] and near[11].tolist() == [147, 0]
    assert far[0].tolist() == [-5000, -5000] and far[6].tolist() == [5199, 5099]
    assert far[1].tolist() == [-5000, 24] and far[10].tolist() == [99, -5000]


def face():
    angle = np.arange(68)
    return 64 + np.stack([(12 + 0.7 * angle) * np.cos(angle), (12 + 0.7 * angle) * np.sin(angle)], 1)


def test_triangles_cover_the_picture():
    made = cartoon.triangles(face(), 128, 128)
    points = np.concatenate([face().astype(int), cartoon.border(128, 128)])
    a, b, c = (points[made[:, i]] for i in range(3))
    areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert areas.sum() == pytest.approx(127**2, rel=0.002) and set(made.ravel()) == set(range(80))
    assert cartoon.triangles(face(), 128, 128, whole_lips=False).max() == 67
    with pytest.raises(ValueError, match="outside the drawing"):
        cartoon.triangles(face() + 100, 128, 128)


def test_puppet_files(tmp_path):
    standard = np.zeros((68, 3))
    standard[:, 2] = 0.5
    opened, closed, scale_shift = cartoon.puppet(face(), standard)
    assert opened[0, 0] - opened[16, 0] == pytest.approx(-1.6, abs=1e-3) and (opened[:, 2] == 0.5).all()
    np.testing.assert_array_equal(opened[:48], closed[:48])
    stem = tmp_path / "toy"
    np.savetxt(f"{stem}_face_open_mouth.txt", np.c_[face(), np.ones(68)])
    np.savetxt(f"{stem}_face_close_mouth.txt", closed)
    np.savetxt(f"{stem}_scale_shift.txt", scale_shift)
    np.savetxt(f"{stem}_delauney_tri.txt", [[0, 1, 2]])
    made = cartoon.read_puppet(tmp_path, "toy")
    np.testing.assert_allclose(made["closed"], closed)
    assert made["triangles"].dtype == np.int64 and made["scale_shift"].shape == (3,)
    with pytest.raises(ValueError, match="other_face_open_mouth.txt"):
        cartoon.read_puppet(tmp_path, "other")
    (tmp_path / "toy_face_close_mouth.txt").write_text("1 2 3")
    with pytest.raises(ValueError, match="3 numbers, expected 68 landmarks"):
        cartoon.read_puppet(tmp_path, "toy")


def test_a_photograph_is_bent_as_a_drawing_is():
    """On the host, for training examples: the same picture as the warp's but for pixels on edges."""
    rng, clip = np.random.default_rng(0), synthetic_clip(3, 0, 25, 64)
    smooth = cv2.GaussianBlur(rng.uniform(0, 255, (64, 64, 3)), (0, 0), 3)
    picture = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    first, last = clip.landmarks[0], clip.landmarks[0] + rng.normal(0, 0.5, (68, 3))
    still = cartoon.bend(picture, first, first[None])[0]
    np.testing.assert_array_equal(still, picture)
    points = [np.concatenate([p[:, :2] - 0.5, cartoon.border(64, 64)]) for p in (first, last)]
    mesh = cartoon.triangles(first - 0.5, 64, 64)
    warped, covered = cartoon.warp(picture.astype(np.float32), points[0], points[1][None], mesh)
    off = np.abs(cartoon.bend(picture, first, last[None])[0] - np.asarray(warped[0]))[np.asarray(covered[0])]
    assert np.median(off) < 1 and np.percentile(off, 98) < 8
    outside = first - [40, 0, 0]  # a face that sticks out of the picture counts at its border
    assert cartoon.bend(picture, outside, np.stack([last] * 2)).shape == (2, *picture.shape)
