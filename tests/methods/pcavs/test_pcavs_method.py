import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench import config as configs
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.evaluators import builtin
from talkbench.methods.method import Driving
from talkbench.methods.pcavs import method as pcavs
from talkbench.methods.pcavs import report, stages
from talkbench.methods.pcavs.modules import held, modules
from talkbench.training import optimizer
from talkbench.training.step import init_state, make_step

SIZE = 32
SMALL = {
    "data.size": "32",
    "model.non_identity.features": "16",
    "model.non_identity.mouth_dim": "8",
    "model.non_identity.widths": "[8, 8]",
    "model.identity.features": "16",
    "model.identity.num_classes": "4",
    "model.identity.widths": "[8, 8]",
    "model.audio.widths": "[8, 8]",
    "model.generator.widths": "[16, 8]",
    "model.pretrained": "none",
    "model.discriminator.features": "4",
    "model.discriminator.layers": "2",
    "loss.gan": "0.05",
    "loss.feature_matching": "0.25",
    "optimizer.learning_rate": "0.005",
    "optimizer.warmup_steps": "0",
    "sync.length": "2",
    "teacher.perceptual": "none",
}


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 12, SIZE)


def batch_of(stage, clip, count=4):
    examples = [stage.features(view_of(clip), np.random.default_rng(i)) for i in range(count)]
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def fit(config, stage, batch, steps):
    transform = optimizer.make(config.optimizer, steps)
    state = jax.jit(lambda key: init_state(stage, transform, key, batch, ema=False))(jax.random.key(0))
    step, frozen, rows = jax.jit(make_step(stage, transform, 0.0)), stage.frozen(), []
    for _ in range(steps):
        state, scalars = step(state, frozen, batch)
        rows.append(jax.device_get(scalars))
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    return jax.device_get({key: state["generator"][key] for key in ("params", "stats")}), rows


@pytest.fixture(scope="module")
def trained(clip):
    config = configs.load("pcavs", "tiny", SMALL | {"model.frozen": "[]"})
    stage = stages.generator_stage(config)
    batch = batch_of(stage, clip)
    side, rows = fit(config, stage, batch, 40)
    return config, stage, side, batch, rows


@pytest.fixture(scope="module")
def generate(trained):
    config, _, side, *_ = trained
    return pcavs.generator(config, {"generator": side}, batch=5)


def test_overfits_one_batch(trained):
    *_, rows = trained
    assert rows[-1]["reconstruction"] < 0.7 * rows[0]["reconstruction"]
    assert rows[-1]["pose_code"] < 0.7 * rows[0]["pose_code"]


@pytest.mark.parametrize("among", ["clips", "moments"])
def test_speech_content_is_learned(clip, among):
    more = {"sync.among": among, "sync.negatives": "1" if among == "clips" else "0"}
    config = configs.load("pcavs", "tiny", SMALL | more)
    stage = stages.sync_stage(config)
    batch = batch_of(stage, clip)
    assert ("shifted" in batch) == (among == "clips")
    _, rows = fit(config, stage, batch, 12)
    chosen_from = 4 + 1 if among == "clips" else config.sync.length
    assert rows[0]["contrastive_audio"] == pytest.approx(np.log(chosen_from), abs=0.5)
    assert rows[-1]["contrastive_audio"] < rows[0]["contrastive_audio"]
    if among == "moments":
        assert rows[-1]["pose_code"] < rows[0]["pose_code"]


def test_early_stages_learn_and_the_last_one_starts_from_them(clip):
    config = configs.load("pcavs", "tiny", SMALL)
    first, second, last = stages.stages(config)
    learned = {}
    for stage, term in ((first, "identity"), (second, "contrastive_audio")):
        batch = batch_of(stage, clip)
        if term == "identity":
            batch["label"] = np.arange(4, dtype=np.int32)
        learned[stage.name], rows = fit(config, stage, batch, 12)
        assert rows[-1][term] < rows[0][term]
    stage = last(learned)
    side, _ = jax.jit(stage.init)(jax.random.key(5), batch_of(stage, clip, 2))
    for name, source in (("V", "identity"), ("E", "sync"), ("A_sync", "sync")):
        for ours, theirs in zip(
            jax.tree.leaves(side["params"][name]),
            jax.tree.leaves(learned[source]["params"][name]),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)
    share = config.stages.identity.share * config.train.steps
    assert first.settings == {"train": {"steps": share, "batch_size": 16}}
    assert not first.exported and not second.exported and stage.exported


