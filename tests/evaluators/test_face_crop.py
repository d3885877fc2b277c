import cv2
import numpy as np

from talkbench.evaluators import face_crop
from talkbench.geometry.topology import T_SHAPE


def _landmarks(angle: float, scale: float, shift):
    """Landmarks (1, 68, 2) whose nose and eye corners are the template, turned, scaled and shifted."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.zeros((1, 68, 2))
    points[0, T_SHAPE] = scale * face_crop.template() @ turn.T + shift
    return points


def test_a_turned_face_gives_the_same_crop():
    """Three smooth blobs fixed to the template are found where the crop's arguments say, however the face lies."""
    places = np.array([(0.0, 0.4), (-0.3, 0.7), (0.25, 0.2)])
    rows, columns = np.mgrid[:64, :64] + 0.5
    for angle, scale, shift in ((0, 24, (32, 30)), (0.3, 20, (28, 33)), (-0.2, 30, (35, 28))):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        frame = np.zeros((64, 64, 3))
        for channel, place in enumerate(places):
            x, y = scale * turn @ place + shift
            frame[..., channel] = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
        points = _landmarks(angle, scale, shift)[:, T_SHAPE]
        crop = face_crop.crop(frame.astype(np.uint8)[None], points, 28, 25.0, (0.0, 0.6))[0].astype(float)
        assert crop.shape == (28, 28, 3)
        for channel, place in enumerate(places):
            weight = np.clip(crop[..., channel] - 20, 0, None)
            found = [(weight * grid[:28, :28]).sum() / weight.sum() for grid in (columns, rows)]
            np.testing.assert_allclose(found, 25 * (place - (0, 0.6)) + 14, atol=0.15)


def test_jitter_is_as_large_as_it_says():
    landmarks = np.repeat(_landmarks(0, 20, (32, 32)), 500, 0)
    still = face_crop.jitter(landmarks, np.random.default_rng(0), clip=0, frame=0)
    np.testing.assert_allclose(still, landmarks[:, T_SHAPE])
    moved = face_crop.jitter(landmarks, np.random.default_rng(0), clip=0.0, frame=0.01) - still
    np.testing.assert_allclose(moved.std(), 20 * 0.01 * np.sqrt(2), rtol=0.1)
    shared = face_crop.jitter(landmarks, np.random.default_rng(0), clip=0.05, frame=0.0) - still
    assert np.ptp(shared, 0).max() < 1e-9 and shared.std() > 0.2


def test_tint_stays_in_range_and_is_one_for_a_clip():
    picture = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (28, 28, 3), np.uint8), (0, 0), 3)
    tints = [face_crop.tinted(np.stack([picture] * 2), np.random.default_rng(i)) for i in range(12)]
    assert all(t.dtype == np.float32 and t.min() >= 0 and t.max() <= 1 for t in tints)
    assert max(np.abs(t[0] - picture / 255).mean() for t in tints) > 0.05
    assert min(np.abs(t[0] - t[1]).max() for t in tints) == 0
