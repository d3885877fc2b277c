import numpy as np
import pytest

from talkbench.methods.hdtf.steady import steadied
from talkbench.nn.warp import coordinate_grid

SIZE = 16


def still(frames: int) -> np.ndarray:
    return np.broadcast_to(coordinate_grid((SIZE, SIZE)), (frames, SIZE, SIZE, 2)).astype(np.float32)


def test_noise_shrinks_and_what_changes_stays():
    rng = np.random.default_rng(0)
    truth = np.full((12, SIZE, SIZE, 3), 0.3, np.float32)
    truth[6:, 4:8, 4:8] = 0.9  # a mouth opens
    drawn = truth + rng.normal(0, 0.02, truth.shape).astype(np.float32)
    made = np.asarray(steadied(drawn[0], drawn, still(12), 0.6))
    change = lambda x: np.abs(np.diff(x, axis=0))[:, 10:].mean()  # noqa: E731
    assert change(made) < 0.6 * change(drawn)
    np.testing.assert_allclose(made[6, 4:8, 4:8], drawn[6, 4:8, 4:8], atol=1e-6)
    np.testing.assert_array_equal(steadied(drawn[0], drawn, still(12), 0.0), drawn)


def test_leans_on_the_frame_before_where_the_mesh_moved_it():
    """A picture that slides a pixel a frame, with a flickering brightness."""
    rng = np.random.default_rng(1)
    wide = rng.uniform(size=(SIZE, SIZE + 8, 3)).astype(np.float32)
    slides = np.stack([wide[:, t : t + SIZE] for t in range(8)])
    drawn = slides + (0.02 * (-1.0) ** np.arange(8, dtype=np.float32))[:, None, None, None]
    flows = still(8) + np.float32([2 / (SIZE - 1), 0])
    made = np.asarray(steadied(drawn[0], drawn, flows, 0.6))
    inner = np.s_[2:, :, : SIZE - 1]
    assert np.abs(made - slides)[inner].mean() < 0.75 * np.abs(drawn - slides)[inner].mean()
    unmoved = np.asarray(steadied(drawn[0], drawn, still(8), 0.6))
    assert np.abs(unmoved - slides)[inner].mean() > np.abs(made - slides)[inner].mean()


def test_parts_of_a_clip_make_the_whole():
    drawn = np.random.default_rng(2).uniform(size=(6, SIZE, SIZE, 3)).astype(np.float32)
    whole = np.asarray(steadied(drawn[0], drawn, still(6), 0.5))
    second = steadied(whole[2], drawn[3:], still(3), 0.5)
    np.testing.assert_allclose(second, whole[3:], atol=1e-6)
    assert whole[0] == pytest.approx(drawn[0])
