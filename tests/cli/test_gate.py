"""The regression gate with real weights: two clips of the benchmark stand for all of it."""

import numpy as np
import pytest

from talkbench.cli.main import main
from talkbench.data.synthetic.source import SyntheticSource
from talkbench.evaluation import benchmark
from talkbench.weights import checkpoint


@pytest.fixture
def two_clips(monkeypatch, tmp_path):
    """The benchmark cut to two clips, results and tables in `tmp_path`."""

    def source(protocol, data=None):
        whole = SyntheticSource(protocol.split, protocol.size, [1000])
        whole.clip_ids = whole.clip_ids[:2]
        return whole

    monkeypatch.setattr(benchmark, "source", source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_damaged_weights_are_caught(two_clips, monkeypatch, capsys):
    tables = ["--benchmark", "synthetic", "--tables", str(two_clips / "tables")]
    evaluate = ["eval", "--method", "facevid2vid"]
    assert main(evaluate) == 0
    assert main(["leaderboard", "accept", *tables, "--reason", "two clips"]) == 0
    assert main(["leaderboard", "check", *tables]) == 0

    tree, meta = checkpoint.load(benchmark.shipped("facevid2vid"))
    flat = checkpoint.flatten(tree)
    name = next(n for n in flat if n.endswith("generator/final/kernel"))
    flat[name] = flat[name] + np.float32(0.1) * np.random.default_rng(0).normal(size=flat[name].shape)
    kept = {key: value for key, value in meta.items() if key not in ("format", "digest")}
    damaged = two_clips / "shipped" / "facevid2vid.npz"
    damaged.parent.mkdir()
    checkpoint.save(damaged, checkpoint.unflatten(flat), kept)
    capsys.readouterr()
    shipped = benchmark.shipped
    monkeypatch.setattr(
        benchmark, "shipped", lambda name: damaged if name == "facevid2vid" else shipped(name)
    )
    assert main(["leaderboard", "check", *tables]) == 1
    printed = capsys.readouterr().out
    assert "worse" in printed and "facevid2vid" in printed and "PSNR" in printed.upper()
