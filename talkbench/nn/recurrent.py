"""LSTM and GRU with PyTorch's equations, parameter names and layout, so that checkpoints need no conversion.

Gate order is i, f, g, o (LSTM) and r, z, n (GRU, whose recurrent bias stands inside the reset gate's
product). Both bias vectors are kept. Inputs are projected in one product for all time steps; only the
recurrence is a scan. Inside this module time comes first.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import uniform_fan_in


def _gru(reverse: bool, x: jax.Array, w_in: jax.Array, w: jax.Array, b_in: jax.Array, b: jax.Array):
    def step(h, projected):
        xr, xz, xn = jnp.split(projected, 3, -1)
        hr, hz, hn = jnp.split(h @ w.T + b, 3, -1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        n = jnp.tanh(xn + r * hn)
        h = (1 - z) * n + z * h
        return h, h

    start = jnp.zeros((x.shape[1], w.shape[1]), x.dtype)
    return jax.lax.scan(step, start, x @ w_in.T + b_in, reverse=reverse)[1]


def _lstm(reverse: bool, x: jax.Array, w_in: jax.Array, w: jax.Array, b_in: jax.Array, b: jax.Array):
    return _lstm_layer(reverse, x, w_in, w, b_in + b)


# The gradient is written out: a weight's is one product over all time steps instead of one in each, and a step of the
# way back holds only what depends on the step after it.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _lstm_layer(reverse, x, w_in, w, b):
    return _lstm_forward(reverse, x, w_in, w, b)[0]


def _lstm_forward(reverse, x, w_in, w, b):
    hidden = w.shape[1]
    projected = (_rows(x) @ w_in.T + b).reshape(*x.shape[:2], 4 * hidden)
    # A sigmoid is a tanh of half the size: one function for all four gates.
    size = jnp.asarray(np.repeat([0.5, 0.5, 1.0, 0.5], hidden), projected.dtype)

    def step(state, now):
        h, c = state
        gates = size * jnp.tanh(size * (now + h @ w.T)) + (1 - size)
        i, f, g, o = jnp.split(gates, 4, -1)
        c = f * c + i * g
        h = o * jnp.tanh(c)
        return (h, c), (h, c, gates)

    start = (jnp.zeros((x.shape[1], hidden), projected.dtype),) * 2
    _, (h, c, gates) = jax.lax.scan(step, start, projected, reverse=reverse)
    return h, (x, w_in, w, h, c, gates)


def _lstm_backward(reverse, kept, outer):
    x, w_in, w, h, c, gates = kept

    def before(states):
        first = jnp.zeros_like(states[:1])
        return jnp.concatenate([states[1:], first] if reverse else [first, states[:-1]])

    i, f, g, o = jnp.split(gates, 4, -1)
    shown = jnp.tanh(c)
    slopes = [g * i * (1 - i), before(c) * f * (1 - f), i * (1 - g * g), shown * o * (1 - o)]

    def step(state, now):
        dh, dc = state
        outer, slope, shows, f = now
        dh = dh + outer
        dc = dc + dh * shows
        dz = slope * jnp.concatenate([dc, dc, dc, dh], -1)
        return (dz @ w, dc * f), dz

    end = (jnp.zeros(h.shape[1:], h.dtype),) * 2
    shows = o * (1 - shown * shown)
    now = (outer, *jax.lax.optimization_barrier((jnp.concatenate(slopes, -1), shows)), f)
    _, dz = jax.lax.scan(step, end, now, reverse=not reverse)
    dz = _rows(dz)
    # Turned after the product, not in it: XLA's CPU product is twice as slow with its long side in rows.
    dw_in, dw = jax.lax.optimization_barrier((_rows(x).T @ dz, _rows(before(h)).T @ dz))
    dx = (dz @ w_in).reshape(x.shape)
    return dx.astype(x.dtype), dw_in.T.astype(w_in.dtype), dw.T.astype(w.dtype), dz.sum(0).astype(w.dtype)


_lstm_layer.defvjp(_lstm_forward, _lstm_backward)


def _rows(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])


class _Recurrent(nn.Module):
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0

    gates = 0
    run = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """x: (B, T, C) -> outputs of the last layer (B, T, hidden), both directions side by side if two."""
        x = jnp.swapaxes(x, 0, 1)
        for layer in range(self.layers):
            if layer and self.dropout:
                x = nn.Dropout(self.dropout)(x, deterministic=not train)
            forward = self._direction(x, f"l{layer}", reverse=False)
            if self.bidirectional:
                backward = self._direction(x, f"l{layer}_reverse", reverse=True)
                forward = jnp.concatenate([forward, backward], -1)
            x = forward
        return jnp.swapaxes(x, 0, 1)

    def _direction(self, x: jax.Array, name: str, reverse: bool) -> jax.Array:
        rows, init = self.gates * self.hidden, uniform_fan_in(self.hidden)
        return self.run(
            reverse,
            x,
            self.param(f"weight_ih_{name}", init, (rows, x.shape[-1])),
            self.param(f"weight_hh_{name}", init, (rows, self.hidden)),
            self.param(f"bias_ih_{name}", init, (rows,)),
            self.param(f"bias_hh_{name}", init, (rows,)),
        )


class LSTM(_Recurrent):
    """Layers of LSTM as `torch.nn.LSTM(batch_first=True)`; the state starts at zero.

    Attributes:
        hidden: width of the state (of each direction).
        dropout: between layers, in training only (stream `dropout`).
    """

    gates = 4
    run = staticmethod(_lstm)


class GRU(_Recurrent):
    """Layers of GRU as `torch.nn.GRU(batch_first=True)`; the state starts at zero."""

    gates = 3
    run = staticmethod(_gru)
