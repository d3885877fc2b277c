import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv, Linear
from talkbench.nn.norm import BatchNorm, InstanceNorm, instance_norm

KEY = jax.random.key(0)


def test_batch_norm_keeps_the_unbiased_variance_and_normalises_by_the_biased_one():
    x = jnp.array([[0.0], [2.0]])
    layer = BatchNorm()
    variables = layer.init(KEY, x)
    y, state = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y[:, 0], np.array([-1, 1]) / np.sqrt(1 + 1e-5), rtol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["mean"], [0.1], rtol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["var"], [0.9 * 1 + 0.1 * 2], rtol=1e-6)
    np.testing.assert_allclose(
        layer.apply({**variables, **state}, x)[:, 0],
        (np.array([0, 2]) - 0.1) / np.sqrt(1.1 + 1e-5),
        rtol=1e-6,
    )


def test_train_mode_works_on_frozen_statistics():
    x = jax.random.normal(KEY, (4, 3, 2))
    layer = BatchNorm(affine=False)
    variables = layer.init(KEY, x)
    np.testing.assert_allclose(layer.apply(variables, x, train=True).mean((0, 1)), 0, atol=1e-6)


def test_statistics_of_half_precision_inputs_are_float32():
    x = (1000 + jax.random.normal(KEY, (64, 2))).astype(jnp.bfloat16)
    layer = BatchNorm()
    y, state = layer.apply(layer.init(KEY, x), x, train=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert state["batch_stats"]["var"].dtype == jnp.float32
    np.testing.assert_allclose(
        state["batch_stats"]["mean"], 0.1 * np.asarray(x, np.float64).mean(0), rtol=1e-5
    )


def test_instance_norm():
    x = 5 + 3 * jax.random.normal(KEY, (2, 6, 7, 3))
    y = instance_norm(x)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), 1, atol=1e-4)
    layer = InstanceNorm()
    variables = {"params": {"scale": jnp.full(3, 2.0), "bias": jnp.arange(3.0)}}
    np.testing.assert_allclose(layer.apply(variables, x), 2 * y + jnp.arange(3.0), atol=1e-5)


def test_spectral_norm_finds_the_largest_singular_value():
    x = jnp.ones((1, 5, 5, 4))
    layer = Conv(6, (3, 3), spectral=True, use_bias=False)
    variables = layer.init(KEY, x)
    kernel = variables["params"]["kernel"]
    stats = variables["batch_stats"]
    assert stats["u"].shape == (6,) and stats["v"].shape == (3, 3, 4)
    for _ in range(60):
        _, new = layer.apply(
            {"params": variables["params"], "batch_stats": stats}, x, train=True, mutable=["batch_stats"]
        )
        stats = new["batch_stats"]
    sigma = np.linalg.svd(np.asarray(kernel).reshape(-1, 6), compute_uv=False)[0]
    plain = Conv(6, (3, 3), use_bias=False).apply({"params": {"kernel": kernel / sigma}}, x)
    made = layer.apply({"params": variables["params"], "batch_stats": stats}, x)
    np.testing.assert_allclose(made, plain, rtol=1e-4, atol=1e-5)


def test_spectral_norm_steps_in_train_mode_only_and_stores_only_where_it_may():
    layer = Linear(3, spectral=True)
    x = jnp.ones((2, 4))
    variables = layer.init(KEY, x)
    _, kept = layer.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_array_equal(kept["batch_stats"]["u"], variables["batch_stats"]["u"])
    stepped, new = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    assert not np.allclose(new["batch_stats"]["u"], variables["batch_stats"]["u"])
    np.testing.assert_allclose(layer.apply(variables, x, train=True), stepped, rtol=1e-6)


def test_gradient_passes_through_sigma_with_fixed_vectors():
    layer = Linear(3, spectral=True, use_bias=False)
    x = jax.random.normal(KEY, (2, 4))
    variables = layer.init(KEY, x)
    stats = variables["batch_stats"]

    def through_layer(kernel):
        return (layer.apply({"params": {"kernel": kernel}, "batch_stats": stats}, x) ** 2).sum()

    def by_hand(kernel):
        return ((x @ kernel / (stats["v"] @ kernel @ stats["u"])) ** 2).sum()

    kernel = variables["params"]["kernel"]
    np.testing.assert_allclose(jax.grad(through_layer)(kernel), jax.grad(by_hand)(kernel), rtol=1e-4)
