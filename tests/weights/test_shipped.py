"""The weights that ship were made by the configs that ship."""

import pytest

from talkbench import config as configs
from talkbench.weights import checkpoint

FILES = sorted(path for path in checkpoint.SHIPPED.glob("*.npz") if path.stem != "atvgnet_basis")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_config_is_still_the_one_it_was_trained_with(path):
    _, meta = checkpoint.load(path)
    now = configs.to_plain(configs.load(meta["name"], "tiny", {}))
    was, now = (checkpoint.flatten(config) for config in (meta["config"], now))
    assert [key for key in was if key not in now or was[key].tolist() != now[key].tolist()] == []
    assert meta["data"]["name"] == "synthetic"
