import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench import config as configs
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.methods.atvgnet import method as atvgnet
from talkbench.methods.method import Driving
from talkbench.training import optimizer
from talkbench.training.step import init_state, make_step

SIZE = 16
SMALL = {
    "model.crop": str(SIZE), "model.frames.atnet": "2", "model.frames.vgnet": "2", "model.vgnet.width": "4",
    "model.vgnet.hidden": "16",
    "model.vgnet.blocks": "1", "model.atnet.widths": "[2, 2, 4, 4, 4]", "model.atnet.dense": "[16, 16]",
    "model.atnet.hidden": "16", "model.discriminator.widths": "[2, 4, 4, 8]", "loss.gan": "0.01", "loss.landmark": "1e-4",
    "optimizer.warmup_steps": "1",
}  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 30, 32)


@pytest.fixture(scope="module")
def trained(clip):
    config = configs.load("atvgnet", "tiny", SMALL)
    sides, curves, stages, batches = {}, {}, {}, {}
    for stage in atvgnet.METHOD.stages(config):
        examples = [stage.features(view_of(clip), np.random.default_rng(i)) for i in range(2)]
        batch = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
        transform = optimizer.make(config.optimizer, 60)
        state = jax.jit(lambda key, b, s=stage, t=transform: init_state(s, t, key, b, ema=False))(
            jax.random.key(0), batch
        )
        step, losses = jax.jit(make_step(stage, transform, 0.0)), []
        for _ in range(40):
            state, scalars = step(state, {}, batch)
            losses.append(jax.device_get(scalars))
        sides[stage.name] = jax.device_get({key: state["generator"][key] for key in ("params", "stats")})
        curves[stage.name], stages[stage.name], batches[stage.name] = losses, stage, batch
    return config, sides, curves, stages, batches


def test_both_stages_overfit_one_batch(trained):
    _, _, curves, *_ = trained
    for losses in curves.values():
        assert all(np.isfinite(list(row.values())).all() for row in losses)
    assert curves["atnet"][-1]["codes"] < 0.5 * curves["atnet"][0]["codes"]
    assert curves["vgnet"][-1]["pixel"] < 0.8 * curves["vgnet"][0]["pixel"]
    terms = {
        "pixel",
        "mouth",
        "gan",
        "landmark",
        "judged_real",
        "judged_fake",
        "landmark_real",
        "landmark_fake",
    }
    assert terms <= curves["vgnet"][0].keys()
    assert curves["vgnet"][-1]["landmark_real"] < curves["vgnet"][0]["landmark_real"]


def test_generation(trained, clip):
    config, sides, *_ = trained
    sound, points = Driving(audio=clip.audio), clip.landmarks[0, :, :2]
    short, long = (atvgnet.generator(config, sides, batch=n) for n in (8, 30))
    made = long(clip.frames[0], sound, landmarks=points)
    assert made.shape == clip.frames.shape and made.dtype == np.uint8
    # The recurrence's state goes from piece to piece.
    assert np.abs(made.astype(int) - short(clip.frames[0], sound, landmarks=points)).max() <= 1
    np.testing.assert_array_equal(
        made[:, 0, 0], clip.frames[[0] * 30, 0, 0]
    )  # outside the crop nothing changes
    cut = long(clip.frames[0], sound, landmarks=points, view="crop")
    assert cut.shape == (30, SIZE, SIZE, 3)
    with pytest.raises(ValueError, match="driven by audio"):
        long(clip.frames[0], Driving(frames=clip.frames))
    with pytest.raises(ValueError, match="picture and crop"):
        long(clip.frames[0], sound, view="whole", landmarks=points)
    with pytest.raises(ValueError, match="square"):
        long(clip.frames[0][:20], sound)


def test_gain_moves_the_codes_away_from_the_example(trained, clip, monkeypatch):
    config, sides, *_ = trained
    decode, codes, examples = atvgnet.shapes.decode, [], []

    def spy(given, *rest):
        (codes if given.ndim == 2 else examples).append(given)
        return decode(given, *rest)

    monkeypatch.setattr(atvgnet.shapes, "decode", spy)
    generate = atvgnet.generator(config, sides, batch=30)
    for gain in (1.0, 2.0):
        generate(clip.frames[0], Driving(audio=clip.audio), landmarks=clip.landmarks[0, :, :2], gain=gain)
    np.testing.assert_allclose(codes[1] - examples[0], 2 * (codes[0] - examples[0]), atol=1e-5)


