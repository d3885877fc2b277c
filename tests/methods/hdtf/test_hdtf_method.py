import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench import config as configs
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.evaluators import arcface
from talkbench.methods.hdtf import method as hdtf
from talkbench.methods.hdtf import style, video_stage
from talkbench.methods.method import Driving
from talkbench.training import optimizer
from talkbench.training.run import with_settings
from talkbench.training.step import init_state, make_step

SIZE = 32
SMALL = {
    "data.size": "32", "model.video.block_expansion": "8", "model.video.max_features": "16",
    "model.video.hourglass_expansion": "8", "model.video.hourglass_max_features": "16", "model.video.hourglass_blocks": "1",
    "model.video.num_bottleneck_blocks": "1", "model.discriminator.num_blocks": "2", "model.frames": "64",
    "model.animation.features": "16", "model.animation.extractor_blocks": "1", "model.animation.mouth_blocks": "1",
    "model.animation.temporal_blocks": "2", "model.animation.style_blocks": "2", "model.animation_discriminator.features": "8",
    "model.animation_discriminator.num_down": "2", "optimizer.warmup_steps": "1", "loss.animation.mouth": "10.0",
    "loss.video.gan": "0.1",
    "loss.video.feature_matching": "0.5",
}  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 24, SIZE)


@pytest.fixture(scope="module")
def trained(clip):
    config = configs.load("hdtf", "tiny", SMALL)
    sides, curves, stages, batches = {}, {}, {}, {}
    for stage in hdtf.METHOD.stages(config):
        examples = [stage.features(view_of(clip), np.random.default_rng(i)) for i in range(4)]
        batch = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
        transform = optimizer.make(with_settings(config, stage.settings).optimizer, 60)
        state = jax.jit(lambda key, b, s=stage, t=transform: init_state(s, t, key, b, ema=False))(
            jax.random.key(0), batch
        )
        step, losses, frozen = jax.jit(make_step(stage, transform, 0.0)), [], stage.frozen()
        for _ in range(50):
            state, scalars = step(state, frozen, batch)
            losses.append(jax.device_get(scalars))
        sides[stage.name] = jax.device_get({key: state["generator"][key] for key in ("params", "stats")})
        curves[stage.name], stages[stage.name], batches[stage.name] = losses, stage, batch
    return config, sides, curves, stages, batches


def test_both_stages_overfit_one_batch(trained):
    _, _, curves, *_ = trained
    for losses in curves.values():
        assert all(np.isfinite(list(row.values())).all() for row in losses)
    first, last = curves["video"][0], curves["video"][-1]
    assert last["reconstruction"] < 0.6 * first["reconstruction"]
    assert {"gan", "feature_matching", "perceptual", "mouth", "discriminator_gan"} <= first.keys()
    first, last = curves["animation"][0], curves["animation"][-1]
    assert last["mouth"] < 0.5 * first["mouth"]
    assert last["head"] < first["head"]
    parts = ("mouth", "eyebrow", "head")
    assert {f"{kind}_{part}" for kind in ("gan", "discriminator") for part in parts} <= first.keys()


def test_generation(trained, clip):
    config, sides, *_ = trained
    generate = hdtf.generator(config, sides, batch=10)
    points = clip.landmarks[0, :, :2]
    mesh = Driving(frames=clip.frames, pose=clip.pose, expression=clip.expression, shape=clip.shape)
    made = generate(clip.frames[0], mesh, driver="mesh", landmarks=points)
    assert made.shape == clip.frames.shape and made.dtype == np.uint8
    one = Driving(frames=clip.frames[[0, 13]], pose=clip.pose[[0, 13]], expression=clip.expression[[0, 13]])
    alone = generate(clip.frames[0], one, driver="mesh", landmarks=points)[1]
    assert np.abs(made[13].astype(int) - alone).max() <= 1
    assert np.abs(made[13].astype(int) - made[0]).max() > 0
    steady = generate(clip.frames[0], mesh, driver="mesh", landmarks=points, steady=0.5)
    change = lambda frames: np.abs(np.diff(frames.astype(int), axis=0)).mean()  # noqa: E731
    assert np.array_equal(steady[0], made[0]) and 0 < change(steady) < change(made)
    heard = generate(clip.frames[0], Driving(audio=clip.audio), landmarks=points)
    assert heard.shape == made.shape and np.abs(heard[13].astype(int) - heard[0]).max() > 0
    for options, driving, message in (
        ({}, Driving(frames=clip.frames), "driven by audio"),
        ({"driver": "mesh"}, Driving(frames=clip.frames), "no mesh coefficients"),
        ({"driver": "text"}, mesh, "audio and mesh"),
        ({"steady": 1.0}, mesh, "below 1"),
    ):
        with pytest.raises(ValueError, match=message):
            generate(clip.frames[0], driving, **options)
    with pytest.raises(ValueError, match="32x32"):
        generate(np.zeros((64, 64, 3), np.uint8), mesh)


