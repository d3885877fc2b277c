import jax
import jax.numpy as jnp
import numpy as np

from talkbench.evaluators.hopenet import INPUT_SIZE, Hopenet, degrees, estimate
from talkbench.nn.resnet import ResNet


def test_published_size():
    inputs = jax.ShapeDtypeStruct((2, INPUT_SIZE, INPUT_SIZE, 3), jnp.float32)
    out, variables = jax.eval_shape(lambda k, x: Hopenet().init_with_output(k, x), jax.random.key(0), inputs)
    assert [x.shape for x in out] == [(2, 66)] * 3
    number = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(variables["params"]))
    assert number == 23_508_032 + 3 * (2048 * 66 + 66)


def test_degrees_cover_the_published_range():
    certain = 60 * jax.nn.one_hot(jnp.array([0, 33, 65]), 66)
    np.testing.assert_allclose(degrees(certain), [-99, 0, 96], atol=1e-4)


def test_estimate_resizes_and_depends_on_the_filter():
    network = Hopenet(ResNet((1, 1, 1, 1), width=4))
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(size=(2, 256, 192, 3)), jnp.float32)
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, INPUT_SIZE, INPUT_SIZE, 3)))
    plain = np.stack(jax.jit(lambda v, x: estimate(v, x, network))(variables, images))
    smooth = np.stack(jax.jit(lambda v, x: estimate(v, x, network, antialias=True))(variables, images))
    assert plain.shape == (3, 2) and np.isfinite(plain).all()
    assert not np.array_equal(plain, smooth)
