import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from talkbench.methods.makeittalk.pool_choice import PoolsOfTheReference, _summed_in_order
from talkbench.nn import vgg
from talkbench.nn.conv import conv


def test_the_order_of_sums_changes_rounding_only():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        for channels in (3, 32):
            x, kernel, bias = (
                rng.normal(size=shape).astype(np.float32)
                for shape in ((2, 5, 6, channels), (3, 3, channels, 4), (4,))
            )
            made = _summed_in_order(jnp.asarray(x), jnp.asarray(kernel), jnp.asarray(bias))
            assert made.dtype == jnp.float32
            np.testing.assert_allclose(made, conv(x, kernel, padding=1) + bias, atol=2e-5)


def test_of_equal_values_the_first_takes_the_whole_gradient(monkeypatch):
    """A flat picture: every window of the first pool is a tie; elsewhere nothing changes."""
    network = vgg.VGG("vgg19", ("relu2_1",), width=0.05)
    with jax.enable_x64(True):
        noise = np.random.default_rng(1).uniform(size=(1, 24, 24, 3))
        start = jax.tree.map(
            lambda a: np.asarray(a, np.float32).astype(np.float64),
            network.init(jax.random.key(0), jnp.asarray(noise)),
        )

        def slope(images, chosen):
            def total(images):
                if not chosen:
                    return network.apply(start, images)["relu2_1"].sum()
                with nn.intercept_methods(PoolsOfTheReference(images)):
                    return network.apply(start, images)["relu2_1"].sum()

            return np.asarray(jax.grad(total)(jnp.asarray(images)))

        np.testing.assert_allclose(slope(noise, True), slope(noise, False), atol=1e-9)
        flat = np.full((1, 24, 24, 3), 0.5)
        shared, first = slope(flat, False), slope(flat, True)
        monkeypatch.setattr(vgg, "max_pool", lambda x, window: x[:, ::2, ::2])
        inside = np.s_[0, 9:15, 9:15]  # where no border reaches
        np.testing.assert_allclose(first[inside], slope(flat, False)[inside], atol=1e-9)
        assert not np.allclose(first[inside], shared[inside], atol=1e-6)
