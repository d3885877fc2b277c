from talkbench.evaluation import benchmark


def test_a_method_without_shipped_weights_is_left_out_with_a_line():
    kept, absent = benchmark.trained(["facevid2vid", "sixth"])
    assert kept == ["facevid2vid"]
    assert absent == ["sixth: left out, no weights are shipped; see `talkbench train --method sixth`"]
