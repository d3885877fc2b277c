"""Small cases of the golden file, as `talkbench verify` computes them. The whole file takes minutes: `make
golden`.
"""

from pathlib import Path

import pytest

from talkbench.methods.facevid2vid.golden import CASES
from talkbench.weights.golden import read, verify

GOLDEN = read(Path(__file__).parents[2] / "golden" / "facevid2vid_small.npz")


@pytest.mark.parametrize("case", GOLDEN.cases)
def test_case(case):
    for row in verify(GOLDEN, CASES, [case]):
        assert row.ok, row
