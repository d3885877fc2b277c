import numpy as np
import pytest

from talkbench.evaluation import throughput


def test_picture_metrics_are_timed_and_a_missing_stack_is_said(capsys, monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(throughput.importlib, "import_module", absent)
    assert throughput.main(["--clips", "1", "--frames", "3", "--size", "176", "--parts", "pictures"]) == 0
    shown = capsys.readouterr().out
    assert "pairs/s" in shown and "usual stack: not here (No module named 'torch')" in shown
    assert "together" not in shown  # nothing to compare with
    with pytest.raises(SystemExit):
        throughput.main(["--parts", "nose"])


def test_the_ratio_is_of_the_parts_that_both_have(capsys, monkeypatch):
    slow = lambda real, fake: [np.sort(real.ravel()) for _ in range(2)]  # noqa: E731
    monkeypatch.setattr(throughput, "theirs", lambda: {"pictures": lambda: slow})
    throughput.main(["--clips", "1", "--frames", "3", "--size", "176", "--parts", "pictures"])
    assert "ratio" in capsys.readouterr().out.splitlines()[-1]


def test_clips_differ_and_noise_is_small():
    real, fake = throughput.clip(0, 2, 32)
    assert real.dtype == fake.dtype == np.uint8 and real.shape == (2, 32, 32, 3)
    assert 0 < np.abs(real.astype(int) - fake).max() <= 10
    assert (throughput.clip(1, 2, 32)[0] != real).any()
