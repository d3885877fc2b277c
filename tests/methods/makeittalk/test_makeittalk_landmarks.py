"""From displacements to a clip of landmarks: registration, normalisation, repair, blinks, drawing."""

import numpy as np
import pytest

from talkbench.geometry.topology import LID_PAIRS
from talkbench.methods.makeittalk import drawing, faces, postprocess

RNG = np.random.default_rng(5)


def face():
    made = RNG.normal(size=(68, 3)) * [40, 50, 10] + [128, 120, 0]
    made[0, :2], made[16, :2] = (60, 110), (190, 112)
    return made


def test_registration_undoes_a_rigid_motion():
    reference, angle = face(), 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = reference @ turn.T + [5, -7, 2]
    matrix, registered = faces.register(moved[None], reference)
    np.testing.assert_allclose(registered[0], reference, atol=1e-9)
    np.testing.assert_allclose(matrix[0, :3, :3], turn.T, atol=1e-12)
    np.testing.assert_allclose(matrix[0, 3], [0, 0, 0, 1])


def test_mouth_area_and_reference_frame():
    clip = np.zeros((21, 68, 3))
    ring = np.array([[0, 0], [1, -1], [2, -1], [3, -1], [4, 0], [3, 1], [2, 1], [1, 1]], float)
    clip[:, 60:68, :2] = ring * np.r_[np.full(10, 2.0), 1.0, np.full(10, 3.0)][:, None, None]
    assert np.abs(faces.mouth_areas(clip[10]).sum()) == pytest.approx(6)
    assert faces.mouth_areas(clip[10]).sum() == -faces.mouth_areas(clip[10] * [1, -1, 1]).sum()
    assert faces.reference_frame(clip) == 10


