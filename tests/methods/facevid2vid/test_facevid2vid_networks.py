import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.facevid2vid.networks import (
    Discriminator,
    Generator,
    HeadExpressionEstimator,
    KeypointDetector,
    flow_mask,
    from_volume,
    sparse_motions,
    to_volume,
)
from talkbench.nn.warp import coordinate_grid

K = 5
TINY = {
    "num_keypoints": K,
    "block_expansion": 8,
    "max_features": 16,
    "volume_channels": 4,
    "depth": 4,
    "num_resblocks": 1,
    "motion_expansion": 4,
    "motion_max_features": 8,
    "motion_blocks": 2,
    "mask_window": 3,
    "spade_widths": (16, 8, 8),
    "spade_middle": 1,
    "spade_hidden": 8,
}


def shapes(network, *inputs):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    return jax.eval_shape(lambda key, *x: network.init_with_output(key, *x), jax.random.key(0), *inputs)


def parameters(variables):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables["params"]))


def test_published_sizes():
    image, keypoints = (2, 256, 256, 3), (2, 15, 3)
    out, variables = shapes(KeypointDetector(), image)
    assert (out.shape, parameters(variables)) == (keypoints, 41_940_047)
    out, variables = shapes(HeadExpressionEstimator(), image)
    assert parameters(variables) == 30_254_838
    assert {name: x.shape[1] for name, x in out.items()} == {
        "yaw": 66,
        "pitch": 66,
        "roll": 66,
        "t": 3,
        "exp": 45,
    }
    out, variables = shapes(Discriminator(), image)
    assert parameters(variables) == 2_758_849
    assert [x.shape[1] for x in out[0][0]] == [126, 61, 29, 26]
    assert out[0][1].shape == (2, 26, 26, 1)


@pytest.mark.parametrize("decoder, number", [("spade", 100_988_176), ("plain", 53_101_392)])
def test_published_generators(decoder, number):
    out, variables = shapes(Generator(decoder), (1, 256, 256, 3), (1, 15, 3), (1, 15, 3))
    assert parameters(variables) == number
    assert out["prediction"].shape == (1, 256, 256, 3)
    assert out["mask"].shape == (1, 16, 64, 64, 16)
    assert out["deformation"].shape == (1, 16, 64, 64, 3)
    assert out["occlusion"].shape == (1, 64, 64, 1)


def test_other_images_and_keypoints():
    out, variables = shapes(Generator(num_keypoints=20), (1, 128, 256, 3), (1, 20, 3), (1, 20, 3))
    assert out["prediction"].shape == (1, 128, 256, 3)
    motion = variables["params"]["dense_motion_network"]
    assert motion["mask"]["kernel"].shape == (7, 7, 7, 137, 21)  # the paper's 105 inputs and 137 channels
    out, _ = shapes(Discriminator((1.0, 0.5)), (1, 256, 256, 3))
    assert [len(features) for features, _ in out] == [4, 4]


def test_volumes_are_channel_major():
    x = jnp.arange(2 * 6).reshape(1, 1, 2, 6)
    volume = to_volume(x, 3)
    assert volume.shape == (1, 3, 1, 2, 2)
    assert volume[0, :, 0, 0, 1].tolist() == [3, 4, 5]
    np.testing.assert_array_equal(from_volume(volume), x)


def test_sparse_motions_carry_driving_points_to_source_points():
    source, driving = jax.random.uniform(jax.random.key(1), (2, 1, K, 3), minval=-0.5, maxval=0.5)
    flows = sparse_motions(source, driving, (3, 5, 7))
    grid = coordinate_grid((3, 5, 7))
    np.testing.assert_allclose(flows[0, ..., 0, :], grid, atol=1e-6)
    np.testing.assert_allclose(flows[0, ..., 2, :], grid - driving[0, 1] + source[0, 1], atol=1e-6)
    turned = sparse_motions(source, driving, (3, 5, 7), 2 * jnp.eye(3)[None])
    np.testing.assert_allclose(turned[0, ..., 2, :], 2 * (grid - driving[0, 1]) + source[0, 1], atol=1e-5)


def test_mask_threshold_does_not_renormalise():
    mask = flow_mask(jnp.array([0.0, 0.0, -10.0]), 1e-3)
    np.testing.assert_allclose(mask, [0.5, 0.5, 0], atol=1e-4)
    assert float(flow_mask(jnp.array([0.0, 0.0, -10.0])).sum()) == pytest.approx(1)
    assert float(mask.sum()) < 1


@pytest.mark.parametrize("decoder, scale", [("spade", 1), ("plain", 2)])
def test_tiny_generator(decoder, scale):
    network = Generator(decoder, motion_scale=scale, **TINY)
    image = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3))
    source, driving = jax.random.uniform(jax.random.key(1), (2, 1, K, 3), minval=-0.5, maxval=0.5)
    variables = jax.jit(network.init)(jax.random.key(0), image, source, driving)

    @jax.jit
    def both(variables):
        whole = network.apply(variables, image, source, driving)["prediction"]
        volume = network.apply(variables, image, method="appearance")
        parts = network.apply(variables, volume, source, driving, method="animate")["prediction"]
        return whole, parts

    whole, parts = both(variables)
    np.testing.assert_allclose(whole, parts, atol=1e-5)
    assert 0 <= float(whole.min()) and float(whole.max()) <= 1

    @jax.jit
    def step(params, stats):
        def loss(params):
            state = {"params": params, "batch_stats": stats}
            out, new = network.apply(state, image, source, driving, train=True, mutable=["batch_stats"])
            return ((out["prediction"] - image) ** 2).mean(), new["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    gradients, stats = step(variables["params"], variables["batch_stats"])
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(gradients))
    for part in ("first", "dense_motion_network", "third"):
        assert any(float(jnp.abs(x).max()) > 0 for x in jax.tree.leaves(gradients[part])), part
    assert not np.allclose(stats["first"]["norm"]["mean"], variables["batch_stats"]["first"]["norm"]["mean"])


def test_unfit_sizes_are_named():
    with pytest.raises(ValueError, match="divisible by 128"):
        shapes(KeypointDetector(), (1, 192, 256, 3))
    with pytest.raises(ValueError, match="divisible by 32"):
        shapes(Generator(), (1, 192, 256, 3), (1, 15, 3), (1, 15, 3))
    with pytest.raises(ValueError, match="spade or plain"):
        shapes(Generator("unet"), (1, 256, 256, 3), (1, 15, 3), (1, 15, 3))
    with pytest.raises(ValueError, match="should be 3 numbers"):
        shapes(Generator(spade_widths=(64, 32)), (1, 256, 256, 3), (1, 15, 3), (1, 15, 3))
