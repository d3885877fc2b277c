"""Multiply-adds against counts by hand."""

import jax
import jax.numpy as jnp

from talkbench.bench.count import multiply_adds, parameters

shape = jax.ShapeDtypeStruct


def conv(x, kernel, stride=1, padding="VALID", **more):
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=names, **more)


def total(function, *shapes) -> int:
    return multiply_adds(function, *(shape(s, jnp.float32) for s in shapes)).total()


def test_products():
    assert total(jnp.matmul, (3, 5), (5, 7)) == 3 * 5 * 7
    assert total(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), (2, 3, 5), (2, 5, 7)) == 2 * 3 * 5 * 7
    assert total(jax.jit(lambda a, b: jnp.tanh(a @ b) + a.sum()), (3, 5), (5, 7)) == 3 * 5 * 7


def test_convolutions():
    assert total(conv, (2, 8, 8, 3), (3, 3, 3, 4)) == 2 * 6 * 6 * 4 * 3 * 3 * 3
    assert total(lambda x, k: conv(x, k, 2), (1, 9, 9, 3), (3, 3, 3, 4)) == 4 * 4 * 4 * 27
    grouped = lambda x, k: conv(x, k, feature_group_count=2)  # noqa: E731
    assert total(grouped, (1, 5, 5, 6), (3, 3, 3, 4)) == 3 * 3 * 4 * 27
    # the convolution, and as much again for its kernel's gradient
    found = total(jax.grad(lambda x, k: conv(x, k, 2).sum(), argnums=1), (1, 9, 9, 3), (3, 3, 3, 4))
    assert found == 2 * 4 * 4 * 4 * 27
    upwards = lambda x, k: conv(x, k, padding=((2, 2), (2, 2)), lhs_dilation=(2, 2))  # noqa: E731
    assert total(upwards, (1, 4, 4, 3), (3, 3, 3, 4)) == 9 * 9 * 4 * 27 // 4


def test_loops_branches_and_rules():
    loop = lambda a: jax.lax.scan(lambda c, _: (c @ a, None), a, length=6)[0]  # noqa: E731
    assert total(loop, (4, 4)) == 6 * 64
    branch = lambda a: jax.lax.cond(a.sum() > 0, lambda: a, lambda: a @ a @ a)  # noqa: E731
    assert total(branch, (4, 4)) == 2 * 64
    ruled = jax.custom_vjp(lambda a: a @ a)
    ruled.defvjp(lambda a: (a @ a, a), lambda a, g: (g @ a,))
    assert total(ruled, (4, 4)) == 64
    assert total(jax.grad(lambda a: ruled(a).sum()), (4, 4)) == 2 * 64
    assert total(jax.checkpoint(lambda a: a @ a), (4, 4)) == 64


def test_types_and_parameters():
    halves = multiply_adds(
        lambda a: (a @ a).astype(jnp.float32) @ jnp.ones((2, 2)), shape((2, 2), jnp.bfloat16)
    )
    assert halves == {"bfloat16": 8, "float32": 8}
    assert parameters({"a": shape((2, 3), jnp.float32), "b": {"c": jnp.zeros(4)}}) == 10