def test_reference_is_cut_as_the_source_is_and_follows_the_head(trained, clip, monkeypatch):
    config, sides, *_ = trained
    seen = []

    def found(picture, detector):
        seen.append(picture)
        return clip.landmarks[0, :, :2]

    monkeypatch.setattr(atvgnet.detect, "landmarks", found)
    row = next(row for row in atvgnet.METHOD.rows if row.name == "atvgnet-crop")
    real = row.reference(config, sides)(clip)
    blank = jax.tree.map(np.zeros_like, sides["vgnet"])  # attention and colour a half and grey
    made = atvgnet.generator(config, {**sides, "vgnet": blank})(
        clip.frames[0], Driving(audio=clip.audio), **row.options
    )
    assert made.shape == real.frames.shape == (30, SIZE, SIZE, 3) and real.frames.dtype == np.uint8
    np.testing.assert_allclose(made[0], real.frames[0] / 2 + 127.5 / 2, atol=3)
    for picture in seen:
        np.testing.assert_array_equal(picture, clip.frames[0])
    assert len(seen) == 2 and real.pose is None
    # The mouth is in the crop's lower half, and is where the label says: what differs is there.
    assert (real.landmarks[0, 48:68, 1] > SIZE / 2).all() and (real.landmarks[0, 48:68] < SIZE).all()
    # The crop moves along with the head: the eyes' corners stay where they are.
    eyes = real.landmarks[:, [36, 39, 42, 45], :2]
    head = clip.landmarks[:, [36, 39, 42, 45], :2]
    assert np.ptp(eyes, 0).max() < 0.5 * np.ptp(head, 0).max()


def test_sample_grids_show_attention(trained):
    _, sides, _, stages, batches = trained
    images = np.asarray(stages["vgnet"].sample(sides["vgnet"], {}, batches["vgnet"]))
    assert images.shape == (2, 6, SIZE, SIZE, 3) and images.min() >= 0 and images.max() <= 1
    attention = images[:, 3]
    np.testing.assert_array_equal(attention[..., 0], attention[..., 2])
    mixed = attention * images[:, 4] + (1 - attention) * images[:, 0]
    np.testing.assert_allclose(images[:, 2], mixed, atol=1e-5)
    dots = np.asarray(stages["atnet"].sample(sides["atnet"], {}, batches["atnet"]))
    assert dots.shape == (2, 8, SIZE, SIZE, 3) and dots.max() > 0.3


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_full_size_step_has_the_right_shapes(preset):
    config = configs.load("atvgnet", preset)
    side, time, codes = config.model.crop, config.model.frames.vgnet, config.model.codes
    shape = lambda *s, dtype=jnp.float32: jax.ShapeDtypeStruct((2, *s), dtype)  # noqa: E731
    batches = {
        "atnet": {"example": shape(codes), "audio": shape(time, 28, 12), "codes": shape(time, codes)},
        "vgnet": {
            "image": shape(side, side, 3, dtype=jnp.uint8), "frames": shape(time, side, side, 3, dtype=jnp.uint8),
            "example": shape(136), "landmarks": shape(time, 136),
        },
    }  # fmt: skip
    for stage in atvgnet.METHOD.stages(config):
        batch, transform = batches[stage.name], optimizer.make(config.optimizer, 10)
        start = lambda key, b, s=stage, t=transform: init_state(s, t, key, b, True)  # noqa: E731
        state = jax.eval_shape(start, jax.random.key(0), batch)
        new, scalars = jax.eval_shape(make_step(stage, transform, 0.9), state, {}, batch)
        assert jax.tree.structure(new) == jax.tree.structure(state)
        assert all(value.shape == () for value in scalars.values())
    assert ("gan" in scalars) == (preset == "paper")
