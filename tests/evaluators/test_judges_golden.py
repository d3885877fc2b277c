"""The judges' golden cases that need no network; `talkbench verify --golden evalnets.npz` computes all of
them.
"""

from pathlib import Path

import pytest

from talkbench.evaluators.golden import CASES
from talkbench.weights.golden import read, verify


@pytest.fixture(scope="module")
def golden():
    for parent in Path(__file__).resolve().parents:
        path = parent / "shared" / "golden" / "evalnets.npz"
        if path.exists():
            return read(path)
    pytest.skip(
        "shared/golden/evalnets.npz is not beside this checkout; `talkbench verify --golden` checks it too"
    )


def test_every_case_is_known(golden):
    assert golden.cases.keys() == CASES.keys()


def test_cases_without_networks(golden):
    names = [name for name, case in golden.cases.items() if not case.networks]
    assert len(names) >= 8
    rows = verify(golden, CASES, names)
    assert all(row.ok for row in rows), [row for row in rows if not row.ok]
