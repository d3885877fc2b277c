import numpy as np
import pytest

from talkbench.evaluators import fan

rng = np.random.default_rng(0)


def test_mirror_swaps_sides():
    assert (fan.MIRROR[fan.MIRROR] == np.arange(68)).all()
    middle = np.flatnonzero(fan.MIRROR == np.arange(68))
    assert middle.tolist() == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert [fan.MIRROR[i] for i in (0, 17, 31, 36, 40, 48, 60)] == [16, 26, 35, 45, 47, 54, 64]


def test_peaks_by_hand():
    maps = np.zeros((1, 64, 64, 4), np.float32)
    maps[0, 20, 10, 0], maps[0, 20, 11, 0], maps[0, 19, 10, 0] = 3, 2, 1
    maps[0, 0, 5, 1] = 1  # on the border: not moved
    maps[0, 30, 31, 2] = maps[0, 40, 31, 2] = 1  # a tie: the first one
    maps[0, 63, 63, 3] = 2
    points, scores = fan.peaks(maps)
    np.testing.assert_array_equal(points[0], [[10.75, 20.25], [5.5, 0.5], [31.5, 30.5], [63.5, 63.5]])
    assert scores[0].tolist() == [3, 1, 1, 2]


def test_crop_and_back():
    """A bright dot of the image lies in its crop where `to_image` says."""
    image = np.zeros((300, 280, 3), np.uint8)
    image[140:144, 120:124] = 255
    centre, scale = fan.box_frame(np.array([60.0, 60, 200, 220, 0.9]))
    np.testing.assert_allclose([*centre, scale], [130, 140 - 0.12 * 160, 300 / 195])
    face = fan.crop(image, centre, scale)
    assert face.shape == (256, 256, 3) and face.dtype == np.uint8
    y, x = (np.average(np.arange(256) + 0.5, weights=face[..., 0].sum(axis)) for axis in (1, 0))
    assert np.abs(fan.to_image(np.array([x, y]), centre, scale, 256) - [122, 142]).max() < 1.5


def test_crop_over_the_border_and_beyond():
    image = np.full((100, 100, 3), 255, np.uint8)
    face = fan.crop(image, *fan.box_frame(np.array([-40.0, -30, 60, 70])))
    assert (face[:10] == 0).all() and (face[:, :10] == 0).all() and (face[125:235, 120:235] == 255).all()
    with pytest.raises(fan.CropError, match="outside the image"):
        fan.crop(image, *fan.box_frame(np.array([900.0, 0, 1000, 100])))


def test_drawn_points():
    points = np.zeros((1, 68, 2))
    points[0, 0] = 100.7, 50.2
    points[0, 1] = 254.0, 3.0
    points[0, 2] = -3, 40
    drawn = fan.draw_points(points)
    assert drawn.shape == (1, 256, 256, 68) and drawn.max() == 1
    assert np.argwhere(drawn[0, ..., 0] == 1).tolist() == [[49, 99]]  # pixel (100, 50), one-based
    assert (drawn[0, ..., 0] > 0).sum() == 169
    assert drawn[0, 49, 99 + 3, 0] == pytest.approx(np.exp(-0.5 * (3 / 3.25) ** 2))
    assert drawn[0, ..., 1].max() > 0 and (drawn[0, ..., 2:] == 0).all()


def test_landmarks_of_frames(monkeypatch):
    """Frames without a face give NaN, the rest keep their order, published points are whole pixels."""
    calls = []

    def heatmaps(variables, crops, flip):
        calls.append((len(crops), flip))
        maps = np.zeros((len(crops), 64, 64, 68), np.float32)
        maps[:, 32, 31] = crops.mean((1, 2, 3))[:, None]
        return maps

    monkeypatch.setattr(fan, "heatmaps", heatmaps)
    monkeypatch.setattr(fan, "depths", lambda v, crops, drawn: np.full((len(crops), 68), 10.0) * drawn.max())
    frames = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((1, 200, 200, 3), 20, np.uint8)
    boxes = np.tile(np.float32([50.3, 60.2, 150, 160]), (5, 1))
    boxes[2] = np.nan
    points, scores = fan.landmarks(None, frames, boxes, batch=3)
    assert calls == [(3, False), (3, False)] and points.shape == (5, 68, 2)
    assert (
        np.isnan(points[2]).all() and np.isnan(scores[2]).all() and not np.isnan(points[[0, 1, 3, 4]]).any()
    )
    np.testing.assert_allclose(scores[[0, 1, 3, 4], 0] / scores[1, 0], [0, 1, 3, 4], rtol=1e-2)
    assert (points[0] == np.trunc(points[0])).all()
    fine, _ = fan.landmarks(None, frames, boxes, subpixel=True, flip=True)
    assert (np.trunc(fine[1]) == points[1]).all() and (fine[1] != points[1]).any()
    deep, _ = fan.landmarks(None, frames, boxes, depth_variables={})
    _, scale = fan.box_frame(boxes[0])
    np.testing.assert_allclose(deep[1, :, 2], 10 * 200 * scale / 256, rtol=1e-5)
