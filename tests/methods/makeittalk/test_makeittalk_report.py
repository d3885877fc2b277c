"""The figures of the report on arrays whose figures are known."""

import numpy as np
import pytest

from talkbench.data.synthetic.source import synthetic_clip
from talkbench.methods.makeittalk import framing, report


def test_manner_tells_amount_and_speed():
    time = np.arange(500) / 25
    angles = np.stack([6 * np.sin(2 * np.pi * time), 2 * np.sin(np.pi * time)], 1)
    made = np.exp(report.manner(angles))
    np.testing.assert_allclose(made[:2], [6 / np.sqrt(2), 2 / np.sqrt(2)], rtol=1e-3)
    np.testing.assert_allclose(made[2:], [24, 4], rtol=0.01)  # a sine crosses its range twice a period


def test_awareness_is_one_for_the_truth_and_chance_for_anything():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 4))
    assert report.awareness(true, true) == 1
    assert report.awareness(rng.normal(size=(40, 4)), true) == pytest.approx(0.5, abs=0.1)
    assert report.awareness(np.zeros((40, 4)), true) == pytest.approx(0.5, abs=0.02)


def test_angles_are_the_heads():
    clip = synthetic_clip(3, 0, 30, 32)
    found = report.turned(clip.landmarks.astype(np.float64), framing.standard_face())
    for ours, label in zip(found.T, clip.pose[:, :2].T, strict=True):
        assert abs(np.corrcoef(ours, label)[0, 1]) > 0.95
        assert ours.std() == pytest.approx(label.std(), rel=0.3)


def test_what_hearing_leaves_of_d_vl():
    left = report.audible_d_vl(every=12)
    names = ("lips", "lips_nods_return", "lips_likely_head", "lips_nods_alike")
    lips, back, likely, alike = (left[f"d_vl_of_true_{name}"] for name in names)
    assert 0 < back < likely < lips < 1
    assert back < alike