def test_normalisation_and_back():
    pixels = face()
    made, scale, shift = faces.normalize(pixels, np.full(68, 0.25))
    assert made[16, 0] - made[0, 0] == pytest.approx(1.6) and (made[:, 2] == 0.25).all()
    np.testing.assert_allclose(made[[0, 16], :2].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(faces.to_pixels(made, scale, shift)[:, :2], pixels[:, :2], atol=1e-9)
    own, _, _ = faces.normalize(pixels)
    assert np.ptp(own[:, 2]) / np.ptp(own[:, 0]) == pytest.approx(np.ptp(pixels[:, 2]) / np.ptp(pixels[:, 0]))
    unit = faces.unit_face(pixels)
    assert np.linalg.norm(unit[36] - unit[45]) == pytest.approx(1)


def test_closing_the_mouth():
    pixels = face()
    made = faces.close_mouth(pixels, inner=1.0)
    np.testing.assert_allclose(made[62], made[66])
    np.testing.assert_array_equal(made[:48], pixels[:48])
    drawn = faces.close_drawn_mouth(pixels, (1.0, 1.0, 0.5, 0.0))
    np.testing.assert_allclose(drawn[51, 1], drawn[57, 1])
    assert (
        drawn[62, 1] == pytest.approx((pixels[62, 1] + pixels[66, 1]) / 2) and drawn[66, 1] == pixels[66, 1]
    )
    nudged = faces.nudge(pixels)
    assert nudged[50, 1] - pixels[50, 1] == 1 and nudged[47, 1] - pixels[47, 1] == 2


def test_rates():
    made = faces.resample(np.arange(4.0)[:, None])
    np.testing.assert_allclose(made[:, 0], np.minimum(np.arange(10) * 0.4, 3))
    back = faces.resample(made, 62.5, 25.0)
    np.testing.assert_allclose(back[:3, 0], np.arange(3))  # the end was held


def test_face_files(tmp_path):
    path = tmp_path / "face.txt"
    np.savetxt(path, np.arange(204.0).reshape(68, 3))
    assert faces.read_face(path)[67, 2] == 203
    with pytest.raises(faces.FaceFileError, match="204 numbers, expected 9"):
        faces.read_face(path, 9)
    with pytest.raises(faces.FaceFileError, match="missing.txt"):
        faces.read_face(tmp_path / "missing.txt")


def test_calibration_takes_rest_off_and_widens_lips():
    content = np.zeros((4, 204))
    content[:, 0] = [1, 2, 3, 4]  # x of the jaw's end: rest is (1 + 2) / 2
    content[:, 3 * 50 + 1] = [0, 0, 1, 1]
    made = postprocess.calibrate(content)
    assert made[:, 0].tolist() == [-0.5, 0.5, 1.5, 2.5] and made[:, 151].tolist() == [0, 0, 2, 2]


def test_the_speaker_does_not_open_the_lips():
    speaker = np.zeros((3, 68, 3))
    speaker[:, 62, 1], speaker[:, 66, 1] = -1, 1
    made = postprocess.close_lips(speaker)
    np.testing.assert_allclose(made[:, 66, 1], 0.01)
    assert postprocess.combine(np.zeros((12, 204)), np.zeros((12, 204))).shape == (12, 204)


def test_lips_inside_out():
    clip = np.zeros((3, 68, 3), np.float32)
    ring = np.array([[0, 0], [1, -1], [2, -1], [3, -1], [4, 0], [3, 1], [2, 1], [1, 1]])
    clip[:, 60:68, :2] = ring
    clip[1, 60:68, 1] *= -1
    made, changed = postprocess.repair_lips(clip.reshape(3, 204))
    assert changed.tolist() == [False, True, False]
    frame = made.reshape(3, 68, 3)[1]
    np.testing.assert_array_equal(frame[62], frame[66])
    assert frame[57, 1] == frame[66, 1] - 1 and frame[51, 1] == frame[62, 1] + 1
    np.testing.assert_array_equal(made[[0, 2]], clip.reshape(3, 204)[[0, 2]])


def test_segments():
    assert postprocess.segments(560) == [slice(0, 512), slice(512, 560)]
    assert postprocess.segments(520) == [slice(0, 512)]
    assert postprocess.segments(5) == [slice(0, 5)]


@pytest.mark.parametrize("frames", [1, 12, 45, 46, 60, 300])
def test_blinks_fit_the_clip(frames):
    centres = postprocess.blink_centres(frames, np.random.RandomState(1))
    assert (len(centres) > 0) == (frames > 45)
    assert all(9 < t < frames - 15 for t in centres)
    made = postprocess.blink(RNG.normal(size=(frames, 68, 3)), centres)
    assert np.isfinite(made).all()
    for t in centres:
        np.testing.assert_array_equal(made[t, LID_PAIRS[:, 0]], made[t, LID_PAIRS[:, 1]])


@pytest.mark.parametrize("frames", [1, 3, 4, 30])
def test_short_clips_go_all_the_way(frames):
    zeros = [np.zeros((frames, 204))]
    clip = postprocess.assemble(zeros, zeros, np.tile(face().reshape(204) / 100, (1, 1)))
    assert clip.shape == (frames, 68, 3)
    for made in (
        postprocess.to_image(clip, -0.01, np.zeros(2), []),
        postprocess.to_cartoon(clip, -0.01, np.zeros(2)),
    ):
        assert made.shape == clip.shape and np.isfinite(made).all()


@pytest.mark.parametrize("count, drawn", [(68, 68), (98, 96), (74, 72)])
def test_drawing(count, drawn):
    points = RNG.uniform(10, 50, (count, 2))
    picture = drawing.draw(points, 64)
    assert picture.shape == (64, 64, 3) and (picture == 255).any() and (picture != 255).any()
    x, y = points[0].astype(int)
    assert (picture[y, x] != 255).any()
    moved = points.copy()
    moved[drawn:] = 5
    np.testing.assert_array_equal(drawing.draw(moved, 64), picture)
    with pytest.raises(ValueError, match="5 landmarks"):
        drawing.draw(points[:5], 64)