def test_frame_i_is_made_from_sound_frame_i(trained, generate, clip):
    """A click in one frame of the sound moves the frames whose window has it, and no other."""
    k, sound = 7, np.zeros(16 * 640, np.float32)
    silent = generate(clip.frames[0], Driving(audio=sound))
    sound[640 * k + 320] = 0.5
    made = generate(clip.frames[0], Driving(audio=sound))
    assert made.shape == (16, SIZE, SIZE, 3) and made.dtype == np.uint8
    moved = np.abs(made.astype(int) - silent).max((1, 2, 3)) > 0
    assert not moved[: k - 2].any() and not moved[k + 5 :].any()
    assert moved[k - 1 : k + 4].all()


def test_every_frame_alone_as_in_a_batch(generate, clip):
    driving = Driving(frames=clip.frames, audio=clip.audio)
    made = generate(clip.frames[0], driving)
    assert made.shape == clip.frames.shape
    again = generate(clip.frames[0], driving)
    np.testing.assert_array_equal(made, again)  # no fresh noise at inference


def test_pose_from_everywhere(trained, generate, clip, caplog):
    source, audio = clip.frames[0], clip.audio
    numbers = trained[0].model.non_identity.pose_dim
    driver = generate(source, Driving(clip.frames, audio))
    zero = generate(source, Driving(audio=audio), pose="zero")
    assert np.abs(driver.astype(int) - zero).max() > 0
    given = generate(source, Driving(audio=audio), pose=",".join(["0"] * numbers))
    np.testing.assert_array_equal(zero, given)
    assert np.abs(generate(source, Driving(audio=audio), pose="1.5").astype(int) - zero).max() > 0
    kept = generate(source, Driving(clip.frames, audio), pose="source")
    np.testing.assert_array_equal(kept, generate(source, Driving(audio=audio)))
    with caplog.at_level(logging.WARNING):
        short = generate(source, Driving(clip.frames[:5], audio))
    assert "5 frames, the sound 12: it is played to and fro" in caplog.text
    np.testing.assert_array_equal(short[:5], driver[:5])
    longer = generate(source, Driving(clip.frames, audio[: 7 * 640]))
    assert len(longer) == 7


def test_bad_input_is_one_clear_line(generate, clip, caplog):
    source, audio = clip.frames[0], clip.audio
    for words, call, options in (
        ("pass --audio", Driving(frames=clip.frames), {}),
        ("40 ms", Driving(audio=audio[:300]), {}),
        ("needs a video", Driving(audio=audio), {"pose": "driver"}),
        ("auto, driver, source, zero", Driving(audio=audio), {"pose": "left"}),
        ("at most", Driving(audio=audio), {"pose": ",".join("0" * 50)}),
        ("32x32", Driving(np.zeros((3, 64, 64, 3), np.uint8), audio), {}),
    ):
        with pytest.raises(ValueError, match=words):
            generate(source, call, **options)
    noise = np.random.default_rng(0).integers(0, 256, source.shape, dtype=np.uint8)
    for nobody in (noise, np.full_like(source, 90)):
        with pytest.raises(ValueError, match="no face found"):
            generate(nobody, Driving(audio=audio))
    with caplog.at_level(logging.WARNING):
        assert len(generate(source, Driving(audio=np.zeros(640, np.float32)))) == 1
    assert "silent" in caplog.text


def test_report_reads_both_encoders(trained, clip):
    config, _, side, *_ = trained
    seen, heard = report.encoders(config, {"generator": side}, batch=5)
    rows = seen(clip.frames), heard(clip.audio)
    assert rows[0].shape == rows[1].shape == (12, 16)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1, rtol=1e-5)


def test_sample_grid(trained):
    _, stage, side, batch, _ = trained
    images = jax.jit(stage.sample)(side, stage.frozen(), batch)
    assert images.shape == (4, 5, SIZE, SIZE, 3)
    assert images.min() >= 0 and images.max() <= 1


def test_frozen_parts_get_no_gradient():
    params = {"E": {"model": 1.0, "to_mouth_0": 1.0, "headpose_embed_1": 1.0}, "V": {"x": 1.0}, "G": 1.0}
    total = lambda p: sum(jax.tree.leaves(held(p, ("V", "backbone", "to_mouth"))))  # noqa: E731
    assert jax.grad(total)(params) == {
        "E": {"model": 0, "to_mouth_0": 0, "headpose_embed_1": 1}, "V": {"x": 0}, "G": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match="no part netV"):
        held(params, ("netV",))


def test_the_backbone_starts_from_fan(monkeypatch):
    config = configs.load("pcavs", "paper", {"teacher.perceptual": "none"})
    with pytest.raises(ValueError, match="fan-2d"):
        stages._with_backbone(config, {})  # the weights are a download
    sevens = jax.tree.map(lambda x: np.broadcast_to(np.float32(7), x.shape), stages.fan.abstract())
    monkeypatch.setattr(stages.store, "path_of", lambda name: name)
    monkeypatch.setattr(stages.fan, "read_weights", lambda path: sevens)
    shapes = jax.eval_shape(modules(config)["E"].init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), shapes)
    made = stages._with_backbone(config, zeros)["params"]
    assert {float(x.max()) for x in jax.tree.leaves(made["model"]["m0"])} == {7}
    assert {float(x.max()) for x in jax.tree.leaves([made["model"]["fc"], made["to_mouth_0"]])} == {0}


