import sys

import numpy as np
import pytest

from talkbench.evaluation import throughput

SMALL = ["--clips", "1", "--frames", "3", "--size", "176", "--parts", "pictures"]


@pytest.fixture
def here(monkeypatch):
    """All turns in this process."""
    monkeypatch.setattr(throughput, "turn", throughput._timed)


def test_picture_metrics_are_timed_and_a_missing_stack_is_said(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert throughput.main(SMALL) == 0
    shown = capsys.readouterr().out
    assert "pairs/s" in shown and "usual stack: not here (import of torch halted" in shown
    assert "together" not in shown  # nothing to compare with


@pytest.mark.parametrize("wrong", [["--parts", "nose"], ["--clips", "0"], ["--size", "64"]])
def test_what_cannot_be_timed_is_refused(wrong):
    with pytest.raises(SystemExit):
        throughput.main(wrong)


def test_the_ratio_is_of_the_parts_that_both_have(here, capsys, monkeypatch):
    slow = lambda real, fake: [np.sort(real.ravel()) for _ in range(2)]  # noqa: E731
    monkeypatch.setattr(throughput, "theirs", lambda: {"pictures": lambda: slow})
    throughput.main(SMALL)
    assert "ratio" in capsys.readouterr().out.splitlines()[-1]


def test_a_turn_has_a_process_of_its_own():
    took = throughput.turn("ours", "pictures", [0], 3, 176)
    assert took.first > 0 and took.seconds > 0 and took.peak > 0


def test_clips_differ_and_noise_is_small():
    real, fake = throughput.clip(0, 2, 32)
    assert real.dtype == fake.dtype == np.uint8 and real.shape == (2, 32, 32, 3)
    assert 0 < np.abs(real.astype(int) - fake).max() <= 10
    assert (throughput.clip(1, 2, 32)[0] != real).any()
