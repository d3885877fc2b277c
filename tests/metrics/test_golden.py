"""Every case of the golden file, within its tolerance."""

import pytest
from reference import golden

from talkbench.metrics.golden import CASES


@pytest.fixture(scope="module")
def file():
    return golden("metrics.npz")


@pytest.mark.parametrize("name", CASES)
def test_case(file, name):
    case = file.cases[name]
    values = CASES[name](case)
    errors = {key: (case.compare(key, values[key]), output.tolerance) for key, output in case.outputs.items()}
    assert errors
    assert not {key: pair for key, pair in errors.items() if not pair[0] <= pair[1]}


def test_no_case_is_left_out(file):
    assert set(CASES) == set(file.cases)