def test_the_small_backbone_starts_from_a_landmark_network(clip):
    config = configs.load("pcavs", "tiny")
    network, variables = builtin.teacher()
    picture = clip.frames[:1].repeat(64 // SIZE, 1).repeat(64 // SIZE, 2)
    fresh = jax.jit(lambda key: modules(config)["E"].init(key, stages.unit(picture), train=True))
    made = stages._with_backbone(config, fresh(jax.random.key(0)))
    ours = {name: {layer: made[name]["model"][layer] for layer in variables[name]} for name in variables}
    for a, b in zip(
        network(ours, stages.unit(picture) + 0.5), network(variables, picture / 255.0), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)
    with pytest.raises(ValueError, match="widths must be 24,48,72"):
        other = configs.load("pcavs", "tiny", {"model.non_identity.widths": "[8,8,8]"})
        stages._with_backbone(
            other, jax.eval_shape(modules(other)["E"].init, jax.random.key(0), picture / 1.0)
        )
    with pytest.raises(ValueError, match="landmarks for the backbone pyramid"):
        stages._with_backbone(configs.load("pcavs", "tiny", {"model.pretrained": "fan-2d"}), {})


def test_configs_that_contradict_themselves():
    with pytest.raises(ValueError, match="data.size is 64"):
        stages.identity_stage(configs.load("pcavs", "tiny", {"model.generator.start": "7"}))
    with pytest.raises(ValueError, match="a power of two"):
        stages.identity_stage(
            configs.load("pcavs", "tiny", {"model.generator.widths": "[8]", "model.generator.start": "32"})
        )
    with pytest.raises(ValueError, match="which the sync stage learns only with"):
        stages.stages(configs.load("pcavs", "tiny", {"loss.pose_code": "0"}))
    unlabelled = configs.load("pcavs", "tiny", {"loss.pose_code": "0", "model.frozen": "['to_mouth']"})
    assert len(stages.stages(unlabelled)) == 3
    with pytest.raises(ValueError, match="crop=false"):
        stages.stages(configs.load("pcavs", "tiny", {"augment.crop": "true"}))
    with pytest.raises(ValueError, match="generator at the end"):
        stages.stages(configs.load("pcavs", "tiny", {"stages.order": "['generator','sync']"}))
    with pytest.raises(ValueError, match="clips and moments"):
        stages.sync_stage(configs.load("pcavs", "tiny", {"sync.among": "words"}))
    with pytest.raises(ValueError, match="vgg19, landmarks, none"):
        stages.generator_stage(configs.load("pcavs", "tiny", {"teacher.perceptual": "vgg91"}))


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_full_size_steps_have_the_right_shapes(preset):
    absent = {"teacher.perceptual": "none", "model.pretrained": "none"}
    config = configs.load("pcavs", preset, absent if preset == "paper" else {})
    side, length = config.data.size, config.sync.length
    shape = lambda *s, dtype=jnp.float32: jax.ShapeDtypeStruct((2, *s), dtype)  # noqa: E731
    picture = lambda *before: shape(*before, side, side, 3, dtype=jnp.uint8)  # noqa: E731
    batches = {
        "identity": {"source": picture(), "label": shape(dtype=jnp.int32)},
        "sync": {"seen": picture(length), "heard": shape(length, 80, 20)},
        "generator": {
            "source": picture(), "target": picture(), "posing": picture(), "heard": shape(80, 20),
            "label": shape(dtype=jnp.int32), "mouth": shape(3), "pose": shape(6),
        },
    }  # fmt: skip
    if config.sync.among == "moments":
        batches["sync"]["pose"] = shape(length, 6)
    if config.sync.negatives:
        batches["sync"]["shifted"] = shape(config.sync.negatives, length, 80, 20)
    transform = optimizer.make(config.optimizer, 10)
    for stage in stages.stages(config):
        stage = stage({}) if callable(stage) else stage
        batch = batches[stage.name]
        state = jax.eval_shape(
            lambda key, b, s=stage: init_state(s, transform, key, b, True), jax.random.key(0), batch
        )
        new, scalars = jax.eval_shape(make_step(stage, transform, 0.9), state, stage.frozen(), batch)
        assert jax.tree.structure(new) == jax.tree.structure(state)
        assert all(value.shape == () for value in scalars.values())
