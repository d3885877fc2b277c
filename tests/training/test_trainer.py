"""train_stage in this process: what it refuses, guards, fetches and leaves behind."""

import dataclasses
import json
import shutil
import signal
import threading

import cv2
import jax
import numpy as np
import pytest
import toy_method

from talkbench.data.store import write_store
from talkbench.training import trainer
from talkbench.training.checkpoints import ResumeError, SaveError
from talkbench.training.trainer import TrainingError, train_stage


@pytest.fixture
def train(config, store, tmp_path):
    """`train("train.steps=3", ...)` trains into `tmp_path / "run"`; `stage`, `store`, `folder` may be given."""

    def run(*changes, **given):
        settings = config(*changes)
        stage = given.get("stage") or toy_method.stage(settings)
        folder = given.get("folder", tmp_path / "run")
        return train_stage(stage, given.get("store", store), settings, given.get("method", "toy"), folder)

    return run


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    """A whole run with checkpoints at 4, 8, 12, and what it returned."""
    with pytest.MonkeyPatch.context() as patch:
        toy_method.install(patch.setattr)
        settings = trainer.configs.load("toy", "tiny")
        folder = tmp_path_factory.mktemp("finished") / "run"
        return folder, train_stage(toy_method.stage(settings), store, settings, "toy", folder)


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run at `tmp_path / "run"`."""
    return shutil.copytree(finished[0], tmp_path / "run")


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_array_equal(x, y)


# ------------------------------------------------------------------------------------------ what a run leaves


def test_a_run_learns_and_leaves_its_files(finished):
    folder, side = finished
    assert set(side) == {"params", "stats"} and all(isinstance(x, np.ndarray) for x in jax.tree.leaves(side))
    seen = lines(folder)
    assert [line["step"] for line in seen] == [2, 4, 6, 8, 10, 12]
    assert seen[-1]["l1"] < 0.8 * seen[0]["l1"]
    assert json.loads((folder / "config.json").read_text())["config"]["train"]["steps"] == 12
    assert sorted(p.name for p in (folder / "samples").iterdir()) == ["0000006.png", "0000012.png"]
    assert cv2.imread(str(folder / "samples" / "0000012.png")).shape == (2 * 8, 3 * 8, 3)
    assert sorted(int(p.name) for p in (folder / "checkpoints").iterdir()) == [4, 8, 12]
    assert list((folder / "tensorboard").glob("events*"))


def test_averaged_weights_are_returned_with_running_statistics(finished, saved_state):
    folder, side = finished
    state = saved_state(folder)
    kernel = "['net']['Conv_0']['kernel']"
    np.testing.assert_array_equal(side["params"]["net"]["Conv_0"]["kernel"], state["['ema']" + kernel])
    assert (state["['ema']" + kernel] != state["['generator']['params']" + kernel]).any()
    mean = state["['generator']['stats']['net']['BatchNorm_0']['mean']"]
    np.testing.assert_array_equal(side["stats"]["net"]["BatchNorm_0"]["mean"], mean)


def test_no_average_without_decay(train, saved_state, tmp_path):
    side = train("train.ema_decay=0", "train.steps=2")
    state = saved_state(tmp_path / "run")
    kernel = "['generator']['params']['net']['Conv_0']['kernel']"
    np.testing.assert_array_equal(side["params"]["net"]["Conv_0"]["kernel"], state[kernel])
    assert not [path for path in state if "ema" in path]


def test_bfloat16_computes_in_half_and_keeps_float32(train, finished, tmp_path):
    side = train("train.dtype=bfloat16", "train.steps=4")
    assert all(x.dtype == np.float32 for x in jax.tree.leaves(side))
    half, full = (lines(folder)[1]["l1"] for folder in (tmp_path / "run", finished[0]))
    assert half != full and abs(half / full - 1) < 0.05


def test_samples_are_of_their_own_stage(config, store, tmp_path):
    """Two stages of one name in one process: neither draws with the other's compiled function."""
    for name, width, columns in (("narrow", 4, 3), ("wide", 6, 2)):
        settings = config("train.steps=1", f"model.width={width}")
        stage = toy_method.stage(settings)

        def sample(side, frozen, batch, stage=stage, columns=columns):
            return stage.sample(side, frozen, batch)[:, :columns]

        train_stage(dataclasses.replace(stage, sample=sample), store, settings, "toy", tmp_path / name)
        grid = cv2.imread(str(tmp_path / name / "samples" / "0000001.png"))
        assert grid.shape == (16, 8 * columns, 3)


def test_a_stage_without_samples(train, config, tmp_path):
    train("train.steps=1", stage=dataclasses.replace(toy_method.stage(config()), sample=None))
    assert not (tmp_path / "run" / "samples").exists()


