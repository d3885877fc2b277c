import cv2
import numpy as np
import pytest

from talkbench.evaluation.measure import Footage, measure
from talkbench.evaluators.optical_flow import dis_flow


@pytest.fixture(scope="module")
def panned():
    """A textured picture that moves by (2, -1) pixels a frame: (6, 48, 64, 3)."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.uniform(0, 255, (80, 100, 3)), (0, 0), 2)
    wide = 255 * (wide - wide.min()) / np.ptp(wide)
    return (
        np.stack([wide[10 + t : 58 + t, 20 - 2 * t : 84 - 2 * t] for t in range(6)]).round().astype(np.uint8)
    )


def test_flow_is_found_where_it_returns(panned):
    flow, visible = dis_flow(panned)
    assert flow.shape == (5, 48, 64, 2) and visible.mean() > 0.8
    np.testing.assert_allclose(np.median(flow[visible], 0), (2, -1), atol=0.1)
    assert not visible[:, :, -1].any()  # what leaves the picture has nowhere to return from


def error(real, fake):
    blank = [Footage(side) for side in (real, fake)]
    return measure(["warping_error_dis"], *blank, {})["warping_error_dis"].value


def test_warping_error_sees_what_does_not_move_along(panned):
    own = error(panned, panned)
    still = error(panned, np.repeat(panned[:1], len(panned), 0))
    noise = np.random.default_rng(0).normal(0, 5, panned.shape)
    noisy = np.clip(panned + noise, 0, 255).round().astype(np.uint8)
    assert own < error(panned, noisy) < still
