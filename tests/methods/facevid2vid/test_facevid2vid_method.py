import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench import config as configs
from talkbench.data.clip import Clip
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.methods.facevid2vid import method as facevid2vid
from talkbench.methods.facevid2vid.features import FeatureError, Pair, head_rotations
from talkbench.methods.method import Driving
from talkbench.training import optimizer
from talkbench.training.step import init_state, make_step

SIZE = 32
SMALL = {
    "data.size": "32",
    "model.num_keypoints": "14",
    "model.keypoint_detector.num_blocks": "1",
    "model.estimator.widths": "[8, 8]",
    "model.generator.block_expansion": "8",
    "model.generator.max_features": "8",
    "model.generator.motion_blocks": "1",
    "model.discriminator.num_blocks": "2",
}


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 12, SIZE)


@pytest.fixture(scope="module")
def trained(clip):
    config = configs.load("facevid2vid", "tiny", SMALL)
    stage = facevid2vid.train_stage(config)
    view = view_of(clip)
    examples = [stage.features(view, np.random.default_rng(i)) for i in range(4)]
    batch = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
    transform = optimizer.make(config.optimizer, 50)
    state = init_state(stage, transform, jax.random.key(0), batch, ema=False)
    step = jax.jit(make_step(stage, transform, 0.0))
    frozen, losses = stage.frozen(), []
    for _ in range(40):
        state, scalars = step(state, frozen, batch)
        losses.append(jax.device_get(scalars))
    side = {key: state["generator"][key] for key in ("params", "stats")}
    return config, stage, jax.device_get(side), batch, losses


def test_overfits_one_batch(trained):
    *_, losses = trained
    assert all(np.isfinite(list(row.values())).all() for row in losses)
    assert losses[-1]["reconstruction"] < 0.7 * losses[0]["reconstruction"]
    assert losses[-1]["landmarks"] < 0.6 * losses[0]["landmarks"]


def test_generates_every_frame_alone_as_in_a_batch(trained, clip):
    config, _, side, *_ = trained
    generate = facevid2vid.generator(config, {"video": side}, batch=5)
    made = generate(clip.frames[0], Driving(frames=clip.frames))
    assert made.shape == clip.frames.shape and made.dtype == np.uint8
    one = generate(clip.frames[0], Driving(frames=clip.frames[7:8]))
    assert np.abs(made[7].astype(int) - one[0]).max() <= 1
    assert np.abs(made[0].astype(int) - made[7]).max() > 0


def test_options(trained, clip):
    config, _, side, *_ = trained
    generate = facevid2vid.generator(config, {"video": side})
    driving = Driving(frames=clip.frames)
    still = generate(clip.frames[0], Driving(frames=clip.frames[:1].repeat(3, 0)), mode="relative")
    assert np.abs(still[0].astype(int) - still[2]).max() == 0
    turned = generate(clip.frames[0], driving, yaw=30.0)
    assert np.abs(turned.astype(int) - generate(clip.frames[0], driving, yaw=-30.0)).max() > 0
    generate(clip.frames[0], driving, mode="relative", adapt_scale=True)
    with pytest.raises(ValueError, match="absolute and relative"):
        generate(clip.frames[0], driving, mode="sideways")
    with pytest.raises(ValueError, match="32x32"):
        generate(np.zeros((64, 64, 3), np.uint8), driving)
    with pytest.raises(ValueError, match="driven by video"):
        generate(clip.frames[0], Driving(audio=clip.audio))


def test_sample_grid(trained):
    _, stage, side, batch, _ = trained
    images = stage.sample(side, {}, batch)
    assert images.shape == (4, 4, SIZE, SIZE, 3)
    assert images.min() >= 0 and np.isfinite(images).all()


