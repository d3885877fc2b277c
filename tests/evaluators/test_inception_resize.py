import numpy as np
import pytest
from PIL import Image

from talkbench.evaluators import inception

rng = np.random.default_rng(0)


@pytest.mark.parametrize("height, width", [(40, 64), (330, 400), (299, 20)])
def test_clean_is_pillow(height, width):
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    planes = [Image.fromarray(image[..., c].astype(np.float32), mode="F") for c in range(3)]
    planes = [np.asarray(plane.resize((299, 299), Image.Resampling.BICUBIC)) for plane in planes]
    ours = np.asarray(inception.resize_clean(image[None].astype(np.float32)))[0]
    np.testing.assert_allclose(ours, np.clip(np.stack(planes, -1), 0, 255), atol=1e-3)


def test_tf1_by_hand():
    x = rng.uniform(0, 255, (1, 5, 7, 1)).astype(np.float32)
    ours = np.asarray(inception.resize_tf1(x, (9, 4)))[0, ..., 0]
    for i in range(9):
        for j in range(4):
            y, x0 = i * 5 / 9, j * 7 / 4
            a, b = int(y), int(x0)
            fy, fx = y - a, x0 - b
            rows = [x[0, min(a + k, 4), [b, min(b + 1, 6)], 0] @ [1 - fx, fx] for k in (0, 1)]
            assert ours[i, j] == pytest.approx(rows[0] * (1 - fy) + rows[1] * fy, rel=1e-5)


def test_average_leaves_padding_out():
    x = np.ones((1, 4, 5, 2), np.float32)
    np.testing.assert_allclose(inception._average(x), x, rtol=1e-6)
    x = rng.standard_normal((1, 4, 5, 1)).astype(np.float32)
    assert np.asarray(inception._average(x))[0, 0, 0, 0] == pytest.approx(x[0, :2, :2].mean(), rel=1e-5)


def test_three_ways_lead_to_different_inputs():
    images = rng.integers(0, 256, (1, 64, 64, 3), np.uint8)
    made = {name: np.asarray(prepare(images)) for name, prepare in inception.PREPARE.items()}
    for name, array in made.items():
        assert array.shape == (1, 299, 299, 3) and -1 <= array.min() < -0.5 and 0.5 < array.max() <= 1, name
    assert np.abs(made["fid"] - made["fid_tf1"]).max() > 0.1
    assert np.abs(made["fid"] - made["fid_clean"]).max() > 0.02
