import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.evaluators import s3fd

rng = np.random.default_rng(0)


def naive(boxes, scores, overlap, pixels):
    keep = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for j in keep:
            w = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]) + pixels
            h = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]) + pixels
            area = [
                (boxes[k, 2] - boxes[k, 0] + pixels) * (boxes[k, 3] - boxes[k, 1] + pixels) for k in (i, j)
            ]
            shared = max(w, 0) * max(h, 0)
            if shared / (sum(area) - shared) > overlap:
                break
        else:
            keep.append(i)
    return keep


@pytest.mark.parametrize("pixels", [0.0, 1.0])
def test_suppress(pixels):
    low = rng.uniform(0, 60, (80, 2))
    boxes, scores = np.concatenate([low, low + rng.uniform(5, 40, (80, 2))], 1), rng.uniform(size=80)
    keep = s3fd.suppress(boxes, scores, 0.3, pixels=pixels)
    assert 5 < len(keep) < 60
    assert keep.tolist() == naive(boxes, scores, 0.3, pixels)
    best = np.argsort(-scores)[:10]
    assert set(s3fd.suppress(boxes, scores, 0.3, pixels=pixels, most=10)) <= set(best)
    assert s3fd.suppress(boxes[:0], scores[:0], 0.3).shape == (0,)


def empty_levels(size=128):
    sides = [size // stride for stride in s3fd.STRIDES]
    return [[np.tile(np.float32([5, -5]), (n, n, 1)), np.zeros((n, n, 4), np.float32)] for n in sides]


def test_fan_port_decodes_by_hand():
    levels = empty_levels()
    assert s3fd.candidates_fan(levels).shape == (0, 5)
    levels[2][0][3, 5] = 0, 2  # stride 16, row 3, column 5
    levels[2][1][3, 5] = 1, -2, 0, np.log(2) / 0.2
    (row,) = s3fd.candidates_fan(levels)
    cx, cy, w, h = 8 + 5 * 16 + 0.1 * 64, 8 + 3 * 16 - 0.2 * 64, 64, 128
    expected = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, 1 / (1 + np.exp(-2))]
    np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_syncnet_port_decodes_by_hand():
    levels = empty_levels()
    levels[4][0][1, 0] = 0, 3  # stride 64
    priors = s3fd.priors_syncnet([a.shape[:2] for a, _ in levels], 128, 128)
    offsets, scores = s3fd.flatten_syncnet(levels)
    assert len(priors) == len(offsets) == len(scores) == 1365
    (row,) = s3fd.candidates_syncnet(offsets, scores, priors)
    cx, cy, side = 0.5 * 64 / 128, 1.5 * 64 / 128, 256 / 128
    expected = [1 / (1 + np.exp(-3)), cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2]
    np.testing.assert_allclose(row, expected, rtol=1e-5)
    wide = s3fd.priors_syncnet([(2, 3)] + [(1, 1)] * 5, 8, 12)
    np.testing.assert_allclose(wide[4], [1.5 * 4 / 12, 1.5 * 4 / 8, 16 / 12, 16 / 8])


def test_map_sizes():
    """The coarse maps of the fan port are four cells larger; the syncnet port's third pool rounds up."""
    sizes = {}
    for port in s3fd.PORTS:
        shapes = jax.eval_shape(s3fd.S3FD(port).apply, s3fd.abstract(), jnp.zeros((1, 132, 196, 3)))
        sizes[port] = [scores.shape[1:3] for scores, _ in shapes]
        assert all(boxes.shape[1:3] == scores.shape[1:3] and boxes.shape[3] == 4 for scores, boxes in shapes)
    assert sizes["syncnet"] == [(33, 49), (17, 25), (8, 12), (4, 6), (2, 3), (1, 2)]
    assert sizes["fan"] == [(33, 49), (16, 24), (8, 12), (8, 10), (4, 5), (2, 3)]


def test_detectors_join_the_parts(monkeypatch):
    """Batches are filled up, each image is decoded by itself, boxes are in pixels of the whole frame."""
    seen = []

    def levels(variables, images, port):
        seen.append((port, images.shape))
        size = images.shape[1]
        rows = [empty_levels(size) for _ in images]
        for image, row in zip(images, rows):
            if image.max() > 0:  # a face at stride 32, row 1, column 1
                row[3][0][1, 1] = 0, 9
        return [tuple(np.stack([row[i][k] for row in rows]) for k in (0, 1)) for i in range(6)]

    monkeypatch.setattr(s3fd, "levels", levels)
    frames = np.zeros((3, 512, 512, 3), np.uint8)
    frames[1] = 200
    found = s3fd.detect(None, frames[:, :128, :128], batch=2)
    assert [len(f) for f in found] == [0, 1, 0] and seen == [("fan", (2, 128, 128, 3))] * 2
    np.testing.assert_allclose(found[1][0, :4], [48 - 64, 48 - 64, 48 + 64, 48 + 64], atol=1e-4)
    boxes = s3fd.largest(found)
    assert np.isnan(boxes[[0, 2]]).all() and not np.isnan(boxes[1]).any()
    seen.clear()
    found = s3fd.detect_syncnet(None, frames, batch=3)
    assert seen == [("syncnet", (3, 128, 128, 3))] and [len(f) for f in found] == [0, 1, 0]
    np.testing.assert_allclose(found[1][0, :4], [4 * -16, 4 * -16, 4 * 112, 4 * 112], atol=1e-2)
