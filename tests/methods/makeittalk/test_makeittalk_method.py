from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talkbench import config as configs
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.geometry.topology import MOUTH, T_SHAPE
from talkbench.methods.makeittalk import faces, features, framing, losses, pitch, postprocess
from talkbench.methods.makeittalk import method as makeittalk
from talkbench.methods.makeittalk.features import FeatureError
from talkbench.methods.method import Driving
from talkbench.nn.vgg import VGG
from talkbench.training import optimizer
from talkbench.training.step import init_state, make_step

SIZE, STEPS = 16, 40
# Compiled in well under half of the time, run slower.
QUICK = {
    "xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True, "xla_cpu_use_fusion_emitters": False,
}  # fmt: skip
SMALL = {
    "model.frames.voice_conversion": "16", "model.frames.content": "8", "model.frames.speaker": "24",
    "model.voice_encoder.hidden": "8", "model.voice_encoder.features": "8", "model.voice_conversion.width": "16",
    "model.voice_conversion.neck": "4", "model.content.prior": "16", "model.content.projected": "8",
    "model.content.hidden": "16", "model.content.widths": "[32, 16]", "model.speaker.hidden": "8",
    "model.speaker.speaker": "[8, 8]", "model.speaker.width": "8", "model.speaker.encoder_layers": "1",
    "model.speaker.feed_forward": "16", "model.speaker.widths": "[16, 16]", "model.discriminator.width": "8",
    "model.discriminator.feed_forward": "8", "model.discriminator.widths": "[8, 8]", "model.translation.widths": "[8, 8]",
    "model.finer": "2", "optimizer.warmup_steps": "1", "loss.image_translation.perceptual": "0.0",
    "model.perceptual": "none", "model.utterances": "2",
}  # fmt: skip
FALLS = {
    "voice_conversion": ("fine", 0.5),
    "content": ("position", 0.7),
    "speaker": ("position", 0.7),
    "image_translation": ("l1", 0.8),
}


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 25, SIZE)


@pytest.fixture(scope="module")
def trained(clip):
    config = configs.load("makeittalk", "tiny", SMALL)
    sides, curves = {}, {}
    for stage in makeittalk.METHOD.stages(config):
        stage = stage(sides) if not hasattr(stage, "name") else stage
        examples = [stage.features(view_of(clip), np.random.default_rng(i)) for i in range(2)]
        batch = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
        transform = optimizer.make(config.optimizer, STEPS + 20)
        start = lambda key, b, s=stage, t=transform: init_state(s, t, key, b, ema=False)  # noqa: E731
        state = jax.jit(start, compiler_options=QUICK)(jax.random.key(0, impl="unsafe_rbg"), batch)
        step, losses = jax.jit(make_step(stage, transform, 0.0), compiler_options=QUICK), []
        frozen = stage.frozen()
        for _ in range(STEPS):
            state, scalars = step(state, frozen, batch)
            losses.append(jax.device_get(scalars))
        sides[stage.name] = jax.device_get({key: state["generator"][key] for key in ("params", "stats")})
        curves[stage.name] = losses
        if stage.sample:
            grid = np.asarray(stage.sample(sides[stage.name], frozen, batch))
            assert grid.shape == (2, 4, SIZE, SIZE, 3) and grid.min() >= 0 and grid.max() <= 1
    return config, sides, curves


def test_all_stages_overfit_one_batch(trained):
    _, _, curves = trained
    assert list(curves) == list(FALLS)
    for name, rows in curves.items():
        assert all(np.isfinite(list(row.values())).all() for row in rows), name
        term, factor = FALLS[name]
        assert rows[-1][term] < factor * rows[0][term], name
    assert {"realism", "real", "fake", "manner"} <= curves["speaker"][0].keys()
    assert "voice" in curves["voice_conversion"][0] and "mouth" in curves["image_translation"][0]


def test_the_manner_term_hears_anothers_voice(trained, clip, monkeypatch):
    config, sides, _ = trained
    stage = makeittalk.METHOD.stages(config)[2](sides)
    examples = [stage.features(view_of(clip), np.random.default_rng(i)) for i in range(3)]
    batch = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
    batch["manner"] = np.arange(12, dtype=np.float32).reshape(3, 4)
    monkeypatch.setattr(losses, "manner", lambda fake, real, *_: (fake, real))
    side, judge = stage.init(jax.random.key(0), batch)

    @partial(jax.jit, compiler_options=QUICK)
    def compared(batch):
        return stage.generator_loss(
            side["params"], side["stats"], judge, stage.frozen(), batch, jax.random.key(1)
        )[0]["manner"]

    moved, owed = compared(batch)
    np.testing.assert_array_equal(owed, batch["manner"][[2, 0, 1]])
    voices = np.array(batch["voices"])
    voices[1] = voices[1, ..., ::-1]
    changed = np.abs(np.asarray(compared(batch | {"voices": voices})[0]) - moved).max((1, 2))
    assert changed[2] > 1e-6 and not changed[:2].any()


@pytest.fixture(scope="module")
def animate(trained):
    config, sides, _ = trained
    return makeittalk.animator(config, sides)


