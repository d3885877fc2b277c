import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.hdtf.animation_networks import AnimationDiscriminator, AnimationGenerator
from talkbench.methods.hdtf.video_networks import VideoGenerator, shrink_flow
from talkbench.nn.discriminator import PatchDiscriminator
from talkbench.nn.warp import coordinate_grid

TINY = {
    "block_expansion": 4,
    "num_down_blocks": 1,
    "max_features": 8,
    "hourglass_expansion": 4,
    "hourglass_blocks": 2,
    "hourglass_max_features": 8,
    "num_bottleneck_blocks": 1,
}
SIDE = 16


def shapes(network, *inputs):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    return jax.eval_shape(lambda key, *x: network.init_with_output(key, *x), jax.random.key(0), *inputs)


def parameters(variables):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables["params"]))


def test_published_video_generator():
    out, variables = shapes(VideoGenerator(), (2, 512, 512, 3), (2, 512, 512, 2))
    assert parameters(variables) == 20_417_877
    assert {name: x.shape for name, x in out.items()} == {
        "image": (2, 512, 512, 3),
        "foreground_mask": (2, 128, 128, 1),
        "matting_mask": (2, 128, 128, 1),
        "flow": (2, 128, 128, 2),
        "warped_image": (2, 128, 128, 3),
        "matting_image": (2, 128, 128, 256),
        "fused": (2, 128, 128, 256),
        "small_image": (2, 128, 128, 3),
        "small_flow": (2, 128, 128, 2),
    }
    (features, scores), variables = shapes(PatchDiscriminator(), (1, 512, 512, 3))
    assert parameters(variables) == 2_758_849
    assert [x.shape[-1] for x in features] == [64, 128, 256, 512]
    assert scores.shape[-1] == 1


def test_published_animation_networks():
    def conv(window, inputs=256, outputs=256):
        return window * inputs * outputs + outputs

    residual, norm = 2 * conv(5), 2 * 256
    count = conv(1, 15) + 26 * (residual + norm) + 3 * residual + conv(1, 512) + 11 * conv(1)
    count += 4 * (conv(3) + conv(1) + norm) + 4 * (conv(3) + norm) + conv(1, 256, 28) + 2 * conv(1, 256, 5)
    out, variables = shapes(AnimationGenerator(), (2, 1000, 15), (2, 512))
    assert parameters(variables) == count
    assert (out["mouth"].shape, out["eyebrow"].shape, out["head"].shape) == (
        (2, 1000, 28),
        (2, 1000, 5),
        (2, 1000, 5),
    )
    assert out["temporal_bottleneck"].shape == (2, 63, 256)
    for n in (28, 5):
        out, variables = shapes(AnimationDiscriminator(), (2, 1000, n), (2, 1000, 15))
        assert out.shape == (2, 16, n)
        assert parameters(variables) == conv(1, n + 15) + 6 * conv(5) + 2 * conv(3) + conv(1, 256, n)


@pytest.fixture(scope="module")
def tiny():
    """A network, its variables and a compiled call -> (network, variables, apply, image, flow)."""
    network = VideoGenerator(**TINY)
    image = jax.random.uniform(jax.random.key(1), (1, SIDE, SIDE, 3))
    flow = coordinate_grid((SIDE, SIDE))[None] + np.float32(0.2)
    variables = jax.jit(network.init)(jax.random.key(0), image, flow)
    return network, variables, jax.jit(network.apply), image, flow


def with_bias(variables, name, value):
    """The variables with a head of the matting network at a constant."""
    matting = dict(variables["params"]["foreground_matting"])
    matting[name] = {"kernel": 0 * matting[name]["kernel"], "bias": 0 * matting[name]["bias"] + value}
    return {**variables, "params": {**variables["params"], "foreground_matting": matting}}


