import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from talkbench.nn.recurrent import GRU, LSTM


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(p, x, name):
    h = c = np.zeros(p[f"weight_hh_{name}"].shape[1])
    made = []
    for now in x:
        gates = (
            p[f"weight_ih_{name}"] @ now
            + p[f"bias_ih_{name}"]
            + p[f"weight_hh_{name}"] @ h
            + p[f"bias_hh_{name}"]
        )
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        made.append(h)
    return np.array(made)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(1, 3, 2)).astype(np.float32)


def test_lstm_of_two_layers(x):
    net = LSTM(2, 2)
    variables = net.init(jax.random.key(0), x)
    p = jax.tree.map(np.asarray, variables["params"])
    expected = lstm_by_hand(p, lstm_by_hand(p, x[0], "l0"), "l1")
    np.testing.assert_allclose(net.apply(variables, x)[0], expected, atol=1e-6)


def test_lstm_of_two_directions(x):
    net = LSTM(2, bidirectional=True)
    variables = net.init(jax.random.key(1), x)
    p = jax.tree.map(np.asarray, variables["params"])
    forward, backward = lstm_by_hand(p, x[0], "l0"), lstm_by_hand(p, x[0, ::-1], "l0_reverse")[::-1]
    np.testing.assert_allclose(net.apply(variables, x)[0], np.hstack([forward, backward]), atol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_gradients_of_an_lstm(several):
    """They are written out, not derived: against differences, of weights, biases and inputs, also under `vmap`."""
    net = LSTM(3, 2, bidirectional=True)
    x = jax.random.normal(jax.random.key(3), (2, 2, 5, 4))
    params = net.init(jax.random.key(4), x[0])["params"]
    apply = lambda params, x: net.apply({"params": params}, x)  # noqa: E731
    some = jax.vmap(apply, (None, 0)) if several else lambda params, x: apply(params, x[0])
    check_grads(lambda params, x: (some(params, x) ** 2).sum(), (params, x), 1, ["rev"], 1e-2, 1e-2)


def test_gru(x):
    net = GRU(2)
    variables = net.init(jax.random.key(2), x)
    p = jax.tree.map(np.asarray, variables["params"])
    h = np.zeros(2)
    for t in range(3):
        xr, xz, xn = np.split(p["weight_ih_l0"] @ x[0, t] + p["bias_ih_l0"], 3)
        hr, hz, hn = np.split(p["weight_hh_l0"] @ h + p["bias_hh_l0"], 3)
        n = np.tanh(xn + sigmoid(xr + hr) * hn)
        h = (1 - sigmoid(xz + hz)) * n + sigmoid(xz + hz) * h
        np.testing.assert_allclose(net.apply(variables, x)[0, t], h, atol=1e-6)
