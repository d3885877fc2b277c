"""Published sizes by shapes alone (nothing is computed), and StyleGAN2's layers against their definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.pcavs import networks
from talkbench.nn.pool import adaptive_avg_pool, avg_pool_inside
from talkbench.nn.stylegan2 import ModulatedConv, blur, upsample


def shapes(network, *inputs, **options):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    return jax.eval_shape(
        lambda key, *x: network.init_with_output(key, *x, **options), jax.random.key(0), *inputs
    )


def parameters(variables):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables["params"]))


def test_published_encoders():
    out, variables = shapes(networks.NonIdentityEncoder(num_classes=5830), (2, 224, 224, 3))
    assert parameters(variables) == 14_285_643
    widths = {name: x.shape[1] for name, x in out.items()}
    assert widths == {
        "feature": 512, "mouth": 512, "pose": 512, "mouth_embed": 500, "pose_code": 12,
        "classifier": 5830, "mouth_fc": 5830, "headpose_fc": 5830,
    }  # fmt: skip
    (vector, identity_map, scores), variables = shapes(networks.IdentityEncoder(), (2, 224, 224, 3))
    assert parameters(variables) == 35_974_662
    assert (vector.shape, identity_map.shape, scores.shape) == ((2, 2048), (2, 7, 7, 512), (2, 5830))
    (content, scores), variables = shapes(networks.AudioEncoder(num_classes=5830), (3, 80, 20, 1))
    assert parameters(variables) == 10_364_434
    assert (content.shape, scores.shape) == ((3, 512), (3, 5830))


def test_several_references_are_averaged():
    (vector, identity_map, _), _ = shapes(networks.IdentityEncoder(), (2, 3, 256, 256, 3))
    assert (vector.shape, identity_map.shape) == ((2, 2048), (2, 7, 7, 512))


def test_published_generator_and_discriminator():
    style, first = (1, 2560), (1, 7, 7, 512)
    image, variables = shapes(networks.Generator(), style, first)
    assert image.shape == (1, 224, 224, 3)
    assert parameters(variables) == 37_120_925
    assert parameters(shapes(networks.Generator(style_mlp=True), style, first)[1]) == 89_570_205
    assert len(variables["batch_stats"]) == 11
    assert variables["batch_stats"]["noise_10"].shape == (1, 224, 224, 1)
    made, variables = shapes(networks.Discriminator(), (1, 224, 224, 3))
    assert parameters(variables) == 5_527_682
    assert [x.shape[1] for x in made[0]] == [224, 113, 57, 29, 30, 31]
    assert [x.shape[1] for x in made[1]] == [112, 57, 29, 15, 16, 17]


@pytest.mark.parametrize(("size", "start", "widths"), [
    (224, 7, (512, 512, 512, 512, 256, 128)), (28, 7, (512, 512, 512)), (32, 4, (512, 512, 512, 512)),
    (256, 4, (512, 512, 512, 512, 512, 256, 128)),
])  # fmt: skip
def test_generator_sizes(size, start, widths):
    assert networks.published_layout(size) == (start, widths)
    made, _ = shapes(networks.Generator(widths, start), (2, 64))
    assert made.shape == (2, size, size, 3)


def test_unfit_generators_are_named():
    with pytest.raises(ValueError, match="no generator for pictures of 96 px"):
        networks.published_layout(96)
    with pytest.raises(ValueError, match="starts from"):
        shapes(networks.Generator((8, 8), 4), (1, 6), (1, 7, 7, 8))
    with pytest.raises(ValueError, match="needs the identity's"):
        shapes(networks.Generator((8, 8), 4, constant=False), (1, 6))
    with pytest.raises(ValueError, match="2 noise maps for 3 layers"):
        shapes(networks.Generator((8, 8), 4), (1, 6), noise=[jnp.zeros((1, 4, 4, 1))] * 2)
    with pytest.raises(ValueError, match="fan or pyramid"):
        shapes(networks.NonIdentityEncoder("vgg"), (1, 64, 64, 3))


def test_hourglass_comes_back_from_odd_sizes_and_drops_out_only_when_asked():
    network = networks.Hourglass(8, depth=2)
    x = jax.random.normal(jax.random.key(0), (1, 7, 7, 8))  # 7 -> 3 -> 1
    variables = jax.jit(network.init)(jax.random.key(1), x)

    @jax.jit
    def run(**rngs):
        return network.apply(variables, x, train=True, mutable=["batch_stats"], rngs=rngs)[0]

    assert run().shape == x.shape
    still, dropped = run(), run(dropout=jax.random.key(2))
    np.testing.assert_array_equal(still, run())
    assert float(jnp.abs(still - dropped).max()) > 0


def test_modulated_convolution_is_one_kernel_for_each_sample():
    rng = np.random.default_rng(0)
    x, style = rng.normal(size=(2, 5, 5, 3)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    network = ModulatedConv(6)
    variables = network.init(jax.random.key(0), x, style)
    made = network.apply(variables, x, style)
    params = jax.tree.map(np.asarray, variables["params"])
    scale = style @ params["modulation"]["kernel"] / 2 + params["modulation"]["bias"]
    for sample in range(2):
        kernel = params["kernel"] / np.sqrt(27) * scale[sample][:, None]
        kernel = kernel / np.sqrt(np.square(kernel).sum((0, 1, 2)) + 1e-8)
        padded = np.pad(x[sample], ((1, 1), (1, 1), (0, 0)))
        expected = np.einsum("ijc,ijco->o", padded[1:4, 2:5], kernel)
        np.testing.assert_allclose(made[sample, 1, 2], expected, rtol=1e-4, atol=1e-5)
    doubled = ModulatedConv(6, upsample=True).apply(variables, x, style)
    assert doubled.shape == (2, 10, 10, 6)
    faster = ModulatedConv(6, lr_mul=8.0)
    eighths = {"params": jax.tree.map(lambda weight: weight / 8, params)}
    np.testing.assert_allclose(faster.apply(eighths, x, style), made, rtol=1e-4, atol=1e-5)
    assert 0.5 < faster.init(jax.random.key(0), x, style)["params"]["kernel"].std() * 8 < 2


def test_filters_by_their_definition():
    x = np.zeros((1, 3, 3, 1), np.float32)
    x[0, 1, 1] = 1.0
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    np.testing.assert_allclose(upsample(x)[0, 1:5, 1:5, 0], taps, atol=1e-6)
    np.testing.assert_allclose(upsample(x).sum(), 4, atol=1e-5)
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    np.testing.assert_allclose(blur(wide)[0, :, :, 0], taps, atol=1e-6)


def test_pools():
    x = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    made = avg_pool_inside(x)[0, :, :, 0]
    assert made.shape == (3, 3)
    assert float(made[0, 0]) == pytest.approx((0 + 1 + 5 + 6) / 4)
    assert float(made[1, 2]) == pytest.approx(np.mean([8, 9, 13, 14, 18, 19]))
    cells = adaptive_avg_pool(x, (2, 2))[0, :, :, 0]
    assert float(cells[0, 0]) == pytest.approx(x[0, :3, :3].mean())
    assert float(cells[1, 0]) == pytest.approx(x[0, 2:, :3].mean())
