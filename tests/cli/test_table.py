from talkbench.cli.table import blocks

LINES = [["", "one", "two", "three"], ["metric", "1.000", "2.0", "3"]]


def test_columns_that_do_not_fit_follow_below():
    assert blocks(LINES, 100, 3) == [[0, 1, 2, 3]]
    assert blocks(LINES, 9 + 8 + 6 + 8, 3) == [[0, 1, 2, 3]]
    assert blocks(LINES, 9 + 8 + 6 + 7, 3) == [[0, 1, 2], [0, 3]]
    assert blocks(LINES, 5, 3) == [[0, 1], [0, 2], [0, 3]]  # never nothing but the names
    assert blocks([["alone"], ["x"]], 80, 3) == [[0]]
