"""Crops and stretches: the published union-box recipe on made-up tracks."""

import numpy as np
import pytest

from talkbench.data.prepare.faces import boxes_of, follow, overlap
from talkbench.data.prepare.segments import Dropped, chunks, enlarged, inside


def track(count, step=(0.0, 0.0), box=(100.0, 80.0, 180.0, 200.0)):
    return np.array(box) + np.arange(count)[:, None] * np.array([*step, *step])


def test_enlarged_is_the_published_square():
    # a = 0.1: dh = max(0.1, (1.2 * 80 - 120) / 240) = 0.1, dw = max(0.1, (1.2 * 120 - 80) / 160) = 0.4
    assert enlarged(np.array([100, 80, 180, 200]), 0.1) == (68, 68, 212, 212)
    left, top, right, bottom = enlarged(np.array([10.4, 20.6, 110.2, 60.1]), 0.1)
    assert right - left == pytest.approx(1.2 * 99.8, abs=1) and bottom - top == pytest.approx(
        1.2 * 99.8, abs=1
    )
    assert enlarged(np.array([2, 2, 12, 12]), 0.5) == (
        -3,
        -3,
        17,
        17,
    )  # may leave the picture; truncated towards zero
    assert enlarged(np.array([0.9, 0.9, 4.9, 4.9]), 0.25) == (0, 0, 5, 5)


def test_inside_refuses_any_overhang():
    assert inside((0, 0, 64, 64), 64, 64) == (0, 0, 64, 64)
    for box in ((-1, 0, 63, 64), (0, -1, 64, 63), (1, 0, 65, 64), (0, 1, 64, 65), (5, 5, 6, 6)):
        with pytest.raises(Dropped, match="out_of_frame"):
            inside(box, 64, 64)


def test_overlap_counts_pixels_inclusively():
    assert overlap((0, 0, 9, 9), (0, 0, 9, 9)) == 1
    assert overlap((0, 0, 9, 9), (5, 0, 14, 9)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 9, 9), (10, 0, 19, 9)) == 0


def test_a_still_face_is_one_chunk_and_long_ones_are_divided():
    assert [(a, b) for a, b, _ in chunks(track(100), 0.25, 1024)] == [(0, 100)]
    assert [(a, b) for a, b, _ in chunks(track(2500), 0.25, 1024)] == [(0, 1024), (1024, 2048), (2048, 2500)]


def test_a_face_that_wanders_off_begins_a_new_chunk():
    boxes = track(100, step=(1.0, 0.0))
    found = list(chunks(boxes, 0.25, 1024))
    assert [a for a, _, _ in found][1:] == [b for _, b, _ in found][:-1] and found[-1][1] == 100
    for a, b, union in found:
        assert all(overlap(boxes[a], boxes[n]) >= 0.25 for n in range(a, b))
        np.testing.assert_array_equal(union, [boxes[a][0], 80, boxes[b - 1][2], 200])
        assert b == 100 or overlap(boxes[a], boxes[b]) < 0.25


def test_follow_fills_gaps_and_ends_tracks_that_are_lost():
    left, right = np.array([10.0, 10, 30, 30]), np.array([60.0, 10, 100, 50])
    found = {n: left[None] for n in range(0, 50, 5)} | {n: np.zeros((0, 4)) for n in range(50, 150, 5)}
    found |= {n: right[None] for n in range(150, 200, 5)}
    found[10] = np.zeros((0, 4))  # one miss
    tracks = follow(found, 0, 200, gap=25)
    assert [(first, first + len(boxes)) for first, boxes in tracks] == [(0, 71), (125, 200)]
    np.testing.assert_array_equal(tracks[0][1], np.tile(left, (71, 1)))
    moving = {n: (left + n / 5)[None] for n in range(0, 20, 5)}
    np.testing.assert_allclose(follow(moving, 0, 16, 25)[0][1][7], left + 1.4, rtol=1e-6)


def test_of_two_faces_at_a_time_the_larger_stays():
    small, large = np.array([10.0, 10, 30, 30]), np.array([60.0, 10, 100, 50])
    tracks = follow({n: np.stack([large, small]) for n in range(0, 60, 5)}, 0, 60, 25)
    assert len(tracks) == 1
    np.testing.assert_array_equal(tracks[0][1][0], large)


def test_face_boxes_reach_above_the_brows():
    points = np.random.default_rng(0).uniform(20, 60, (3, 68, 3))
    for box, p in zip(boxes_of(points), points):
        low, high = p[:, :2].min(0), p[:, :2].max(0)
        np.testing.assert_allclose(box, [low[0], low[1] - 0.25 * (high[1] - low[1]), *high], rtol=1e-5)
