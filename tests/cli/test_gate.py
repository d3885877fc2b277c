"""The regression gate with real weights: two clips of the benchmark stand for all of it."""

import shutil

import jax
import numpy as np
import pytest

from talkbench.cli.main import main
from talkbench.data.synthetic.source import SyntheticSource
from talkbench.evaluation import benchmark
from talkbench.metrics import batched, image
from talkbench.nn import warp
from talkbench.weights import checkpoint


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """`check()` of face-vid2vid against a table of the benchmark cut to two clips, always computed anew: the exit code."""

    def source(protocol, data=None):
        whole = SyntheticSource(protocol.split, protocol.size, [1000])
        whole.clip_ids = whole.clip_ids[:2]
        return whole

    def checked():
        shutil.rmtree("results")
        return main(["leaderboard", "check", "--methods", "facevid2vid,static", *tables])

    folder = tmp_path_factory.mktemp("gate")
    tables = ["--benchmark", "synthetic", "--tables", str(folder / "tables")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "source", source)
        patch.chdir(folder)
        assert main(["eval", "--method", "facevid2vid"]) == 0
        assert main(["leaderboard", "accept", *tables, "--reason", "two clips"]) == 0
        yield checked


def failing(printed: str) -> set[tuple[str, str]]:
    """{(row, metric)} of the lines that fail."""
    rows = [line.split() for line in printed.splitlines()]
    return {(row[1], row[2]) for row in rows if row and row[0] in ("worse", "moved") and len(row) > 2}


def test_nothing_has_changed(check, capsys):
    assert check() == 0
    printed = capsys.readouterr().out
    assert "synthetic: as committed" in printed and not failing(printed)


def test_damaged_weights_are_caught(check, monkeypatch, capsys, tmp_path):
    tree, meta = checkpoint.load(benchmark.shipped("facevid2vid"))
    flat = checkpoint.flatten(tree)
    name = next(n for n in flat if n.endswith("generator/final/kernel"))
    flat[name] = flat[name] + np.float32(0.1) * np.random.default_rng(0).normal(size=flat[name].shape)
    kept = {key: value for key, value in meta.items() if key not in ("format", "digest")}
    damaged = tmp_path / "facevid2vid.npz"
    checkpoint.save(damaged, checkpoint.unflatten(flat), kept)
    shipped = benchmark.shipped
    monkeypatch.setattr(
        benchmark, "shipped", lambda name: damaged if name == "facevid2vid" else shipped(name)
    )
    assert check() == 1
    assert ("facevid2vid", "psnr") in failing(capsys.readouterr().out)


def test_another_window_of_a_metric_is_caught(check, monkeypatch, capsys):
    monkeypatch.setattr(batched, "gaussian_window", lambda: image.gaussian_window(sigma=1.0))
    jax.clear_caches()  # the metric is compiled once a process
    assert check() == 1
    jax.clear_caches()
    found = failing(capsys.readouterr().out)
    assert ("static", "ssim") in found and {metric for _, metric in found} <= {"ssim", "ms_ssim"}


def test_a_warp_with_other_corners_is_caught(check, monkeypatch, capsys):
    pixel = warp._pixel
    monkeypatch.setattr(warp, "_pixel", lambda at, size, mode, _: pixel(at, size, mode, True))
    assert check() == 1
    found = failing(capsys.readouterr().out)
    assert ("facevid2vid", "psnr") in found and {row for row, _ in found} == {"facevid2vid"}
