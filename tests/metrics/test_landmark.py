import numpy as np
import pytest

from talkbench.geometry.rotations import rotation_x, rotation_y, rotation_z
from talkbench.metrics import landmark


def test_identical_tracks_have_no_error(tracks):
    real, _ = tracks
    for name in ("d_ll", "d_vl", "d_a", "d_l", "d_v", "d_pos", "akd", "akd_euclidean", "mouth_raw"):
        assert getattr(landmark, name)(real, real) == 0, name
    assert landmark.lmd(real, real, size=64) == 0
    assert landmark.d_rot(real, real, real[0]) < 1e-5
    assert landmark.lip_gap_r(real, real) == pytest.approx(1)


def test_lmd_ignores_a_shift_and_knows_the_crop(tracks):
    real, fake = tracks
    assert landmark.lmd(real, fake + 7, size=256) == pytest.approx(landmark.lmd(real, fake, size=256))
    assert landmark.lmd(real / 4, fake / 4, size=64) == pytest.approx(landmark.lmd(real, fake, size=256))
    assert landmark.mouth_raw(real, fake + 7) > 5


def test_a_pixel_of_error(tracks):
    real, _ = tracks
    moved = real + (3, 4, 0)
    assert landmark.akd(real, moved) == pytest.approx(3.5)
    assert landmark.akd_euclidean(real, moved) == pytest.approx(5)
    assert landmark.d_l(real, moved) == pytest.approx(500 / landmark.face_width(real))
    assert landmark.d_pos(real, moved) == pytest.approx(500 / landmark.face_width(real))
    assert landmark.d_v(real, moved) == pytest.approx(0, abs=1e-12)


def test_lip_gap(tracks):
    real, fake = tracks
    still = np.repeat(real[:1], len(real), 0)
    assert landmark.lip_gap_r(real, still) == 0
    assert landmark.lip_gap_r(still, real) == 0
    rounding = np.random.default_rng(0).normal(0, 1e-5, real.shape)  # of a judge in float32
    assert landmark.lip_gap_r(real, still + rounding) == 0
    assert landmark.lip_gap_r(real, real * 0.3 + 9) == pytest.approx(1)  # scale and place don't matter
    assert 0.5 < landmark.lip_gap_r(real, fake) < 1
    face = np.zeros((1, 68, 2))
    face[0, 45] = (10, 0)
    face[0, [65, 66, 67], 1] = (1, 2, 3)
    assert landmark.lip_gap(face) == pytest.approx(0.2)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_rotation_is_found(tracks, dimensions):
    real, _ = tracks
    face = real[0] - real[0].mean(0)
    turned = 1.3 * face @ (rotation_z(5) @ rotation_y(12) @ rotation_x(-8)).T + (40, 50, 0)
    found = landmark.rotations(turned[None, :, :dimensions], face)
    np.testing.assert_allclose(landmark.euler(found)[0], [-8, 12, 5], atol=1e-6)
    angle = landmark.d_rot(face[None, :, :dimensions], turned[None, :, :dimensions], face)
    assert angle == pytest.approx(np.degrees(np.arccos((np.trace(found[0]) - 1) / 2)), abs=1e-6)


def test_missing_points():
    real = np.zeros((3, 4, 2))
    fake = real + 2
    found_real = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    found_fake = np.array([[1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]], bool)
    assert landmark.mkr(found_real, found_fake) == pytest.approx((1 / 4 + 1) / 2)
    assert landmark.akd_present(real, fake, found_real, found_fake) == pytest.approx(2)
    assert np.isnan(landmark.mkr(found_real & False, found_fake))


def test_a_mouth_that_never_opens_has_no_area_to_compare():
    closed = np.zeros((2, 68, 2))
    opened = closed.copy()
    opened[:, 62], opened[:, 63] = (3, 0), (3, 5)
    assert landmark.d_a(closed, closed) == 0
    assert np.isnan(landmark.d_a(closed, opened))
