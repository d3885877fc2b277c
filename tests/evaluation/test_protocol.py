from dataclasses import replace

import pytest

from talkbench.evaluation.protocol import ProtocolError, load, names
from talkbench.evaluation.provenance import digest, git_revision


def test_every_shipped_protocol_loads():
    assert "synthetic" in names()
    for name in names():
        protocol = load(name)
        assert protocol.tolerances.keys() <= set(protocol.metrics)
    assert "scales=3" in load("synthetic").metric_version("ms_ssim")


def test_mistakes_are_named(protocol, tmp_path):
    with pytest.raises(ProtocolError, match="no benchmark 'nope'; there are"):
        load("nope")
    with pytest.raises(ValueError, match="unknown metric 'psnrr'"):
        replace(protocol, metrics=("psnrr",), options={}, tolerances={})
    with pytest.raises(ProtocolError, match="kind of judge"):
        replace(protocol, judges={"nose": "x"})
    with pytest.raises(ProtocolError, match="tolerances"):
        replace(protocol, tolerances={"cpbd": 1})
    with pytest.raises(ProtocolError, match="unknown task"):
        replace(protocol, tasks=("guess",))
    path = tmp_path / "mine.py"
    path.write_text("PROTOCOL = 3\n")
    with pytest.raises(ProtocolError, match="must define PROTOCOL"):
        load(str(path))


def test_digest_knows_values_and_not_their_order(protocol):
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    assert digest(protocol.scoring()) != digest(replace(protocol, seed=1).scoring())
    assert digest(protocol.scoring()) == digest(replace(protocol, title="x", tolerances={}).scoring())
    assert git_revision() is None or len(git_revision()) >= 40