def test_masks_choose_between_motion_and_rest(tiny):
    network, variables, apply, image, flow = tiny
    still = apply(with_bias(variables, "foreground_mask", -100.0), image, flow)
    np.testing.assert_allclose(still["flow"][0], coordinate_grid((SIDE // 2, SIDE // 2)), atol=1e-6)
    moving = apply(with_bias(variables, "foreground_mask", 100.0), image, flow)
    np.testing.assert_allclose(moving["flow"], moving["small_flow"], atol=1e-6)
    encode = jax.jit(lambda v, x: network.apply(v, x, method="encode"))
    animate = jax.jit(lambda v, x, f, flow: network.apply(v, x, f, flow, method="animate")["image"])
    features = [encode(variables, x) for x in (image, 1 - image)]
    painted = with_bias(variables, "matting_mask", -100.0)
    np.testing.assert_array_equal(*(animate(painted, image, x, flow) for x in features))
    ours, theirs = (animate(variables, image, x, flow) for x in features)
    assert float(jnp.abs(ours - theirs).max()) > 1e-4
    np.testing.assert_allclose(apply(variables, image, flow)["image"], ours, atol=1e-6)


def test_bgr_weights_see_and_give_rgb(tiny):
    network, variables, apply, image, flow = tiny
    theirs = apply(variables, image[..., ::-1], flow)
    ours = jax.jit(network.clone(colour_order="bgr").apply)(variables, image, flow)
    for name in ("image", "warped_image"):
        np.testing.assert_allclose(ours[name], theirs[name][..., ::-1], atol=1e-6)


def test_flow_padding():
    """Zeros pull the border of the grid inwards; inside the filter's reach of it both agree."""
    grid = jnp.asarray(coordinate_grid((64, 64)))[None]
    zeros, edge = shrink_flow(grid, 4), shrink_flow(grid, 4, "edge")
    assert zeros.shape == edge.shape == (1, 16, 16, 2)
    np.testing.assert_allclose(zeros[:, 2:-2, 2:-2], edge[:, 2:-2, 2:-2], atol=1e-6)
    assert float(zeros[0, 8, 0, 0]) == pytest.approx(-0.62, abs=0.03)
    assert float(edge[0, 8, 0, 0]) == pytest.approx(-0.98, abs=0.01)
    np.testing.assert_allclose(edge[0, 0, :, 1], edge[0, 0, 8, 1], atol=1e-6)


def test_align_corners_places_the_border(tiny):
    network, variables, apply, _, _ = tiny
    image = np.ones((1, SIDE, SIDE, 3), np.float32)
    flow = np.full((1, SIDE, SIDE, 2), -1.0, np.float32)
    outer = jax.jit(network.clone(align_corners=False).apply)
    middle = np.s_[0, SIDE // 4, SIDE // 4]  # out of the blur's reach of the border
    reduced = apply(variables, image, flow)["small_image"][0, 0, 0]
    np.testing.assert_allclose(apply(variables, image, flow)["warped_image"][middle], reduced, atol=1e-6)
    np.testing.assert_allclose(outer(variables, image, flow)["warped_image"][middle], reduced / 4, atol=1e-6)


def test_gradients_reach_every_part(tiny):
    network, variables, _, image, flow = tiny

    @jax.jit
    def gradients(params, stats):
        def loss(params):
            state = {"params": params, "batch_stats": stats}
            out, new = network.apply(state, image, flow, train=True, mutable=["batch_stats"])
            return jnp.square(out["image"] - image).mean(), new["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    found, stats = gradients(variables["params"], variables["batch_stats"])
    for part in ("encoder", "bottleneck", "decoder"):
        assert any(np.abs(x).max() > 0 for x in jax.tree.leaves(found[part])), part
    for head in ("foreground_mask", "matting_mask", "matting"):
        assert np.abs(found["foreground_matting"][head]["kernel"]).max() > 0, head
    mean = stats["encoder"]["in_conv"]["norm"]["mean"]
    assert not np.allclose(mean, variables["batch_stats"]["encoder"]["in_conv"]["norm"]["mean"])


def test_style_comes_from_the_identity():
    network = AnimationGenerator(8, 1, 2, 1, 2)
    audio = jax.random.normal(jax.random.key(0), (2, 11, 15))
    identity = jax.random.normal(jax.random.key(1), (2, 6))
    variables = jax.jit(network.init)(jax.random.key(2), audio, identity)
    np.testing.assert_array_equal(variables["params"]["adain_0"]["std"]["bias"], 1)
    run = jax.jit(network.apply)
    one, other = run(variables, audio, identity), run(variables, audio, identity[::-1])
    assert one["eyebrow"].shape == (2, 11, 5)  # 11 frames: 6, 3, then 6, 12, cut to 11
    np.testing.assert_array_equal(one["audio_feature"], other["audio_feature"])
    for name in ("mouth", "eyebrow", "head"):
        assert float(jnp.abs(one[name] - other[name]).max()) > 1e-3, name


def test_unfit_sizes_and_settings_are_named():
    with pytest.raises(ValueError, match="divisible by 128"):
        shapes(VideoGenerator(), (1, 320, 512, 3), (1, 320, 512, 2))
    with pytest.raises(ValueError, match="does not fit images"):
        shapes(VideoGenerator(), (1, 128, 128, 3), (1, 64, 64, 2))
    with pytest.raises(ValueError, match="zeros or edge"):
        shapes(VideoGenerator(flow_padding="reflect"), (1, 128, 128, 3), (1, 128, 128, 2))
    with pytest.raises(ValueError, match="rgb or bgr"):
        shapes(VideoGenerator(colour_order="grb"), (1, 128, 128, 3), (1, 128, 128, 2))
    with pytest.raises(ValueError, match="expected"):
        shapes(AnimationGenerator(), (2, 100, 15), (3, 512))