def test_generation(trained, clip, animate, monkeypatch):
    config, sides, _ = trained
    monkeypatch.setattr(makeittalk, "animator", lambda *_: animate)  # compiled once for the file
    generate = makeittalk.generator(config, sides, batch=10)
    sound, points = Driving(audio=clip.audio), clip.landmarks[0, :, :2]
    made = generate(clip.frames[0], sound, landmarks=points)
    assert made.shape == clip.frames.shape and made.dtype == np.uint8
    whole = makeittalk.generator(config, sides, batch=25)(clip.frames[0], sound, landmarks=points)
    assert np.abs(made.astype(int) - whole).max() <= 1
    bent = generate(clip.frames[0], sound, landmarks=points, cartoon=True)
    assert bent.shape == clip.frames.shape and bent.dtype == np.uint8
    with pytest.raises(ValueError, match="driven by audio"):
        generate(clip.frames[0], Driving(frames=clip.frames))
    with pytest.raises(ValueError, match="square"):
        generate(clip.frames[0][:10], sound)


def test_only_the_speaker_moves_the_head(clip, animate):
    scene = framing.frame(clip.landmarks[0], SIZE, framing.standard_face())
    moved, still = (animate(clip.audio, clip.num_frames, scene, head=head) for head in (True, False))
    assert moved.shape == still.shape == (clip.num_frames, 68, 3)
    assert np.abs(moved - still)[:, T_SHAPE].mean() > 1e-3
    np.testing.assert_allclose(moved[0], still[0], atol=1e-9)
    spoken = (animate(clip.audio, clip.num_frames, scene, head=False, lips=factor) for factor in (1.0, 2.0))
    once, twice = ((x - scene.posed)[:, MOUTH, 1] for x in spoken)
    assert np.corrcoef(once.ravel(), twice.ravel())[0, 1] > 0.9
    assert np.abs(twice).mean() > 1.5 * np.abs(once).mean()


def test_a_settled_segment_starts_at_rest_without_a_jump():
    segment = np.linspace(3.0, 5.0, 60)[:, None] * np.ones(4)
    settled = postprocess.settle(segment, 20)
    assert not settled[0].any() and (settled[20:] == segment[20:]).all()
    assert np.abs(np.diff(settled, axis=0)).max() < 0.2


@pytest.mark.parametrize("frames, window", [(1, 11), (7, 11), (40, 11), (90, 31)])
def test_the_head_starts_where_the_source_has_it(frames, window):
    moves = postprocess.settle(np.random.default_rng(frames).normal(size=(frames, 68, 3)))
    made = postprocess.head_motion(moves, window)
    assert made.shape == moves.shape and not made[0].any()
    smooth = postprocess.close_lips(postprocess.smooth(moves, window))
    np.testing.assert_array_equal(made[30:], smooth[30:])
    assert frames < window or np.abs(smooth[0]).mean() > 0.01  # smoothing alone moves it


def test_a_rigid_motion_follows_the_t_shape():
    rng, face = np.random.default_rng(0), framing.standard_face()
    turns = Rotation.from_euler("xyz", rng.normal(0, 10, (5, 3)), degrees=True).as_matrix()
    moved = face @ turns.swapaxes(1, 2) + rng.normal(0, 0.1, (5, 1, 3)) - face
    torn = np.array(moved)
    torn[:, :17] *= 0.5  # a jaw that stays behind
    np.testing.assert_allclose(postprocess.rigid(moved, face), moved, atol=1e-9)
    np.testing.assert_allclose(postprocess.rigid(torn, face), moved, atol=1e-9)
    middle = face[T_SHAPE].mean(0)
    np.testing.assert_allclose(
        postprocess.rigid(0.2 * (face - middle)[None], face), 0, atol=1e-9
    )  # growth is none


def test_framing_finds_depth_and_turns_back(clip):
    standard = framing.standard_face()
    truth = clip.landmarks[10].astype(np.float64)
    scene = framing.frame(truth[:, :2], SIZE, standard)
    np.testing.assert_allclose(scene.pixels(scene.posed)[:, :2], truth[:, :2], atol=1e-9)
    assert np.corrcoef(framing.lift(truth, standard)[:, 2], truth[:, 2])[0, 1] > 0.9
    turned = (scene.frontal - scene.frontal.mean(0)) @ scene.turn.T
    np.testing.assert_allclose(turned, scene.posed - scene.posed.mean(0), atol=1e-9)
    assert abs(np.linalg.norm(scene.frontal[45] - scene.frontal[36]) - 1) < 0.2