def test_mirrored_pairs_carry_mirrored_labels(clip):
    view = view_of(clip)
    pair = Pair(landmarks=(30, 36, 45), mouth=True, headpose=True, time_flip=False, colour=(0, 0, 0, 0))
    seen = {}
    for seed in range(40):
        example = pair(view, np.random.default_rng(seed))
        index = [i for i in range(12) if (clip.frames[i] == example["source"]).all()]
        flipped = [i for i in range(12) if (clip.frames[i, :, ::-1] == example["source"]).all()]
        truth = clip.landmarks[(index or flipped)[0], [30, 36, 45], :2] * (2 / SIZE) - 1
        if flipped and not index:
            truth = truth[[0, 2, 1]] * (-1, 1)
        np.testing.assert_allclose(example["landmarks"][0], truth, atol=1e-5)
        seen[bool(index)] = True
        yaw = clip.pose[(index or flipped)[0], 0] * (1 if index else -1)
        assert abs(example["headpose"][0, 0] - yaw) < 12  # another order of axes, the same head
        assert np.sign(example["headpose"][0, 0]) == np.sign(yaw) or abs(yaw) < 6
    assert len(seen) == 2


def test_rotation_labels_rotate_canonical_keypoints_as_the_head_turns(clip):
    """The labels' rotation, put through the method's own algebra, moves mesh points to where the landmarks are."""
    from talkbench.geometry.alignment import similarity
    from talkbench.geometry.rotations import hopenet_angles
    from talkbench.methods.facevid2vid.pose import rotation_matrix

    frames = np.array([0, 6, 11])
    angles = hopenet_angles(head_rotations(view_of(clip), frames))
    turned = np.asarray(rotation_matrix(*np.moveaxis(angles, -1, 0), pi=np.pi))
    rigid = [27, 28, 29, 30, 33, 36, 39, 42, 45]
    first, later = clip.landmarks[0, rigid], clip.landmarks[11, rigid]
    expected = first @ (turned[2] @ turned[0].T).T
    scale, rotation, _ = similarity(expected, later)
    assert abs(scale - 1) < 0.05
    assert np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))) < 2.5


def test_labels_that_are_missing_are_named_with_the_switch(clip):
    bare = Clip("bare", "bare", clip.frames, clip.audio)
    with pytest.raises(FeatureError, match="bare: no landmarks.*headpose=none"):
        Pair(headpose=True)(view_of(bare), np.random.default_rng(0))
    assert set(Pair()(view_of(bare), np.random.default_rng(0))) == {"source", "driving"}


@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_full_size_step_exports_for_every_platform(preset):
    config = configs.load("facevid2vid", preset)
    if preset == "paper":
        with config.unlocked():
            config.teacher.update({"perceptual": "none", "headpose": "none"})
    stage = facevid2vid.train_stage(config)
    side = config.data.size
    shape = lambda *s, dtype=jnp.float32: jax.ShapeDtypeStruct((2, *s), dtype)  # noqa: E731
    batch = {
        "source": shape(side, side, 3, dtype=jnp.uint8),
        "driving": shape(side, side, 3, dtype=jnp.uint8),
    }
    if preset != "paper":
        batch |= {"mouth": shape(3), "landmarks": shape(2, 14, 2), "headpose": shape(2, 3)}
    transform = optimizer.make(config.optimizer, 10)
    state = jax.eval_shape(
        lambda key, b: init_state(stage, transform, key, b, True), jax.random.key(0), batch
    )
    step = jax.jit(make_step(stage, transform, 0.9))
    exported = jax.export.export(step, platforms=("cpu", "cuda", "tpu"))(state, stage.frozen(), batch)
    new, scalars = exported.out_tree.unflatten(exported.out_avals)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert all(value.shape == () for value in scalars.values())
    if preset == "paper":
        count = {n: sum(x.size for x in jax.tree.leaves(p)) for n, p in state["generator"]["params"].items()}
        assert count == {"keypoint_detector": 41_940_047, "estimator": 30_254_838, "generator": 100_988_176}


def test_unknown_teacher_is_refused():
    with pytest.raises(ValueError, match="vgg19, landmarks, none"):
        facevid2vid.train_stage(configs.load("facevid2vid", "tiny", {"teacher.perceptual": "vgg91"}))
