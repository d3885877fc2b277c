"""Losses against values that a reader can work out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.geometry.rotations import head_rotation
from talkbench.geometry.topology import T_SHAPE
from talkbench.methods.makeittalk import framing, losses, translation


def test_neighbours():
    assert (losses.BEFORE[[0, 16, 30, 31, 36, 60]] == [1, 15, 29, 30, 41, 67]).all()
    assert (losses.AFTER[[0, 16, 30, 31, 36, 67]] == [1, 15, 31, 32, 37, 60]).all()


def test_laplacian_of_a_moved_point():
    landmarks = jnp.zeros((68, 3)).at[1, 0].set(1.0)
    made = losses.laplacian(landmarks)[:, 0]
    assert made[1] == 1 and made[2] == -0.5
    assert made[0] == -1  # at the end of a part, both neighbours are the same point
    assert float(jnp.abs(made).sum()) == 2.5


def flat(**moved):
    """A face of zeros but for y of some points."""
    face = np.zeros((68, 3), np.float32)
    for name, value in moved.items():
        face[int(name[1:]), 1] = value
    return face.reshape(1, 204)


def test_content_loss():
    target = np.concatenate([flat(p66=0.1), flat()])
    displacement = np.concatenate([flat(p0=0.3, p48=0.5), flat()])
    terms = losses.content(displacement, flat(), target)
    # frame 0: jaw .3, mouth corner .5 and lower lip .1 times 1 / (4 x .1 + .1)
    assert terms["position"] == pytest.approx((0.3 + 2 * 0.6) / 408)
    assert losses.content(displacement, flat(), target, False)["position"] == pytest.approx(0.9 / 408)
    assert terms["motion"] == pytest.approx(0.9 / 204)
    # each moved point gives itself and half to either side; point 0 ends its part, so its neighbour 1 gets half
    assert terms["laplacian"] == pytest.approx((0.3 * 1.5 + 0.5 * 2 + 0.1 * 2) / 408, rel=1e-5)


def test_the_papers_terms():
    terms = losses.squared(flat(p0=2.0), flat())
    assert terms["position"] == 4 and terms["laplacian"] == 5
    assert losses.realism(jnp.array([1.0, 3.0])) == 4
    assert losses.discrimination(jnp.array([1.0, 3.0]), jnp.array([2.0])) == {"real": 4, "fake": 4}


def test_voice_conversion():
    one = jnp.ones((1, 2, 2))
    terms = losses.voice_conversion(2 * one, 3 * one, one, jnp.zeros((1, 4)), jnp.full((1, 4), -0.5))
    assert {name: float(value) for name, value in terms.items()} == {"coarse": 1, "fine": 4, "codes": 0.5}


def test_translation_terms():
    a, b = jnp.zeros((1, 1, 2, 3)), jnp.ones((1, 1, 2, 3))
    terms = translation.losses(a, b, lambda x: {"first": x[..., :1], "second": 2 * x}, style=True)
    assert terms["l1"] == 1 and terms["perceptual_0"] == 1 and terms["perceptual_1"] == 2
    assert terms["perceptual"] == 3
    # Gram matrices of ones: one channel, 2 / 2; three channels of twos, 8 / 6
    assert terms["style"] == pytest.approx(3e7 * (1 + (8 / 6) ** 2))
    assert "style" not in translation.losses(a, b, lambda x: {"first": x})
    raw = jnp.array([-1.0, 1.0, 0.0])
    np.testing.assert_allclose(translation.shown(translation.picture(raw)), [0, np.tanh(1), 0], rtol=1e-6)
    mixed = translation.picture(
        jnp.concatenate([raw, jnp.log(jnp.array([1.0, 2.0, 1.0]))]), (0.5 + 0 * raw, 1 + 0 * raw)
    )
    np.testing.assert_allclose(mixed, np.tanh(raw) / 4 + 0.25 + 0.25, rtol=1e-5)


def test_manner_is_how_much_and_how_fast_not_when():
    standard = framing.standard_face()
    time = np.arange(188) / 62.5

    def nodding(yaw, pitch, rate, phase=0.0):
        wave = np.sin(2 * np.pi * rate * time + phase)
        angles = np.stack([yaw * wave, pitch * wave, 0 * wave], -1)
        return (standard @ head_rotation(angles).swapaxes(1, 2)).reshape(1, 188, 204)

    def amounts(a):
        return losses.amounts(losses.points(jnp.asarray(a)), standard[T_SHAPE], 62.5)

    def between(a, b):
        return float(losses.manner(jnp.asarray(a), amounts(b), standard[T_SHAPE], 62.5))

    whole = nodding(8, 4, 1.0)
    assert between(whole, whole) == 0
    assert between(nodding(8, 4, 1.0, phase=1.0), whole) < 0.02
    assert between(nodding(8, 4, 2.0), whole) == pytest.approx(2 * np.log(2) ** 2, rel=0.15)  # both speeds
    assert between(nodding(4, 4, 1.0), whole) == pytest.approx(
        2 * np.log(2) ** 2, rel=0.2
    )  # yaw's way and speed
    of_numpy = losses.amounts(whole.reshape(1, 188, 68, 3), standard[T_SHAPE], 62.5)
    assert isinstance(of_numpy, np.ndarray)
    np.testing.assert_allclose(of_numpy, amounts(whole), rtol=1e-5)
    np.testing.assert_allclose(
        amounts(1.2 * whole), amounts(whole), rtol=1e-5
    )  # a larger face does not move more
    still = jnp.broadcast_to(standard.reshape(204), (1, 188, 204))
    slope = jax.grad(lambda x: losses.manner(x, amounts(whole), standard[T_SHAPE], 62.5))(still)
    assert np.isfinite(slope).all()
