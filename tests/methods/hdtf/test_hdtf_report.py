import numpy as np
import pytest

from talkbench.methods.hdtf import report


def test_specificity():
    time = np.linspace(0, 20, 200)
    same = np.stack([np.sin(time)] * 3)[..., None]
    assert report.specificity(same) == pytest.approx(0, abs=1e-12)
    levels = same * 0 + np.array([0.0, 1, 2])[:, None, None]
    assert report.specificity(levels) == pytest.approx(1)
    both = report.specificity(np.sin(time + np.array([[0], [2], [4]]))[..., None])
    assert 0.8 < both <= 1.01
    assert report.specificity(np.zeros((3, 10, 2))) == 0


def test_plot_and_summary():
    rng = np.random.default_rng(0)
    expression = np.broadcast_to(rng.uniform(size=(1, 40, 33)), (2, 40, 33))
    head = rng.normal(size=(2, 40, 5))
    found = report.summary(expression, head)
    assert found["mouth"] == found["eyebrow"] == 0 < found["head"]
    drawn = report.plot(expression, head, ["a", "b"])
    assert drawn.dtype == np.uint8 and drawn.shape[2] == 3
    for colour in report._COLOURS[:2]:
        assert (drawn == colour).all(-1).any()
