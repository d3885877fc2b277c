"""Runs of the command that are killed, stopped and taken up again, in processes of their own."""

import json
import os
import re
import resource
import shutil
import signal
import time

import numpy as np
import pytest

LONG = ("train.steps=40", "train.checkpoint_every=3", "train.log_every=2")


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def children(process: int) -> list[int]:
    """Processes whose parent is `process`."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    if file.read().rsplit(")", 1)[1].split()[1] == str(process):
                        found.append(int(entry))
            except OSError:
                pass
    return found


def alive(processes) -> list[int]:
    return [p for p in processes if os.path.exists(f"/proc/{p}") and "\tZ" not in _status(p)]


def _status(process: int) -> str:
    try:
        with open(f"/proc/{process}/status") as file:
            return file.read()
    except OSError:
        return "State:\tZ"


def gone_within(processes, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while alive(processes) and time.monotonic() < end:
        time.sleep(0.2)
    return not alive(processes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Where the uninterrupted run goes."""
    return tmp_path_factory.mktemp("whole") / "run"


def test_a_killed_run_ends_as_if_it_had_not_been(command, whole, tmp_path, saved_state):
    """SIGKILL in the middle, with loader processes; taken up without: every leaf and every line are the same."""
    command(whole, *LONG).end(0)
    killed = tmp_path / "run"
    run = command(killed, *LONG, "data.workers=2", "train.keep=20")
    run.wait_for("second: step 8/")
    readers = children(run.process.pid)
    run.signal(signal.SIGKILL)
    assert len(readers) >= 2 and gone_within(readers, 60), "loader processes outlive a killed trainer"
    run.end(-signal.SIGKILL)
    assert not (killed / "toy.npz").exists()
    checkpoints = sorted(
        int(p.name) for p in (killed / "second" / "checkpoints").iterdir() if p.name.isdigit()
    )
    assert checkpoints and checkpoints[-1] < 40

    other = shutil.copytree(killed, tmp_path / "four")
    out, err = command(killed, *LONG).end(0)
    assert "Traceback" not in err and f"weights: {killed / 'toy.npz'}" in out
    for stage in ("first", "second"):
        expected, found = (saved_state(folder / stage) for folder in (whole, killed))
        assert expected.keys() == found.keys() and len(expected) > 40
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        assert (killed / stage / "metrics.jsonl").read_text() == (whole / stage / "metrics.jsonl").read_text()
    assert (killed / "toy.npz").read_bytes() == (whole / "toy.npz").read_bytes()

    # It goes on with another number of devices too (test_step compares what they compute).
    command(other, *LONG, devices=4).end(0)
    assert lines(other / "second")[-1]["step"] == lines(whole / "second")[-1]["step"]


def test_signals_save_and_leave(command, tmp_path, saved_state):
    """Ctrl-C goes to the loader processes too; SIGTERM; each time exit code 75, and the same command goes on."""
    out = tmp_path / "run"
    endless = ("train.steps=1000000", "train.checkpoint_every=1000000", "train.log_every=1")
    run = command(out, *endless, "data.workers=2")
    run.wait_for("first: step 3/")
    readers = children(run.process.pid)
    run.signal(signal.SIGINT, group=True)
    printed, err = run.end(75)
    assert "interrupted; saved at step" in printed and "run the same command" in printed
    assert "stopping after this step" in err and "Traceback" not in err and "KeyboardInterrupt" not in err
    assert len(readers) >= 2 and gone_within(readers, 60)
    saved = saved_state(out / "first")["['step']"]
    assert saved >= 3 and f"saved at step {saved}," in printed

    run = command(out, *endless)
    assert f"first: step {saved + 1}/" in run.wait_for("first: step")
    run.signal(signal.SIGTERM)
    printed, err = run.end(75)
    assert "Traceback" not in err
    again = saved_state(out / "first")["['step']"]
    assert again > saved and f"saved at step {again}," in printed
    assert [line["step"] for line in lines(out / "first")] == list(range(1, again + 1))

    run = command(out, *endless, f"train.steps={again + 2}")
    printed, _ = run.end(0)
    assert "weights:" in printed and (out / "toy.npz").exists()
    assert [line["step"] for line in lines(out / "second")][-1] == again + 2


def test_ctrl_c_twice_leaves_at_once_even_while_compiling(command, tmp_path):
    run = command(tmp_path / "run", "model.compile_seconds=600")
    while not (
        tmp_path / "run" / "first" / "config.json"
    ).exists():  # the first step is traced right after it
        assert run.process.poll() is None
        time.sleep(0.2)
    time.sleep(1)
    run.signal(signal.SIGINT)
    assert "stopping after this step" in run.process.stderr.readline() + run.process.stderr.readline()
    began = time.monotonic()
    run.signal(signal.SIGINT)
    _, err = run.end(130)
    assert time.monotonic() - began < 30 and "Traceback" not in err


def test_a_full_disk_ends_with_one_line(command, whole, tmp_path):
    """Files may not grow beyond 20 kB: one line of ours, nothing half-written that counts, and with room it goes on."""
    out = tmp_path / "run"
    command(out, "train.steps=4").end(0)
    before = sorted(p.name for p in (out / "first" / "checkpoints").iterdir())
    run = command(out, "train.steps=6", "model.compile_seconds=0", JAX_ENABLE_COMPILATION_CACHE="false")
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (2000, 2000))
    _, err = run.end(2)
    # The checkpoint library's threads may print what they met before our line, or into it (1 of 8 runs).
    told = re.findall("talkbench: .*", err)
    assert len(told) == 1 and str(out) in told[0] and "free some space" in told[0], err
    after = sorted(p.name for p in (out / "first" / "checkpoints").iterdir() if "tmp" not in p.name)
    assert after == before
    command(out, "train.steps=6").end(0)
    assert [line["step"] for line in lines(out / "first")] == [2, 4, 6]
