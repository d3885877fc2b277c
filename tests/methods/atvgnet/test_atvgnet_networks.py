import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.atvgnet.blocks import ConvGRU, StepNorm
from talkbench.methods.atvgnet.networks import ATNet, ATSingle, Discriminator, NetworkError, VGNet
from talkbench.nn.norm import BatchNorm

SMALL = {"width": 4, "halvings": 1, "blocks": 1, "dropout": 0.0, "init_scheme": "default"}


def shapes(network, *inputs):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    return jax.eval_shape(lambda key, *x: network.init_with_output(key, *x), jax.random.key(0), *inputs)


def parameters(variables):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables["params"]))


def test_published_sizes():
    made, variables = shapes(ATNet(), (2, 6), (2, 5, 28, 12))
    assert parameters(variables) == 30_071_750
    assert made["codes"].shape == (2, 5, 6) and made["audio_conv"].shape == (2, 5, 12, 2, 512)
    made, variables = shapes(VGNet(), (2, 128, 128, 3), (2, 3, 136), (2, 136))
    assert parameters(variables) == 58_355_781
    assert made["output"].shape == (2, 3, 128, 128, 3) and made["landmark_attention"].shape == (
        2,
        3,
        32,
        32,
        1,
    )
    made, variables = shapes(Discriminator(), (2, 16, 128, 128, 3), (2, 136))
    assert parameters(variables) == 21_491_473 - (
        1024 * 512 + 512 + 512 * 136 + 136
    )  # the decoder that nothing calls
    assert made["landmarks"].shape == (2, 16, 136) and made["logit"].shape == (2,)
    codes, variables = shapes(ATSingle(), (3, 28, 12))
    assert codes.shape == (3, 6) and "batch_stats" not in variables


def test_step_norm_is_one_call_of_batch_norm_a_step():
    x = jax.random.normal(jax.random.key(0), (3 * 2, 4, 5)) * jnp.arange(1, 7)[:, None, None]
    plain, stepwise = BatchNorm(), StepNorm()
    variables = plain.init(jax.random.key(1), x[:2])
    expected, state = [], variables
    for step in range(3):
        y, new = plain.apply(state, x[2 * step : 2 * step + 2], train=True, mutable=["batch_stats"])
        state = {**state, **new}
        expected.append(y)
    made, new = stepwise.apply(variables, x, train=True, steps=3, mutable=["batch_stats"])
    np.testing.assert_allclose(made, jnp.concatenate(expected), atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(new["batch_stats"][name], state["batch_stats"][name], rtol=1e-5)
    together, _ = stepwise.apply(variables, x, train=True, mutable=["batch_stats"])
    assert np.abs(together - made).max() > 0.1
    np.testing.assert_allclose(stepwise.apply(state, x), plain.apply(state, x), atol=1e-5)


def test_gru_goes_on_where_it_stopped():
    x = jax.random.normal(jax.random.key(0), (4, 1, 4, 4, 2))
    net = ConvGRU(3)
    variables = net.init(jax.random.key(1), x)
    whole, last = net.apply(variables, x)
    first, state = net.apply(variables, x[:2])
    second, end = net.apply(variables, x[2:], state)
    np.testing.assert_allclose(whole, jnp.concatenate([first, second]), atol=1e-6)
    np.testing.assert_allclose(last, end, atol=1e-6)
    np.testing.assert_allclose(net.apply(variables, x[:1], jnp.zeros_like(state))[0], first[:1], atol=1e-6)


@pytest.fixture(scope="module")
def small():
    keys = jax.random.split(jax.random.key(0), 4)
    image = jax.random.uniform(keys[0], (2, 16, 16, 3), minval=-1)
    landmarks, example = jax.random.normal(keys[1], (2, 3, 136)), jax.random.normal(keys[2], (2, 136))
    variables = jax.jit(VGNet(**SMALL).init)(keys[3], image, landmarks, example)
    return variables, image, landmarks, example


def test_recurrence_over_the_batch_and_over_time(small):
    variables, image, landmarks, example = small

    def draw(axis, s):
        return jax.jit(VGNet(**SMALL, gru_axis=axis).apply)(variables, image[s], landmarks[s], example[s])

    both, alone = draw("batch", slice(2)), draw("batch", slice(1, 2))
    timed, timed_alone = draw("time", slice(2)), draw("time", slice(1, 2))
    np.testing.assert_allclose(timed["output"][1:], timed_alone["output"], atol=1e-5)
    assert np.abs(both["rnn_output"][1:] - alone["rnn_output"]).max() > 1e-4  # clip 0 went into clip 1
    # One clip: the published recurrence is one step from zero, which the first frame of the other is too.
    np.testing.assert_allclose(alone["output"][:, 0], timed_alone["output"][:, 0], atol=1e-5)
    attention = both["attention"]
    mixed = attention * both["colour"] + (1 - attention) * image[:, None]
    np.testing.assert_allclose(both["output"], mixed, atol=1e-6)


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(NetworkError, match="20x16 px.*multiples of 8"):
        shapes(VGNet(**SMALL), (1, 16, 20, 3), (1, 1, 136), (1, 136))
    with pytest.raises(NetworkError, match="time and batch"):
        shapes(VGNet(**SMALL, gru_axis="frames"), (1, 16, 16, 3), (1, 1, 136), (1, 136))
