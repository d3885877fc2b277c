import colorsys

import cv2
import numpy as np

from talkbench.data.augment import (
    MIRROR_68,
    Jitter,
    colour_jitter,
    draw_jitter,
    flip_frames,
    flip_landmarks,
    flip_pose,
    flip_time,
)


def picture(size=32):
    y, x = np.mgrid[:size, :size] * (255 / size)
    return np.stack([x, y, 255 - (x + y) / 2], -1).astype(np.uint8)


def test_mirror_is_an_involution_with_the_middle_fixed():
    np.testing.assert_array_equal(MIRROR_68[MIRROR_68], np.arange(68))
    fixed = np.flatnonzero(MIRROR_68 == np.arange(68))
    np.testing.assert_array_equal(fixed, [8, 27, 28, 29, 30, 33, 51, 57, 62, 66])
    for left, right in (
        (0, 16),
        (17, 26),
        (21, 22),
        (31, 35),
        (36, 45),
        (37, 44),
        (39, 42),
        (41, 46),
        (48, 54),
        (60, 64),
    ):
        assert MIRROR_68[left] == right


def test_flipped_points_stand_on_the_flipped_pixels():
    rng = np.random.default_rng(0)
    size = 80
    cells = rng.choice(size * size, 68, replace=False)
    rows, columns = cells // size, cells % size
    frame = np.zeros((size, size, 3), np.uint8)
    frame[rows, columns, 0] = np.arange(68) + 1
    landmarks = np.stack([columns + 0.5, rows + 0.5, rng.normal(size=68)], -1).astype(np.float32)
    mirrored, points = flip_frames(frame), flip_landmarks(landmarks, size)
    there = mirrored[np.floor(points[:, 1]).astype(int), np.floor(points[:, 0]).astype(int), 0]
    np.testing.assert_array_equal(there, MIRROR_68 + 1)
    np.testing.assert_array_equal(flip_landmarks(points, size), landmarks)
    np.testing.assert_array_equal(flip_landmarks(landmarks[None, :, :2], size)[0], points[:, :2])


def test_pose_and_time():
    pose = np.arange(1, 13, dtype=np.float32).reshape(2, 6)
    np.testing.assert_array_equal(flip_pose(pose)[0], [-1, 2, -3, -4, 5, 6])
    np.testing.assert_array_equal(flip_time(pose), pose[::-1])


def test_no_change_changes_nothing_and_input_stays():
    frames = picture()[None].repeat(2, 0)
    before = frames.copy()
    np.testing.assert_array_equal(colour_jitter(frames, Jitter()), frames)
    colour_jitter(frames, Jitter(1.1, 0.9, 1.1, 0.1, (3, 1, 0, 2)))
    np.testing.assert_array_equal(frames, before)


def test_each_change_by_its_definition():
    frame = picture()
    exact = frame.astype(float)
    bright = colour_jitter(frame[None], Jitter(brightness=1.1))[0]
    assert np.abs(bright - np.clip(exact * 1.1, 0, 255)).max() <= 0.5
    grey = exact @ [0.299, 0.587, 0.114]
    contrast = colour_jitter(frame[None], Jitter(contrast=0.9))[0]
    assert np.abs(contrast - (0.9 * exact + 0.1 * grey.mean())).max() <= 1
    saturation = colour_jitter(frame[None], Jitter(saturation=0.5))[0]
    assert np.abs(saturation - (0.5 * exact + 0.5 * grey[..., None])).max() <= 1
    hue = colour_jitter(frame[None], Jitter(hue=0.1))[0]
    wanted = np.zeros(frame.shape)
    for place in np.ndindex(frame.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(frame[place] / 255))
        wanted[place] = np.array(colorsys.hsv_to_rgb((h + 26 / 256) % 1, s, v)) * 255
    assert np.abs(hue - wanted).mean() < 1.5


def test_order_matters_and_frames_share_the_change():
    frames = np.stack([picture(), picture()[:, ::-1]])
    first = colour_jitter(frames, Jitter(1.1, 0.9, 1.1, 0.1, (0, 1, 2, 3)))
    second = colour_jitter(frames, Jitter(1.1, 0.9, 1.1, 0.1, (3, 2, 1, 0)))
    assert (first != second).any()
    np.testing.assert_array_equal(first[1], colour_jitter(frames[1], Jitter(1.1, 0.9, 1.1, 0.1)))


def test_draws_stay_in_range_and_repeat():
    draws = [draw_jitter(np.random.default_rng(n)) for n in range(200)]
    assert draws[3] == draw_jitter(np.random.default_rng(3))
    values = np.array([[d.brightness, d.contrast, d.saturation, d.hue + 1] for d in draws])
    assert values.min() >= 0.9 and values.max() <= 1.1 and values.std(0).min() > 0.04
    assert len({d.order for d in draws}) == 24
    assert cv2.norm(colour_jitter(picture()[None], draws[0])[0], picture()) > 0
