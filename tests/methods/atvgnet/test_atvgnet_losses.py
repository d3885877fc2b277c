import jax
import numpy as np
import pytest

from talkbench.methods.atvgnet import losses


def test_pixel_loss_by_hand():
    fake, real = np.zeros((1, 1, 1, 2, 3)), np.ones((1, 1, 1, 2, 3))
    attention = np.array([0.0, 1.0]).reshape(1, 1, 1, 2, 1)
    assert losses.pixel(fake, real, attention) == pytest.approx((0.5 + 1.5) / 2)
    assert losses.pixel(fake, 3 * real, attention, beta=0.0) == pytest.approx(1.5)


def test_attention_as_a_weight_has_no_gradient():
    fake, real = np.zeros((1, 1, 1, 2, 3)), np.ones((1, 1, 1, 2, 3))
    attention = np.full((1, 1, 1, 2, 1), 0.5)
    to_fake, to_attention = jax.grad(losses.pixel, (0, 2))(fake, real, attention)
    np.testing.assert_allclose(to_fake, -1 / 6, rtol=1e-6)
    assert not np.any(to_attention)


def test_landmark_loss_weighs_the_mouths_y():
    weights = losses.landmark_weights()
    assert weights.sum() == 116 + 20 * 100 and set(np.flatnonzero(weights > 1)) == {*range(97, 136, 2)}
    for index, weight in ((0, 1), (96, 1), (97, 100), (95, 1)):
        wrong = np.zeros((1, 1, 136))
        wrong[..., index] = 2
        assert losses.landmark(wrong, np.zeros((1, 1, 136))) == pytest.approx(
            (2 * weight) ** 2 / 136, rel=1e-6
        )


def test_judgements():
    logit = np.array([0.0, np.log(3.0)])  # probabilities 1/2 and 3/4
    assert losses.judged(logit, True) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)
    assert losses.judged(logit, False) == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2)
    assert np.isfinite(losses.judged(np.array([-1000.0]), True))


def test_codes():
    assert losses.codes(np.array([1.0, 3.0]), np.array([0.0, 1.0])) == pytest.approx(2.5)
