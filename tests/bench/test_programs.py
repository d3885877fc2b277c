"""What a generator computes, counted while it does."""

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.bench.programs import recorded


def make():
    """A generator: one program within another, called for each of three frames."""
    half = jax.jit(lambda a: a @ a)

    @jax.jit
    def whole(weights, a):
        return half(a) @ weights["w"]

    keyword = jax.jit(lambda a, n: a @ a, static_argnames="n")
    weights = {"w": np.eye(4, dtype=np.float32)}
    return lambda frames: [np.asarray(whole(weights, x)) + 0 * np.asarray(keyword(x, n=2)) for x in frames]


def test_calls_are_counted_once():
    with recorded() as programs:
        generate = make()
    frames = np.arange(48, dtype=np.float32).reshape(3, 4, 4)
    made = generate(frames)
    np.testing.assert_allclose(made, frames @ frames)
    assert programs.multiply_adds() == {"float32": 3 * 2 * 64}
    assert programs.compile_seconds > 0 and programs.bytes_moved() > 0
    programs.calls.clear()
    generate(frames[:1])
    assert programs.multiply_adds().total() == 2 * 64
    assert jax.jit(lambda a: a + 1)(jnp.zeros(2)).sum() == 2  # jit is itself again


def test_a_dry_run_computes_nothing():
    with recorded(dry=True) as programs:
        square = jax.jit(lambda a: a @ a + 1)
        made = square(np.ones((4, 4), np.float32))
    assert made.shape == (4, 4) and not made.any()
    assert programs.multiply_adds().total() == 64 and programs.bytes_moved() == 0 == programs.compile_seconds
