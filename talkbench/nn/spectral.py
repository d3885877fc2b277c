"""Spectral normalisation with PyTorch's semantics (Miyato et al. 2018), as state of its layer."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def _unit(x: jax.Array, eps: float = 1e-12) -> jax.Array:
    return x / jnp.maximum(jnp.sqrt(jnp.sum(x * x)), eps)


def spectral_normalize(module: nn.Module, kernel: jax.Array, train: bool) -> jax.Array:
    """kernel (..., I, O) divided by u^T W v, where the vectors live in `module`'s collection `batch_stats`.

    `u` is (O,), `v` is (..., I): PyTorch's vector in this layout's order. A call with `train=True` takes one
    power iteration before the kernel is used and stores the vectors if the collection is mutable; otherwise
    they are used as they are. The gradient passes through sigma with u and v held fixed.
    """
    initial = module.has_variable("batch_stats", "u")

    def draw(shape):
        return lambda: _unit(jax.random.normal(module.make_rng("params"), shape, jnp.float32))

    u = module.variable("batch_stats", "u", draw(kernel.shape[-1:]))
    v = module.variable("batch_stats", "v", draw(kernel.shape[:-1]))
    left, right = u.value, v.value
    if train and initial:
        fixed = jax.lax.stop_gradient(kernel)
        right = _unit(jnp.einsum("...o,o->...", fixed, left))
        left = _unit(jnp.tensordot(right, fixed, right.ndim))
        left, right = jax.lax.stop_gradient((left, right))
        if module.is_mutable_collection("batch_stats"):
            u.value, v.value = left, right
    sigma = jnp.sum(jnp.tensordot(right, kernel, right.ndim) * left)
    return kernel / sigma
