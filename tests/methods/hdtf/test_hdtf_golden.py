"""Small cases of the golden files, as `talkbench verify` computes them. The whole files: `make golden`."""

from pathlib import Path

import pytest

from talkbench.cli.verify import case_functions
from talkbench.methods.hdtf.golden import CASES
from talkbench.weights.golden import read, verify

FILES = {
    name: read(Path(__file__).parents[2] / "golden" / f"{name}_small.npz")
    for name in ("hdtf", "hdtf_animation")
}


@pytest.mark.parametrize(
    "name, case", [(name, case) for name, golden in FILES.items() for case in golden.cases]
)
def test_case(name, case):
    for row in verify(FILES[name], CASES, [case]):
        assert row.ok, row


@pytest.mark.parametrize("name", FILES)
def test_verify_finds_the_table(name):
    assert case_functions(FILES[name]) is CASES
