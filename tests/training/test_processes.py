"""Two processes of one run, joined by jax.distributed, as on a cluster."""

import signal
import socket

import numpy as np
import pytest

from talkbench.weights import checkpoint

SETTINGS = ("train.batch_size=8", "train.log_every=1", "train.sample_every=2", "train.checkpoint_every=1000")


@pytest.fixture
def pair(command):
    """`pair(out, ...)` starts both processes, with two devices each."""

    def start(out, *changes):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        return [
            command(
                out, *SETTINGS, *changes, devices=2, JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES="2",
                JAX_PROCESS_ID=str(number),
            )
            for number in range(2)
        ]  # fmt: skip

    return start


def test_a_signal_to_one_process_stops_both_and_they_go_on(pair, tmp_path, saved_state):
    """A SIGTERM to either stops both at the same step; together they then go on to the end."""
    out = tmp_path / "two"
    runs = pair(out, "train.steps=1000000")
    runs[0].wait_for("first: step 2/")
    runs[1].signal(signal.SIGTERM)
    (first, errors), (second, _) = (run.end(75) for run in runs)
    state = saved_state(out / "first")
    steps = int(state["['step']"])
    assert f"saved at step {steps}," in first and f"saved at step {steps}," in second
    assert "step" in first and "loss" not in second, "only process 0 prints the log"
    assert "Traceback" not in errors

    runs = pair(out, f"train.steps={steps + 3}")
    (first, _), (second, _) = (run.end(0) for run in runs)
    assert "weights:" in first and "weights:" not in second
    lines = (out / "second" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == steps + 3


def test_two_processes_train_as_one(pair, command, tmp_path):
    """With a large epsilon Adam is plain descent: small ones blow rounding, which differs by device count, up to full steps."""
    settings = ("optimizer.eps=1.0", "optimizer.learning_rate=0.1", "model.noise=0.0")
    two, alone = tmp_path / "two", tmp_path / "one"
    for run in pair(two, "train.steps=6", *settings):
        run.end(0)
    command(alone, *SETTINGS, "train.steps=6", *settings).end(0)
    one, both = (checkpoint.flatten(checkpoint.load(folder / "toy.npz")[0]) for folder in (alone, two))
    assert one.keys() == both.keys()
    for name in one:
        np.testing.assert_allclose(both[name], one[name], atol=1e-4, err_msg=name)
    assert np.abs(one["first/params/net/BatchNorm_0/bias"]).max() > 0.05, "from zero: they have moved"
