"""LSTM and GRU with PyTorch's equations, parameter names and layout, so that checkpoints need no conversion.

Gate order is i, f, g, o (LSTM) and r, z, n (GRU, whose recurrent bias stands inside the reset gate's
product). Both bias vectors are kept. Inputs are projected in one product for all time steps; only the
recurrence is a scan.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.conv import uniform_fan_in


def _lstm_step(weight: jax.Array, bias: jax.Array, state, projected: jax.Array):
    h, c = state
    i, f, g, o = jnp.split(projected + h @ weight.T + bias, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def _gru_step(weight: jax.Array, bias: jax.Array, state, projected: jax.Array):
    (h,) = state
    xr, xz, xn = jnp.split(projected, 3, -1)
    hr, hz, hn = jnp.split(h @ weight.T + bias, 3, -1)
    r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    n = jnp.tanh(xn + r * hn)
    h = (1 - z) * n + z * h
    return (h,), h


class _Recurrent(nn.Module):
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0

    gates = 0
    states = 0
    step = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """x: (B, T, C) -> outputs of the last layer (B, T, hidden), both directions side by side if two."""
        for layer in range(self.layers):
            if layer and self.dropout:
                x = nn.Dropout(self.dropout)(x, deterministic=not train)
            forward = self._direction(x, f"l{layer}", reverse=False)
            if self.bidirectional:
                backward = self._direction(x, f"l{layer}_reverse", reverse=True)
                forward = jnp.concatenate([forward, backward], -1)
            x = forward
        return x

    def _direction(self, x: jax.Array, name: str, reverse: bool) -> jax.Array:
        rows, init = self.gates * self.hidden, uniform_fan_in(self.hidden)
        weight_ih = self.param(f"weight_ih_{name}", init, (rows, x.shape[-1]))
        weight_hh = self.param(f"weight_hh_{name}", init, (rows, self.hidden))
        bias_ih = self.param(f"bias_ih_{name}", init, (rows,))
        bias_hh = self.param(f"bias_hh_{name}", init, (rows,))
        projected = jnp.swapaxes(x @ weight_ih.T + bias_ih, 0, 1)
        start = (jnp.zeros((x.shape[0], self.hidden), x.dtype),) * self.states

        def step(state, now):
            return self.step(weight_hh, bias_hh, state, now)

        _, outputs = jax.lax.scan(step, start, projected, reverse=reverse)
        return jnp.swapaxes(outputs, 0, 1)


class LSTM(_Recurrent):
    """Layers of LSTM as `torch.nn.LSTM(batch_first=True)`; the state starts at zero.

    Attributes:
        hidden: width of the state (of each direction).
        dropout: between layers, in training only (stream `dropout`).
    """

    gates = 4
    states = 2
    step = staticmethod(_lstm_step)


class GRU(_Recurrent):
    """Layers of GRU as `torch.nn.GRU(batch_first=True)`; the state starts at zero."""

    gates = 3
    states = 1
    step = staticmethod(_gru_step)
