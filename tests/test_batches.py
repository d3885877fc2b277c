import numpy as np
import pytest

from talkbench import batches
from talkbench.batches import in_batches


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_all_rows_in_their_order_in_calls_of_one_size(count):
    rows, sizes = np.arange(2.0 * count).reshape(count, 2), []

    def function(a, b):
        sizes.append((len(a), len(b)))
        return {"sum": a + b, "last": b[:, :1]}

    made = in_batches(function, 4, rows, 10 * rows)
    np.testing.assert_array_equal(made["sum"], 11 * rows)
    np.testing.assert_array_equal(made["last"], 10 * rows[:, :1])
    assert set(sizes) == {(4, 4)} and len(sizes) == -(-count // 4)


def test_an_error_of_a_batch_is_the_callers():
    with pytest.raises(ValueError, match="bad frame"):
        in_batches(lambda x: (_ for _ in ()).throw(ValueError("bad frame")), 2, np.zeros((5, 1)))


def test_larger_frames_go_fewer_at_a_time():
    sizes = [batches.fitting(25, side) for side in (32, 64, 128, 256, 512)]
    assert sizes[:2] == [25, 25] and sizes == sorted(sizes, reverse=True) and sizes[-1] == 1
