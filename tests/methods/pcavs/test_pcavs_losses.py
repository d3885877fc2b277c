import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.pcavs import losses


def output(score, picture=0.0, feature=0.0):
    return [[jnp.full((1, 4, 4, 3), picture), jnp.full((1, 2, 2, 5), feature), jnp.full((1, 3, 3, 1), score)]]


def test_adversarial_terms_by_hand():
    real, fake = output(0.25), output(-0.5)
    of = losses.adversarial
    assert float(of(real, True)) == pytest.approx(0.75)
    assert float(of(fake, False)) == pytest.approx(0.5)
    assert float(of(fake, True, for_discriminator=False)) == pytest.approx(0.5)
    assert float(of(fake, False, "ls")) == pytest.approx(0.25)
    assert float(of(real, True, "ls")) == pytest.approx(0.75**2)
    assert float(of(real, True, "original")) == pytest.approx(np.log1p(np.exp(-0.25)), rel=1e-5)
    assert float(of(fake, False, "w")) == pytest.approx(-0.5)
    assert float(of(real + fake, True)) == pytest.approx((0.75 + 1.5) / 2)  # scales are averaged
    with pytest.raises(ValueError, match="hinge, ls, original or w"):
        of(fake, True, "wgan")


def test_feature_matching_has_the_picture_as_a_level_unless_told_otherwise():
    real, fake = output(1.0, 0.5, 2.0), output(9.0, 0.25, 1.0)
    assert float(losses.feature_matching(real, fake)) == pytest.approx(1.25)
    assert float(losses.feature_matching(real, fake, image=2.0)) == pytest.approx(1.5)
    assert float(losses.feature_matching(real, fake, levels="features")) == pytest.approx(1.0)
    gradient = jax.grad(lambda x: losses.feature_matching(output(0.0, x, x), fake))(1.0)
    assert float(gradient) == 0


def test_contrast_by_hand():
    query = jnp.array([[1.0, 0.0], [0.0, 2.0]])
    keys = jnp.array([[0.0, 3.0], [1.0, 0.0]])  # each other's
    far, near = 1 / np.sqrt(2), 1 / 0.5
    made = losses.contrastive(query, keys, eps=0.5)
    assert float(made) == pytest.approx(np.log(np.exp(far) + np.exp(near)) - far, rel=1e-4)
    made = losses.contrastive(query, keys, "cosine")
    assert float(made) == pytest.approx(np.log1p(np.e), rel=1e-4)
    own = query[:, None]
    assert float(losses.contrastive(query, query, "cosine", own)) == pytest.approx(
        np.log(2 + 1 / np.e), rel=1e-4
    )
    with pytest.raises(ValueError, match="distance or cosine"):
        losses.contrastive(query, keys, "euclid")


def test_identical_rows_are_finite_with_finite_gradients():
    x = jax.random.normal(jax.random.key(0), (4, 8))
    value, gradient = jax.value_and_grad(losses.contrastive)(x, x)
    assert np.isfinite(value) and float(value) < 1e-6
    assert np.isfinite(gradient).all()


def test_class_losses_by_hand():
    scores = jnp.array([[np.log(3.0), 0.0], [0.0, 0.0]])
    labels = jnp.array([0, 1])
    expected = (np.log(4 / 3) + np.log(2)) / 2
    assert float(losses.cross_entropy(scores, labels)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.evenness(scores)) == pytest.approx(0.25**2 / 2)
    assert float(losses.log_evenness(jnp.zeros((3, 7)))) == pytest.approx(0, abs=1e-6)
