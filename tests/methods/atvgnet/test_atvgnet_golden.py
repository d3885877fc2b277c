"""Cases of the golden file that need no network and no published array. The whole file: `talkbench verify`."""

from pathlib import Path

import pytest

from talkbench.methods.atvgnet.golden import CASES
from talkbench.weights.golden import read, verify

GOLDEN = read(Path(__file__).parents[2] / "golden" / "atvgnet_small.npz")


@pytest.mark.parametrize("case", GOLDEN.cases)
def test_case(case):
    for row in verify(GOLDEN, CASES, [case]):
        assert row.ok, row


def test_every_case_of_the_published_networks_is_computed():
    kinds = {
        "at_eval",
        "at_train",
        "vg_b1",
        "vg_b2",
        "vg_time_recurrent",
        "vg_train",
        "disc_train",
        "train_step",
    }
    assert kinds <= CASES.keys()
