import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.hdtf import losses
from talkbench.nn.vgg import VGG


def test_parameter_l1_sums_over_parameters():
    target = jnp.zeros((2, 4, 3))
    assert float(losses.parameter_l1(target + jnp.array([1.0, -2.0, 0.5]), target)) == pytest.approx(3.5)


def test_temporal_ssim_by_hand():
    a, b = jnp.array([0.0, 2.0]), jnp.array([1.0, 2.0])  # means 1, 1.5; variances 1, 0.25; covariance 0.5
    wanted = 1 - (3 + 1e-4) / (3.25 + 1e-4) * (1 + 9e-4) / (1.25 + 9e-4)
    assert float(losses.temporal_ssim(a[None, :, None], b[None, :, None])) == pytest.approx(wanted, rel=1e-5)
    assert float(losses.temporal_ssim(a[None, :, None], a[None, :, None])) == pytest.approx(0, abs=1e-6)
    both = jnp.stack([a, b], -1)[None], jnp.stack([a, a], -1)[None]
    assert float(losses.temporal_ssim(*both)) == pytest.approx(wanted / 2, rel=1e-5)


def test_temporal_ssim_of_a_still_curve_has_a_gradient():
    still, moving = jnp.zeros((1, 5, 1)), jnp.arange(5.0).reshape(1, 5, 1)
    gradient = jax.grad(lambda x: losses.temporal_ssim(x, moving))(still)
    assert bool(jnp.isfinite(gradient).all()) and float(jnp.abs(gradient).max()) > 0


def test_lsgan():
    real, fake = jnp.array([[1.0, 0.0]]), jnp.array([[0.5, -1.0]])
    assert float(losses.generator_gan(fake)) == pytest.approx((0.25 + 4) / 2)
    assert float(losses.discriminator_gan(real, fake)) == pytest.approx(0.5 + (0.25 + 1) / 2)


def test_feature_matching_holds_the_real_maps_fixed():
    real, fake = [jnp.ones((1, 2)), jnp.zeros((1, 1))], [jnp.zeros((1, 2)), jnp.full((1, 1), 3.0)]
    assert float(losses.feature_matching(real, fake)) == pytest.approx(4)
    gradients = jax.grad(lambda real: losses.feature_matching(real, fake))(real)
    assert all(not np.any(x) for x in gradients)


def test_perceptual_is_the_sum_over_taps():
    vgg = VGG(taps=("relu1_1", "relu2_1"), width=0.05)
    images = jax.random.uniform(jax.random.key(1), (2, 1, 8, 8, 3))
    variables = jax.jit(vgg.init)(jax.random.key(0), images[0])
    term = jax.jit(losses.perceptual, static_argnums=0)
    parts = [float(term(VGG(taps=(tap,), width=0.05), variables, *images)) for tap in vgg.taps]
    assert min(parts) > 0
    assert float(term(vgg, variables, *images)) == pytest.approx(sum(parts), rel=1e-5)
