"""Cases of the golden file within tolerance: a small file here, the whole one where it is beside the checkout."""

from pathlib import Path

import pytest

from talkbench.metrics.golden import CASES
from talkbench.weights.golden import read, verify

HERE = Path(__file__).resolve()
SMALL = HERE.parents[1] / "golden" / "metrics_small.npz"


def whole() -> Path | None:
    places = [parent / "shared" / "golden" / "metrics.npz" for parent in HERE.parents[2:]]
    return next((place for place in places if place.exists()), None)


def faults(golden, name):
    rows = verify(golden, CASES, [name])
    assert [row.output for row in rows] == list(golden.cases[name].outputs)
    return [(row.output, row.error, row.tolerance, row.message) for row in rows if not row.ok]


@pytest.mark.parametrize("name", sorted(read(SMALL).cases))
def test_small(name):
    assert faults(read(SMALL), name) == []


@pytest.mark.skipif(whole() is None, reason="shared/golden/metrics.npz is not beside this checkout")
@pytest.mark.parametrize("name", sorted(set(CASES) - set(read(SMALL).cases)))
def test_whole(name):
    assert faults(read(whole()), name) == []


@pytest.mark.skipif(whole() is None, reason="shared/golden/metrics.npz is not beside this checkout")
def test_no_case_is_left_out():
    assert set(CASES) == set(read(whole()).cases)
