"""One step: weights, accumulation, averages, clipping, schedules, bad batches, devices."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sgd_steps
import toy_method
from ml_collections import ConfigDict

from talkbench.config import adam
from talkbench.training import mesh as meshes
from talkbench.training import optimizer
from talkbench.training.step import compile_step, init_state, make_step


def assert_same(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), (_, y) in zip(*(jax.tree_util.tree_flatten_with_path(t)[0] for t in (a, b))):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(x, y, err_msg=jax.tree_util.keystr(path), **({"rtol": 0} | tolerance))


def start(config, transform=None, ema=False, **changes):
    """(stage, transform, state) of the toy."""
    stage = dataclasses.replace(toy_method.stage(config), **changes)
    transform = transform or optax.sgd(0.05)
    state = jax.jit(lambda key: init_state(stage, transform, key, sgd_steps.batch(), ema))(jax.random.key(0))
    return stage, transform, state


def stepper(stage, transform, ema=0.0, accumulate=1):
    """`step(state, batch=the usual one) -> (state, scalars)` on the host, keeping the old state."""
    step, frozen = jax.jit(make_step(stage, transform, ema, accumulate)), stage.frozen()
    return lambda state, batch=None: step(state, frozen, batch or sgd_steps.batch())


def advance(stage, transform, state, **settings):
    return stepper(stage, transform, **settings)(state)


# ------------------------------------------------------------------------------------------------- devices


def test_four_devices_do_what_one_does(config, tmp_path):
    """Global BatchNorm, global means: three SGD steps agree to 1e-5 with the batch split over four devices."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    script = [sys.executable, sgd_steps.__file__, str(tmp_path / "four.npz")]
    subprocess.run(script, env=env, check=True, timeout=300)
    one = sgd_steps.run(config())
    with np.load(tmp_path / "four.npz") as four:
        assert four["devices"] == 4 and set(four.files) == {*one, "devices"}
        for name, value in one.items():
            np.testing.assert_allclose(four[name], value, atol=1e-5, rtol=1e-5, err_msg=name)


def test_state_is_donated_and_batches_stay_bytes(config):
    stage, transform, _ = start(config())
    mesh = meshes.data_mesh()
    state = init_state(stage, transform, jax.random.key(0), sgd_steps.batch(), ema=True)
    state = jax.device_put(state, meshes.replicated(mesh))
    batch = meshes.put_batch(sgd_steps.batch(), meshes.by_example(mesh))
    assert batch["source"].dtype == jnp.uint8 and batch["source"].sharding == meshes.by_example(mesh)
    new, _ = compile_step(make_step(stage, transform, 0.9), mesh)(state, stage.frozen(), batch)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state["generator"]))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((new, batch)))


def largest_constant(stage, transform, state):
    text = jax.jit(make_step(stage, transform, 0.0)).lower(state, stage.frozen(), sgd_steps.batch()).as_text()
    return max(map(len, re.findall(r'dense<("0x[0-9A-F]+"|\[.*?\])>', text)), default=0)


def test_frozen_weights_are_an_argument_and_no_constant(config):
    stage, transform, state = start(config())
    rng = np.random.default_rng(0)
    teacher, ballast = stage.frozen(), rng.normal(size=5000).astype(np.float32)

    def loss(source, params, stats, other, frozen, batch, key):
        terms, aux = stage.generator_loss(params, stats, other, frozen["teacher"], batch, key)
        heavy = frozen["ballast"] if source == "argument" else jnp.asarray(ballast)
        return {**terms, "l1": terms["l1"] * heavy.mean()}, aux

    def with_loss(source):
        return dataclasses.replace(
            stage,
            generator_loss=lambda *a: loss(source, *a),
            frozen=lambda: {"teacher": teacher, "ballast": ballast},
        )

    assert largest_constant(with_loss("argument"), transform, state) < 1000
    assert (
        largest_constant(with_loss("constant"), transform, state) > 20_000
    )  # the test sees one if there is one


# -------------------------------------------------------------------------------------------------- terms