def test_a_stance_keeps_where_a_head_is_and_forgets_whose(clip):
    standard = framing.standard_face()
    still = standard[T_SHAPE].mean(0)
    turn = Rotation.from_euler("xyz", (10, 25, -5), degrees=True).as_matrix()
    place = (standard - still) @ turn.T + [0.3, -0.2, 0.0]
    np.testing.assert_allclose(framing.stance(place, standard), place, atol=1e-6)
    other = np.array(place)
    other[48:68] *= 1.3  # no point that registration uses
    np.testing.assert_allclose(framing.stance(other, standard), place, atol=1e-6)
    ear = features.Ear("autocorrelation", "M", 9)
    told = [
        features.Speech(ear, 20, posed=True, anonymous=anonymous)(view_of(clip), np.random.default_rng(1))
        for anonymous in (False, True)
    ]
    np.testing.assert_array_equal(told[0]["seen_face"], told[0]["posed_face"])
    anonymous, face = (x.reshape(68, 3) for x in (told[1]["seen_face"], told[1]["posed_face"]))
    np.testing.assert_allclose(faces.register(anonymous[None], standard)[1][0], standard, atol=1e-3)
    assert 0.01 < np.abs(anonymous - face).max() and np.abs((anonymous - face)[T_SHAPE]).mean() < 0.1


def test_features_follow_the_clip(clip):
    ear = features.Ear("autocorrelation", "M", 9)
    example = features.Speech(ear, 20, posed=True)(view_of(clip), np.random.default_rng(1))
    assert example["mel"].shape == (37, 80) and example["target"].shape == (20, 204)
    frontal = (example["target"] - example["face"]).reshape(20, 68, 3)
    assert np.abs(frontal[:, T_SHAPE]).mean() < 0.01 < np.abs(frontal[:, 8]).mean()
    posed = (example["posed_target"] - example["posed_face"]).reshape(20, 68, 3)
    assert np.abs(posed[0, T_SHAPE]).max() < 0.03
    with pytest.raises(FeatureError, match="lower config.model.frames"):
        features.Speech(ear, 200)(view_of(clip), np.random.default_rng(0))
    with pytest.raises(FeatureError, match="there are pyin"):
        features.Ear("yin", "M").hear(clip.audio)


def test_drawings_finer_than_a_pixel_show_small_shifts(clip):
    points = clip.landmarks[0, :, :2]
    moved = points + [0.3, 0]
    assert not (features.draw(points, SIZE, 4) == features.draw(moved, SIZE, 4)).all()


def test_autocorrelation_hears_the_pitch_of_tones():
    time = np.arange(16_000) / 16_000
    for hertz in (90, 180):
        tone = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6))
        tone[:4000] = 0
        log_pitch = pitch.autocorrelation(tone, 50, 250)
        assert len(log_pitch) == 63 and (log_pitch[:12] < -1e9).all()
        np.testing.assert_allclose(np.exp(log_pitch[20:58]), hertz, rtol=0.02)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_full_size_step_has_the_right_shapes(preset):
    config = configs.load("makeittalk", preset)
    frames, side, trained = config.model.frames, config.data.size, {}
    shape = lambda *s, dtype=jnp.float32: jax.ShapeDtypeStruct((2, *s), dtype)  # noqa: E731
    picture = shape(side, side, 3, dtype=jnp.uint8)

    def speech(count):
        sound = {
            "mel": shape(count + 17, 80),
            "pitch": shape(count + 17, dtype=jnp.int32),
            "voices": shape(config.model.utterances, 160, 40),
        }
        return sound | {"face": shape(204), "target": shape(count, 204)}

    posed = {
        "posed_face": shape(204),
        "seen_face": shape(204),
        "posed_target": shape(frames.speaker, 204),
        "turn": shape(3, 3),
    }
    if preset == "tiny":
        posed["manner"] = shape(4)
    voiced = frames.voice_conversion
    batches = {
        "voice_conversion": {
            "mel": shape(voiced, 80), "pitch": shape(voiced, dtype=jnp.int32), "voices": shape(2, 160, 40),
            "who": shape(dtype=jnp.int32),
        },
        "content": speech(frames.content),
        "speaker": speech(frames.speaker) | posed,
        "image_translation": dict.fromkeys(("portrait", "target", "drawing"), picture) | {"window": shape(3)},
    }  # fmt: skip
    if config.model.own_drawing:
        batches["image_translation"]["own"] = picture
    if config.model.bent:
        batches["image_translation"]["bent"] = picture
    vgg = jax.eval_shape(VGG().init, jax.random.key(0), shape(side, side, 3))
    # Of tiny only what `trained` leaves out: its perceptual term, the portrait's own drawing, the bent portrait.
    for stage in makeittalk.METHOD.stages(config)[0 if preset == "paper" else -1 :]:
        stage = stage(trained) if not hasattr(stage, "name") else stage
        paper_teacher = preset == "paper" and stage.name == "image_translation"
        batch, frozen = batches[stage.name], vgg if paper_teacher else stage.frozen()
        transform = optimizer.make(config.optimizer, 10)
        start = lambda key, b, s=stage, t=transform: init_state(s, t, key, b, True)  # noqa: E731
        state = jax.eval_shape(start, jax.random.key(0), batch)
        new, scalars = jax.eval_shape(make_step(stage, transform, 0.9), state, frozen, batch)
        assert jax.tree.structure(new) == jax.tree.structure(state)
        assert all(value.shape == () for value in scalars.values())
        trained[stage.name] = {name: new["generator"][name] for name in ("params", "stats")}
    assert ("mouth" in scalars) and (preset == "paper") == (stage.weights["l1"] == 1.0)
