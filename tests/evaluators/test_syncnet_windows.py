import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.evaluators import syncnet

rng = np.random.default_rng(0)


def test_window_count():
    assert syncnet.window_count(21, 21 * 640) == 16
    assert syncnet.window_count(50, 30 * 640 + 639) == 25
    assert syncnet.window_count(4, 640 * 100) == 0


def test_windows_of_frames(monkeypatch):
    calls = []

    def lip(variables, frames):
        calls.append(len(frames))
        return np.stack([frames[i : i + 5].astype(int).sum(0)[0, 0] for i in range(len(frames) - 4)])

    monkeypatch.setattr(syncnet, "_lip", lip)
    frames = np.zeros((20, 224, 224, 3), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None]
    out = syncnet.video_features(None, frames, 15, batch=4)
    np.testing.assert_array_equal(out[:, 0], 5 * np.arange(15) + 10)
    assert set(calls) == {8}
    with pytest.raises(ValueError, match="needs 24 frames"):
        syncnet.video_features(None, frames, 20)
    assert syncnet.video_features(None, frames, 0).shape == (0, 1024)


def test_windows_of_sound(monkeypatch):
    monkeypatch.setattr(syncnet, "_sound", lambda variables, x: x[:, 2, :, 0])
    coefficients = np.arange(83)[:, None] + np.zeros((83, 13))
    out = syncnet.audio_features(None, coefficients, 16, batch=5)
    np.testing.assert_array_equal(out, 4 * np.arange(16)[:, None] + np.arange(20))
    with pytest.raises(ValueError, match="needs 84 columns"):
        syncnet.audio_features(None, coefficients, 17)


def test_flat_convolution_is_a_3d_one():
    x = jnp.asarray(rng.standard_normal((2, 9, 8, 3)), jnp.float32)
    layer = syncnet._FlatConv(4, 3, 2, 1)
    variables = layer.init(jax.random.key(0), x)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (1, 3, 3, 3, 4)
    numbers = ("NDHWC", "DHWIO", "NDHWC")
    pads = ((0, 0), (1, 1), (1, 1))
    full = jax.lax.conv_general_dilated(x[:, None], kernel, (1, 2, 2), pads, dimension_numbers=numbers)
    np.testing.assert_allclose(layer.apply(variables, x), full[:, 0], atol=1e-5)


def test_shapes():
    network, variables = syncnet.SyncNet(), syncnet.abstract()
    lips, sounds = jnp.zeros((3, 5, 224, 224, 3)), jnp.zeros((3, 13, 20, 1))

    def run(method, x):
        return jax.eval_shape(lambda v, x: network.apply(v, x, method=method), variables, x).shape

    assert run("lip", lips) == run("sound", sounds) == (3, 1024) and run("lip_features", lips) == (3, 512)


def box(x, y, side=120.0):
    return np.array([x, y, x + side, y + side, 0.99])


def test_tracks():
    """Two people, one of them hidden for a while; a third face is too small, a fourth too short."""
    frames = []
    for t in range(60):
        faces = [box(500 - t, 40)]
        if not 20 <= t < 30:
            faces.insert(0, box(10 + t, 20 + 0.5 * t))
        faces.append(box(300, 300, 40.0))
        if t < 10:
            faces.append(box(700, 10))
        frames.append(np.array(faces))
    found = syncnet.tracks(frames, smallest=25)
    assert len(found) == 2
    for numbers, boxes in found:
        assert numbers.tolist() == list(range(60)) and boxes.shape == (60, 4)
    first = next(boxes for _, boxes in found if boxes[0, 0] < 100)
    np.testing.assert_allclose(first[25], box(35, 32.5)[:4], atol=1e-6)  # interpolated
    assert syncnet.tracks(frames, smallest=60) == [] and syncnet.tracks([np.zeros((0, 5))] * 9) == []


def test_long_gap_ends_a_track():
    frames = [np.array([box(10, 10)]) if t < 40 or t >= 70 else np.zeros((0, 5)) for t in range(110)]
    found = syncnet.tracks(frames, smallest=25)
    assert [(numbers[0], numbers[-1]) for numbers, _ in found] == [(0, 39), (70, 109)]


def test_crop_track():
    frames = np.zeros((30, 200, 200, 3), np.uint8)
    frames[:, 80:120, 80:120] = 250
    numbers, boxes = np.arange(5, 25), np.tile([70.0, 70, 130, 130], (20, 1))
    faces = syncnet.crop_track(frames, numbers, boxes)
    assert faces.shape == (20, 224, 224, 3)
    middle = faces[10, ..., 0]
    # side 84 from x 58 to 142, y 70 to 154: the square of 40 px begins at 22/84 and 10/84
    ys, xs = np.nonzero(middle > 128)
    np.testing.assert_allclose(
        [xs.min(), xs.max(), ys.min(), ys.max()], np.array([22, 62, 10, 50]) * 224 / 84, atol=2
    )
    edge = syncnet.crop_track(frames, numbers, boxes - 70)
    assert (edge[10, 120:, :20] == syncnet.GREY).all()


def test_whole_frames():
    frames = rng.integers(0, 256, (3, 64, 64, 3), np.uint8)
    out = syncnet.whole_frames(frames, batch=2)
    assert out.shape == (3, 224, 224, 3) and out.dtype == np.uint8
    same = syncnet.whole_frames(np.repeat(np.repeat(frames[:1, :1, :1], 224, 1), 224, 2))
    np.testing.assert_array_equal(same[0, 0, 0], frames[0, 0, 0, ::-1])