def test_totals_are_weighted_sums_of_the_terms(config):
    stage, transform, state = start(config(), weights={"l1": 10.0, "gan": 0.5, "teacher": 0.0, "fake": 3.0})
    _, scalars = advance(stage, transform, state)
    total = 10 * scalars["l1"] + 0.5 * scalars["gan"]
    np.testing.assert_allclose(scalars["generator"], total, rtol=1e-6)
    np.testing.assert_allclose(scalars["discriminator"], scalars["real"] + 3 * scalars["fake"], rtol=1e-6)
    assert {"brightness", "teacher", "generator_gradient", "discriminator_gradient"} < set(scalars)


def test_a_term_without_a_weight_is_only_logged(config):
    stage, transform, state = start(config(), weights={"l1": 1.0})
    spoiled = dataclasses.replace(stage, generator_loss=lambda *a: _with_nan(stage.generator_loss(*a)))
    (plain, _), (other, scalars) = (advance(s, transform, state) for s in (stage, spoiled))
    assert_same(plain, other)
    assert np.isnan(scalars["brightness"]) and np.isfinite(scalars["generator_gradient"])


def _with_nan(result):
    terms, aux = result
    return {**terms, "brightness": terms["brightness"] * jnp.nan}, aux


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"l1": 1.0, "vgg": 2.0, "id": 0.0}, "stage repaint: weights for terms it does not have: id, vgg"),
        ({"l1": 0.0}, "stage repaint: none of its terms .l1, gan, teacher, brightness. has a weight"),
        ({}, "none of its terms"),
        ({"l1": 1.0, "real": 0.0, "fake": 0.0}, "none of its terms .real, fake. has a weight"),
    ],
)
def test_weights_and_terms_must_fit(config, weights, message):
    stage, transform, state = start(config(), weights=weights)
    with pytest.raises(ValueError, match=message):
        advance(stage, transform, state)


def test_two_terms_of_one_name_are_refused(config):
    stage, transform, state = start(config())
    for name in ("gan", "generator", "discriminator_gradient"):

        def loss(*a, name=name):
            terms, stats = stage.discriminator_loss(*a)
            return {name: terms["real"], "fake": terms["fake"]}, stats

        with pytest.raises(ValueError, match=f"two terms are called {name}"):
            advance(dataclasses.replace(stage, discriminator_loss=loss), transform, state)


def test_a_stage_without_discriminator(config):
    toy = toy_method.stage(config())

    def init(key, batch):
        return toy.init(key, batch)[0], None

    def loss(params, stats, other, frozen, batch, rng):
        assert other == {} and frozen == {}
        made = params["net"]["Conv_0"]["bias"].sum() + batch["scale"].mean()
        return {"l1": jnp.square(made)}, (stats, {})

    changes = {"discriminator_loss": None, "frozen": dict, "weights": {"l1": 1.0}}
    stage, transform, state = start(config(), init=init, generator_loss=loss, **changes)
    new, scalars = advance(stage, transform, state)
    assert new["discriminator"] == {} and set(scalars) == {"l1", "generator", "generator_gradient"}
    assert new["step"] == 1


# ------------------------------------------------------------------------------------ accumulation, average


@pytest.mark.parametrize("parts", [2, 8])
def test_accumulated_parts_are_the_whole_batch(config, parts):
    settings = config("model.norm=false", "model.noise=0")
    stage, transform, state = start(settings, ema=True)
    whole, seen = advance(stage, transform, state, ema=0.9)
    summed, also = advance(stage, transform, state, ema=0.9, accumulate=parts)
    assert_same(whole, summed, atol=2e-6)
    assert_same(seen, also, rtol=1e-5)


def test_parts_pass_their_statistics_on(config):
    stage, transform, state = start(config())
    new, _ = advance(stage, transform, state, accumulate=2)
    assert (new["generator"]["stats"]["net"]["BatchNorm_0"]["mean"] != 0).any()
    once, _ = advance(stage, transform, state)
    with pytest.raises(AssertionError):
        assert_same(new["generator"]["stats"], once["generator"]["stats"], atol=1e-6)


def test_average_follows_the_parameters(config):
    stage, transform, state = start(config(), ema=True)
    expected = jax.device_get(state["ema"])
    step = stepper(stage, transform, ema=0.2)
    for i in range(3):
        state, _ = step(state)
        decay = min(0.2, (1 + i) / (10 + i))
        mix = lambda e, p, d=decay: d * e + (1 - d) * p  # noqa: E731
        expected = jax.tree.map(mix, expected, state["generator"]["params"])
        assert_same(state["ema"], expected, atol=1e-6)


