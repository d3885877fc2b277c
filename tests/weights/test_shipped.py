"""The weights that ship were made by the configs that ship."""

import pytest

from talkbench import config as configs
from talkbench.weights import checkpoint

FILES = sorted(path for path in checkpoint.SHIPPED.glob("*.npz") if path.stem != "atvgnet_basis")


def flat(section: dict, before: str = "") -> dict:
    """{dotted name: value}."""
    found = {}
    for key, value in section.items():
        inner = isinstance(value, dict)
        found |= flat(value, f"{before}{key}.") if inner else {before + key: value}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_config_is_still_the_one_it_was_trained_with(path):
    _, meta = checkpoint.load(path)
    was, now = flat(meta["config"]), flat(configs.to_plain(configs.load(meta["name"], "tiny", {})))
    assert {key: now.get(key) for key in was} == was
    assert meta["data"]["name"] == "synthetic"