# -------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.steps=0", "train.steps=0: must be at least 1"),
        ("train.batch_size=0", "train.batch_size=0"),
        ("train.log_every=0", "train.log_every=0"),
        ("train.keep=-1", "train.keep=-1"),
        ("optimizer.accumulate=0", "optimizer.accumulate=0"),
        (
            "optimizer.accumulate=3",
            "train.batch_size=4 does not divide by 1 devices x optimizer.accumulate=3",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(train, tmp_path, change, message):
    with pytest.raises(TrainingError, match=message):
        train(change)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_divide_by_the_devices_is_refused(train, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.jax, "device_count", lambda: 8)
    with pytest.raises(TrainingError, match="train.batch_size=4 does not divide by 8 devices; choose"):
        train()
    assert not (tmp_path / "run").exists()


def test_a_weight_without_a_term_is_refused(train, config):
    stage = dataclasses.replace(toy_method.stage(config()), weights={"l1": 1.0, "vgg": 1.0})
    with pytest.raises(ValueError, match="stage repaint: weights for terms it does not have: vgg"):
        train(stage=stage)


def test_another_run_is_refused_by_name(train, config, copy, store, tmp_path):
    def refused(match, *changes, **given):
        with pytest.raises(ResumeError, match=match) as error:
            train("train.steps=14", *changes, **given)
        assert "\n" not in str(error.value) and "--out" in str(error.value)

    before = (copy / "config.json").read_text()
    refused(r"another optimizer.learning_rate \(0.01, now 0.5\);", "optimizer.learning_rate=0.5")
    refused(r"another model.width \(4, now 5\), seed \(0, now 1\);", "model.width=5", "seed=1")
    refused("train.batch_size", "train.batch_size=8")
    refused("method 'toy', not 'other'", method="other")
    refused("stage 'repaint', not 'second'", stage=toy_method.stage(config(), "second"))
    other = write_store(tmp_path / "other", store.clips(store.clip_ids[:3]), name=store.name)
    refused("made with other data: .*store", store=other)
    refused("dataset 'toyset', not 'third'", store=write_store(tmp_path / "third", store.clips()))
    assert (copy / "config.json").read_text() == before and len(lines(copy)) == 6


def test_what_may_change_may_change(train, copy):
    changes = ("log_every=1", "checkpoint_every=100", "sample_every=100", "keep=1", "steps=13")
    train(*(f"train.{change}" for change in changes), "data.in_memory=true")
    assert [line["step"] for line in lines(copy)] == [2, 4, 6, 8, 10, 12, 13]
    assert json.loads((copy / "config.json").read_text())["config"]["train"]["steps"] == 13
    assert [p.name for p in (copy / "checkpoints").iterdir()] == ["13"]


def test_fewer_steps_than_done_are_refused(train, copy):
    with pytest.raises(ResumeError, match="at step 12 already, train.steps=8 lies before"):
        train("train.steps=8")
    assert len(lines(copy)) == 6


def test_a_finished_run_returns_its_weights_without_a_step(train, copy, finished, monkeypatch):
    def never(*_):
        raise AssertionError("a step")

    monkeypatch.setattr(trainer, "compile_step", lambda *_: never)
    assert_same(train(), finished[1])
    assert (copy / "metrics.jsonl").read_text() == (finished[0] / "metrics.jsonl").read_text()


# ------------------------------------------------------------------------------------------ damage, divergence


@pytest.mark.parametrize("damage", ["state", "meta", "data", "truncated", "empty"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(train, copy, finished, damage):
    newest = copy / "checkpoints" / "12"
    if damage == "truncated":
        for path in (newest / "state").rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "empty":
        shutil.rmtree(newest)
        newest.mkdir()
    else:
        shutil.rmtree(newest / damage)
    with pytest.raises(ResumeError) as error:
        train("train.steps=14")
    assert str(error.value).startswith(f"{newest}: damaged") and "\n" not in str(error.value)
    assert len(lines(copy)) == 6
    shutil.rmtree(newest)
    assert_same(train(), finished[1])
    assert (copy / "metrics.jsonl").read_text() == (finished[0] / "metrics.jsonl").read_text()


def test_what_a_killed_save_left_is_removed(train, copy, finished):
    left = copy / "checkpoints" / "16.orbax-checkpoint-tmp-3"
    (left / "state").mkdir(parents=True)
    assert_same(train(), finished[1])
    assert not left.exists()


def test_divergence_ends_the_run_and_is_not_saved(train, tmp_path, saved_state, store):
    """Checkpoints at every step, logs at none: what is saved is finite all the same."""
    often = ("train.checkpoint_every=1", "train.log_every=1000", "train.sample_every=1000", "train.steps=50")
    with pytest.raises(TrainingError, match="not finite between steps") as error:
        train(*often, "optimizer.learning_rate=1e18", "model.norm=false")
    message = str(error.value)
    assert "generator" in message and "optimizer.learning_rate" in message and "\n" not in message
    state = saved_state(tmp_path / "run")
    assert 1 <= state["['step']"] < 50
    assert all(np.isfinite(x).all() for x in state.values())


def test_bad_batches_are_left_out(train, tmp_path):
    poison = ("model.poison=0.05", "train.steps=30", "train.log_every=1", "train.checkpoint_every=30")
    with pytest.raises(TrainingError, match="generator_gradient.* not finite between steps"):
        train(*poison, folder=tmp_path / "without")
    side = train(*poison, "optimizer.skip_nonfinite=3")
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(side))
    seen = lines(tmp_path / "run")
    skipped = [line["step"] for line in seen if line["generator"] is None]
    assert 1 <= len(skipped) < 15 and seen[-1]["skipped"] == 2 * len(skipped)
    with pytest.raises(TrainingError, match="not finite"):
        train(*poison[1:], "model.poison=1.0", "optimizer.skip_nonfinite=3", folder=tmp_path / "all")


def test_a_save_that_fails_ends_the_run_with_one_line(train, monkeypatch, tmp_path):
    def full(*_, **__):
        raise ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device\nmore\nlines")

    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", full)
    with pytest.raises(
        SaveError, match="checkpoints: a checkpoint could not be written .*No space left"
    ) as error:
        train()
    assert "\n" not in str(error.value)


def test_a_full_disk_under_the_log_is_named(train, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer.Log, "scalars", full)
    with pytest.raises(TrainingError, match=f"^{tmp_path / 'run'}: No space left on device; free some space"):
        train()


# ------------------------------------------------------------------------------------------ the loop itself


def test_the_host_fetches_at_log_steps_only(train, monkeypatch):
    fetched = []
    real = jax.device_get
    monkeypatch.setattr(trainer.jax, "device_get", lambda x: (fetched.append(x), real(x))[1])
    train("train.steps=20", "train.log_every=10", "train.checkpoint_every=20", "train.sample_every=20")
    assert len([x for x in fetched if isinstance(x, dict) and "generator" in x]) == 2
    assert len(fetched) == 4  # and the sample, and the weights at the end


def test_the_loop_copies_nothing_implicitly(train, monkeypatch):
    """Under `disallow` a step gets everything as device arrays: no Python number or numpy array slips in each time."""
    compiled, put = trainer.compile_step, trainer.meshes.put_batch

    def guarded(function):
        def call(*arguments):
            with jax.transfer_guard("disallow"):
                return function(*arguments)

        return call

    monkeypatch.setattr(trainer, "compile_step", lambda *a: guarded(compiled(*a)))
    monkeypatch.setattr(trainer.meshes, "put_batch", guarded(put))
    train("train.steps=3")


def test_loader_processes_change_nothing(train, finished, tmp_path):
    assert_same(train("data.workers=2", "data.in_memory=true"), finished[1])


@pytest.mark.parametrize("equally", [False, True])
def test_clips_or_speakers_are_drawn_equally(train, monkeypatch, equally):
    class Seen(Exception):
        pass

    def loader(*_, by_identity, **__):
        assert by_identity == equally
        raise Seen

    monkeypatch.setattr(trainer, "loader", loader)
    with pytest.raises(Seen):
        train(f"data.by_identity={str(equally).lower()}")


def test_signal_handlers_are_given_back(train, monkeypatch):
    numbers = (signal.SIGINT, signal.SIGTERM)
    found = [signal.signal(number, signal.default_int_handler) for number in numbers]  # a job may ignore them
    before = [signal.getsignal(number) for number in numbers]
    inside = []
    put = trainer.meshes.put_batch

    def look(*arguments):
        inside.append([signal.getsignal(number) for number in numbers])
        return put(*arguments)

    monkeypatch.setattr(trainer.meshes, "put_batch", look)
    train("train.steps=1")
    assert [signal.getsignal(number) for number in numbers] == before
    for number, handler in zip(numbers, found, strict=True):
        signal.signal(number, handler)
    assert inside and all(a != b for a, b in zip(inside[0], before))
    assert signal.set_wakeup_fd(-1) == -1


def test_training_works_outside_the_main_thread(train):
    done = []
    thread = threading.Thread(target=lambda: done.append(train("train.steps=1")))
    thread.start()
    thread.join()
    assert done