# ------------------------------------------------------------------------------------------------ optimiser


def section(**changes):
    return ConfigDict(adam(1e-2, b1=0.9, **changes))


def updates(config, gradients, steps=100):
    transform = optimizer.make(config, steps)
    params = {"w": jnp.zeros(3)}
    state, made = transform.init(params), []
    for gradient in gradients:
        change, state = transform.update({"w": jnp.asarray(gradient, jnp.float32)}, state, params)
        params = optax.apply_updates(params, change)
        made.append(np.asarray(change["w"]))
    return np.stack(made)


def test_gradients_are_clipped_to_a_norm():
    small, large = [0.3, 0.0, 0.4], [30.0, 0.0, 40.0]
    clipped = updates(section(clip_norm=0.5), [small, large, small])
    np.testing.assert_allclose(clipped, updates(section(), [small, small, small]), rtol=1e-5)
    assert np.abs(clipped - updates(section(), [small, large, small])).max() > 1e-3


def test_weight_decay_pulls_to_zero():
    transform = optimizer.make(section(weight_decay=0.5), 10)
    params = {"w": jnp.ones(3)}
    change, _ = transform.update({"w": jnp.zeros(3)}, transform.init(params), params)
    np.testing.assert_allclose(change["w"], -1e-2 * 0.5 * np.ones(3), rtol=1e-6)


def test_schedules():
    rate = lambda step, steps=100, **changes: float(optimizer.learning_rate(section(**changes), steps)(step))  # noqa: E731
    assert rate(0) == rate(99) == np.float32(1e-2)
    warm = [rate(step, warmup_steps=10) for step in (0, 5, 10, 99)]
    np.testing.assert_allclose(warm, [0, 5e-3, 1e-2, 1e-2], rtol=1e-6)
    cosine = [rate(step, schedule="cosine", warmup_steps=20) for step in (20, 60, 100)]
    np.testing.assert_allclose(cosine, [1e-2, 5e-3, 0], atol=1e-9)
    falls = {"schedule": "steps", "boundaries": (0.5, 0.75), "factor": 0.1}
    for warmup in (0, 10):
        steps = [rate(step, **falls, warmup_steps=warmup) for step in (49, 50, 74, 75, 99)]
        np.testing.assert_allclose(steps, [1e-2, 1e-3, 1e-3, 1e-4, 1e-4], rtol=1e-5)
    held = [rate(step, schedule="hold", boundaries=(0.5,), warmup_steps=10) for step in (10, 50, 75, 100)]
    np.testing.assert_allclose(held, [1e-2, 1e-2, 5e-3, 0], atol=1e-9)
    assert rate(0, steps=1, warmup_steps=10, schedule="cosine") > 0  # a warm-up never fills the whole run
    with pytest.raises(
        ValueError, match="optimizer.schedule='linear': there are constant, cosine, steps, hold"
    ):
        rate(0, schedule="linear")


# ---------------------------------------------------------------------------------------------- bad batches


def test_a_bad_batch_is_left_out_whole(config):
    """Neither parameters nor statistics nor moments of either side change; after too many in a row they do."""
    settings = section(skip_nonfinite=2)
    stage, transform, state = start(config(), optimizer.make(settings, 100), ema=True)
    step = stepper(stage, transform, ema=0.9)
    state, scalars = step(state)
    assert (scalars["skipped"], scalars["skipped_in_a_row"]) == (0, 0)
    bad = sgd_steps.batch()
    bad["scale"][3] = np.nan
    new, scalars = step(state, bad)
    assert (scalars["skipped"], scalars["skipped_in_a_row"]) == (2, 1) and np.isnan(scalars["generator"])
    for side in ("generator", "discriminator"):
        for part in ("params", "stats"):
            assert_same(new[side][part], state[side][part])
        assert_same(new[side]["opt"].inner_state, state[side]["opt"].inner_state)
    assert_same(new["ema"], state["ema"], atol=1e-2) and new["step"] == 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new["ema"]))
    good, scalars = step(new)
    assert (scalars["skipped"], scalars["skipped_in_a_row"]) == (2, 0) and np.isfinite(scalars["generator"])
    for _ in range(3):
        good, scalars = step(good, bad)
    assert scalars["skipped_in_a_row"] == 3
    assert not np.isfinite(good["generator"]["params"]["net"]["Conv_0"]["kernel"]).any()
