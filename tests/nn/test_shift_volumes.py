import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.nn.warp import computed, coordinate_grid, grid_sample, shift_volumes


def test_equals_sampling_at_the_shifted_grid_forwards_and_backwards():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 8, 6, 2)).astype(np.float32)
    shifts = rng.uniform(-0.7, 0.7, (2, 4, 3)).astype(np.float32)
    weight = rng.normal(size=(2, 3, 8, 6, 4, 2)).astype(np.float32)

    def gathered(x, shifts):
        grid = coordinate_grid((3, 8, 6))[None, :, :, :, None] + shifts[:, None, None, None]
        return grid_sample(x, grid)

    np.testing.assert_allclose(shift_volumes(x, shifts), gathered(x, shifts), atol=2e-6)
    gradients = [
        jax.grad(lambda *a, f=f: (f(*a) * weight).sum(), (0, 1))(x, shifts) for f in (shift_volumes, gathered)
    ]
    for ours, theirs in zip(*gradients):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_zero_shift_is_the_identity_grid_and_far_shifts_see_nothing():
    x = jnp.ones((1, 4, 4, 4, 1))
    moved = shift_volumes(x, jnp.array([[[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]]))
    assert moved[0, 1, 1, 1, 0, 0] == 1
    assert not moved[..., 1, :].any()


def test_one_volume_for_many_is_as_good_as_copies():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 3, 8, 6, 2)).astype(np.float32)
    shifts = rng.uniform(-0.7, 0.7, (5, 4, 3)).astype(np.float32)
    grid = coordinate_grid((3, 8, 6))[None] + shifts[:, :1, None, None]
    copies = np.repeat(x, 5, 0)
    np.testing.assert_allclose(shift_volumes(x, shifts), shift_volumes(copies, shifts), atol=1e-6)
    sampled = grid_sample(x, grid)
    np.testing.assert_array_equal(sampled, grid_sample(copies, grid))
    np.testing.assert_array_equal(computed(sampled), sampled)
    with pytest.raises(ValueError, match="does not fit"):
        grid_sample(copies[:2], grid)
