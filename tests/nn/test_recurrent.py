import jax
import numpy as np
import pytest

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
