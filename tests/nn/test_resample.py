import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from talkbench.nn import warp
from talkbench.nn.pool import avg_pool, global_avg_pool, max_pool
from talkbench.nn.resize import (
    gaussian_downsample,
    gaussian_kernel,
    resize_antialias,
    resize_linear,
    resize_nearest,
    upsample_nearest,
)
from talkbench.nn.warp import coordinate_grid

KEY = jax.random.key(0)

grid_sample = jax.jit(warp.grid_sample, static_argnames=("padding_mode", "align_corners"))


def images(*shape):
    return jax.random.normal(KEY, shape)


@pytest.mark.parametrize("size", [(8, 10), (7, 3), (4, 13)])
def test_linear_resize_equals_jax_without_antialiasing(size):
    x = images(2, 4, 5, 3)
    expected = jax.image.resize(x, (2, *size, 3), "linear", antialias=False)
    np.testing.assert_allclose(resize_linear(x, size), expected, atol=1e-5)


def test_antialiased_resize_equals_jax():
    x = images(2, 16, 12, 3)
    expected = jax.image.resize(x, (2, 7, 5, 3), "linear", antialias=True)
    np.testing.assert_allclose(resize_antialias(x, (7, 5)), expected, atol=1e-5)


def test_corner_aligned_resize_keeps_corners_and_lines():
    line = jnp.linspace(2, 5, 4).reshape(1, 4, 1)
    np.testing.assert_allclose(
        resize_linear(line, (7,), align_corners=True)[0, :, 0], np.linspace(2, 5, 7), rtol=1e-6
    )


def test_nearest():
    x = jnp.arange(4.0).reshape(1, 4, 1)
    assert resize_nearest(x, (8,))[0, :, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert resize_nearest(x, (2,))[0, :, 0].tolist() == [0, 2]
    assert resize_nearest(x, (6,))[0, :, 0].tolist() == [0, 0, 1, 2, 2, 3]
    volume = images(1, 2, 3, 4, 2)
    np.testing.assert_array_equal(upsample_nearest(volume, (1, 2, 2)), volume.repeat(2, 2).repeat(2, 3))


def test_gaussian_downsample_is_filter_then_stride():
    x = images(1, 16, 24, 1)
    kernel = gaussian_kernel(0.25)
    assert len(kernel) == 13 and kernel.sum() == pytest.approx(1)
    full = np.outer(kernel, kernel)[:, :, None, None]
    filtered = jax.lax.conv_general_dilated(
        x, full, (1, 1), ((6, 6), (6, 6)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(gaussian_downsample(x, 0.25), filtered[:, ::4, ::4], atol=1e-6)
    assert gaussian_downsample(x, 1.0) is x


def test_pools_cut_what_does_not_fill_a_block():
    x = images(2, 5, 6, 3)
    np.testing.assert_allclose(
        avg_pool(x, (2, 3))[:, 1, 1], x[:, 2:4, 3:6].mean((1, 2)), rtol=1e-5, atol=1e-6
    )
    assert avg_pool(x, (2, 3)).shape == max_pool(x, (2, 3)).shape == (2, 2, 2, 3)
    np.testing.assert_array_equal(max_pool(x, (2, 2)), max_pool(x, (2, 2), (2, 2), (0, 0)))
    assert max_pool(x, (3, 3), (2, 2), (1, 1)).shape == (2, 3, 3, 3)
    assert float(max_pool(-jnp.ones((1, 4, 4, 1)), (3, 3), (2, 2), (1, 1)).max()) == -1
    assert global_avg_pool(x).shape == (2, 3)


@pytest.mark.parametrize("size", [(5, 7), (3, 4, 6)])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_corner_aligned_identity(size, padding):
    x = images(2, *size, 3)
    grid = jnp.broadcast_to(coordinate_grid(size), (2, *size, len(size)))
    np.testing.assert_allclose(grid_sample(x, grid, padding, align_corners=True), x, atol=1e-5)


def test_identity_grid_is_no_identity_without_corner_alignment():
    x = jnp.ones((1, 4, 4, 1))
    made = grid_sample(x, coordinate_grid((4, 4))[None])
    assert float(made[0, 0, 0, 0]) == pytest.approx(0.25)  # half a pixel is lost on each of two sides
    assert float(made[0, 1, 1, 0]) == pytest.approx(1)


def test_outside():
    x = jnp.array([[1.0, 2.0, 3.0, 4.0]])[:, None, :, None]  # one row of four pixels

    def at(position, padding):  # in pixels
        grid = jnp.array([(2 * position + 1) / 4 - 1, 0.0]).reshape(1, 1, 1, 2)
        return float(grid_sample(x, grid, padding)[0, 0, 0, 0])

    assert at(4.0, "zeros") == 0
    assert at(3.5, "zeros") == pytest.approx(2)
    assert at(7.0, "border") == pytest.approx(4)
    assert at(4.25, "reflection") == pytest.approx(3.75)
    assert at(-1.25, "reflection") == pytest.approx(1.25)
    assert at(1e9, "zeros") == 0 and at(float("nan"), "zeros") == 0


def test_several_flows_sample_one_volume():
    x = images(2, 3, 4, 5, 2)
    grid = jax.random.uniform(KEY, (2, 3, 2, 2, 6, 3), minval=-1, maxval=1)
    together = grid_sample(x, grid)
    assert together.shape == (2, 3, 2, 2, 6, 2)
    np.testing.assert_allclose(together[..., 4, :], grid_sample(x, grid[..., 4, :]), atol=1e-6)


def test_gradients_of_sampling():
    x = images(1, 4, 5, 2)
    # positions well inside pixels: the derivative jumps at their centres
    grid = coordinate_grid((3, 3))[None] * 0.37 + 0.11
    check_grads(grid_sample, (x, jnp.asarray(grid)), 1, ["rev"], atol=2e-2, rtol=2e-2)


def test_wrong_grids_are_named():
    x = images(2, 4, 5, 1)
    with pytest.raises(ValueError, match="does not fit"):
        warp.grid_sample(x, jnp.zeros((2, 3, 3, 3)))
    with pytest.raises(ValueError, match="zeros, border or reflection"):
        warp.grid_sample(x, jnp.zeros((2, 3, 3, 2)), "mirror")