def test_the_mesh_is_fitted_to_the_source_and_moves_with_the_driver(clip):
    points = clip.landmarks[0, :, :2]
    still = hdtf.source_motion(points, SIZE)
    drawn = hdtf.mesh.points(still, SIZE)[0, hdtf.free_model().landmarks] + 0.5
    assert np.linalg.norm(drawn - points, axis=1).mean() < 0.02 * np.ptp(points[:, 0])
    head = np.concatenate([clip.pose[:, :3], clip.pose[:, 3:5] / SIZE], 1)
    turned = hdtf.moved(still, head)
    np.testing.assert_allclose(turned[0], still.head[0])
    np.testing.assert_allclose(turned[9, :3] - turned[2, :3], clip.pose[9, :3] - clip.pose[2, :3], atol=1e-4)


def test_a_head_that_settles_leaves_the_sources_turn_and_stays_in_its_place(clip):
    still = hdtf.source_motion(clip.landmarks[0, :, :2], SIZE)
    head = np.random.default_rng(0).normal(size=(50, 5))
    made = hdtf.moved(still, head, gain=0.5, settle=0.3)
    np.testing.assert_allclose(made[0], still.head[0])
    np.testing.assert_allclose(made[-1, :3], 0.5 * head[-1, :3], atol=1e-4)
    np.testing.assert_allclose(made[:, 3:], still.head[:, 3:] + 0.5 * (head - head[:1])[:, 3:])


def test_sample_grids(trained):
    _, sides, _, stages, batches = trained
    images = np.asarray(jax.jit(stages["video"].sample)(sides["video"], {}, batches["video"]))
    assert images.shape == (4, 6, SIZE, SIZE, 3) and images.min() >= 0 and images.max() <= 1
    stage = stages["animation"]
    drawn = np.asarray(jax.jit(stage.sample)(sides["animation"], stage.frozen(), batches["animation"]))
    assert drawn.shape == (4, 3, 64, 64, 3) and 0 <= drawn.min() and drawn.max() > 0.5


def test_a_mixed_picture_can_be_the_reference(trained):
    """With the mixing weights all on the reference, the picture is the reference."""
    config, sides, *_, batches = trained
    net, batch = video_stage.network(config), batches["video"]
    params = jax.tree.map(np.array, sides["video"]["params"]["video"])
    params["decoder"]["mix"]["kernel"][:] = 0
    params["decoder"]["mix"]["bias"][:] = (-50, -50, 50)
    variables = {"params": params, "batch_stats": sides["video"]["stats"]["video"]}
    image = np.float32(batch["source"][:1] / 255)
    made = jax.jit(lambda v, *x: net.apply(v, *x)["image"])(variables, image, batch["flow"][:1])
    np.testing.assert_allclose(made, image, atol=1e-5)


def test_faces_are_cut_as_for_the_identity_network(clip):
    picture = clip.frames[0]
    made = jax.jit(style.aligned)(picture[None], clip.landmarks[:1, :, :2])[0]
    wanted = arcface.align(picture, clip.landmarks[0])
    inner = slice(8, -8), slice(8, -8)
    assert np.abs(np.asarray(made)[inner] - wanted[inner]).mean() < 1.5  # OpenCV rounds positions to 1/32


def test_full_size_step_exports_for_every_platform():
    config = configs.load("hdtf", "paper", {"model.perceptual": "none", "model.identity": "landmarks"})
    side, time = config.data.size, config.model.frames
    shape = lambda *s, dtype=jnp.float32: jax.ShapeDtypeStruct((2, *s), dtype)  # noqa: E731
    image = shape(side, side, 3, dtype=jnp.uint8)
    batches = {
        "video": {"source": image, "driving": image, "flow": shape(side, side, 2)},
        "animation": {
            "audio": shape(time, 15), "mouth": shape(time, 28), "eyebrow": shape(time, 5), "head": shape(time, 5),
            "image": image, "landmarks": shape(68, 2),
        },
    }  # fmt: skip
    for stage in hdtf.METHOD.stages(config):
        batch, transform = (
            batches[stage.name],
            optimizer.make(with_settings(config, stage.settings).optimizer, 10),
        )
        start = lambda key, b, s=stage, t=transform: init_state(s, t, key, b, True)  # noqa: E731
        state = jax.eval_shape(start, jax.random.key(0), batch)
        step = jax.jit(make_step(stage, transform, 0.9))
        exported = jax.export.export(step, platforms=("cpu", "cuda", "tpu"))(state, stage.frozen(), batch)
        new, scalars = exported.out_tree.unflatten(exported.out_avals)
        assert jax.tree.structure(new) == jax.tree.structure(state)
        assert all(value.shape == () for value in scalars.values())
        if stage.name == "video":
            assert sum(x.size for x in jax.tree.leaves(state["generator"]["params"])) == 20_417_877


def test_unknown_teachers_are_refused():
    with pytest.raises(ValueError, match="vgg19, landmarks, none"):
        hdtf.METHOD.stages(configs.load("hdtf", "tiny", {"model.perceptual": "vgg91"}))
    with pytest.raises(ValueError, match="arcface, landmarks"):
        style.load("vggface")
