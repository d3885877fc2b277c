"""Configs: presets, overrides and what is refused, and how."""

import json

import pytest

from talkbench import config as configs
from talkbench.config import ConfigError

FILE = """
from ml_collections import ConfigDict
from talkbench.config import adam, data, run
PRESETS = ("tiny", "paper")
def get_config(preset):
    return ConfigDict({"name": "toy", "preset": preset, "seed": 0, "data": data(64), "optimizer": adam(1e-3),
        "train": run(10, 4), "model": {"widths": (8, 16), "scales": (1, 0.5), "names": ("a", "b"), "list": [1, 2],
        "pairs": ((1, 2), (3, 4)), "bias": True, "gan": "hinge", "limit": None}})
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(FILE)
    (tmp_path / "other.py").write_text(FILE)
    monkeypatch.setattr(configs.resources, "folder", lambda name: tmp_path)


def load(**overrides):
    return configs.load("toy", "tiny", {key.replace("__", "."): text for key, text in overrides.items()})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("optimizer.learning_rate", "1e-4", 1e-4),
        ("optimizer.learning_rate", "1", 1.0),
        ("train.steps", "20", 20),
        ("seed", "-1", -1),
        ("model.bias", "false", False),
        ("model.bias", "1", True),
        ("model.gan", "ls", "ls"),
        ("model.gan", "1", "1"),
        ("model.gan", "", ""),
        ("model.widths", "[1,2,3]", (1, 2, 3)),
        ("model.widths", "(1, 2)", (1, 2)),
        ("model.widths", "1,2", (1, 2)),
        ("model.widths", "()", ()),
        ("model.scales", "1,0.25", (1.0, 0.25)),
        ("model.names", "['c']", ("c",)),
        ("model.pairs", "[[5,6]]", ((5, 6),)),
        ("model.list", "[3]", [3]),
        ("model.limit", "3", 3),
        ("optimizer.boundaries", "0.5,0.75", (0.5, 0.75)),
    ],
)
def test_overrides_take_the_keys_own_type(key, text, value):
    config = configs.load("toy", "tiny", configs.overrides([f"--config.{key}={text}"]))
    for part in key.split("."):
        config = config[part]
    assert config == value and type(config) is type(value)
    if isinstance(value, tuple):
        assert [type(x) for x in config] == [type(x) for x in value]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("train.steps", "many", "a int such as 10"),
        ("train.steps", "1.5", "a int"),
        ("train.steps", "true", "a int"),
        ("train.steps", "True", "a int"),
        ("train.steps", "", "a int"),
        ("optimizer.learning_rate", "'1'", "a float such as 0.001"),
        ("optimizer.learning_rate", "True", "a float"),
        ("optimizer.learning_rate", "[1]", "a float"),
        ("optimizer.learning_rate", "nan", "a float"),
        ("model.bias", "yes", "a bool such as True"),
        ("model.widths", "3", "a tuple such as \\(8, 16\\)"),
        ("model.widths", "'ab'", "a tuple"),
        ("model.widths", "{1: 2}", "a tuple"),
        ("model.widths", "1,0.5", "a tuple"),
        ("model.names", "1,2", "a tuple"),
        ("model.pairs", "1,2", "a tuple"),
        ("model.widths", "__import__('os')", "a tuple"),
    ],
)
def test_values_of_another_type_are_refused(key, text, expected):
    with pytest.raises(ConfigError, match=f"^--config.{key}=.*expected {expected}") as error:
        configs.load("toy", "tiny", {key: text})
    assert "\n" not in str(error.value)


def test_unknown_names_get_the_nearest():
    with pytest.raises(ConfigError, match="no config 'tyo': did you mean 'toy'?"):
        configs.load("tyo", "tiny")
    with pytest.raises(ConfigError, match="no config 'zzzz': there are: other, toy"):
        configs.load("zzzz", "tiny")
    with pytest.raises(ConfigError, match="toy has no preset 'papper': did you mean 'paper'?"):
        configs.load("toy", "papper")
    with pytest.raises(ConfigError, match="--config.optimizer.learning_rat: .*'optimizer.learning_rate'"):
        load(optimizer__learning_rat="1")
    with pytest.raises(ConfigError, match="--config.learning_rate: .*'optimizer.learning_rate'"):
        load(learning_rate="1")
    for key in ("train", "train.steps.more", "seed.x", "", "train."):
        with pytest.raises(ConfigError, match="no such key"):
            configs.load("toy", "tiny", {key: "1"})


def test_arguments_of_another_form_are_refused():
    assert configs.overrides(["--config.a.b=1=2", "--config.c="]) == {"a.b": "1=2", "c": ""}
    for argument in ("--config.a", "--a=1", "a", "--config"):
        with pytest.raises(ConfigError, match="--config.KEY=VALUE"):
            configs.overrides([argument])


def test_sections_refuse_settings_that_do_not_exist():
    assert configs.adam(1e-3, clip_norm=2.0)["clip_norm"] == 2.0
    with pytest.raises(ConfigError, match="no such setting: clip"):
        configs.adam(1e-3, clip=2.0)
    with pytest.raises(ConfigError, match="no such setting: batch"):
        configs.run(1, 1, batch=2)


def test_plain_and_digest():
    config = load()
    plain = configs.to_plain(config)
    assert plain == json.loads(json.dumps(plain)) and plain["model"]["widths"] == [8, 16]
    assert configs.digest(config) == configs.digest(plain) == configs.digest(load())
    assert configs.digest(load(seed="1")) != configs.digest(config)
    assert "model.widths" in configs.keys(config) and "model" not in configs.keys(config)
    with pytest.raises(AttributeError):
        config.trian = 1


def test_configs_of_the_checkout(monkeypatch):
    """Every shipped config at each of its presets: a name, and sections that the trainer reads."""
    monkeypatch.undo()
    assert {"facevid2vid", "landmarks"} <= set(configs.names())
    for name in configs.names():
        module = configs.load_file(configs.resources.folder("configs") / f"{name}.py")
        for preset in module.PRESETS:
            config = configs.load(name, preset)
            assert (config.name, config.preset) == (name, preset)
            assert set(config.train) == set(configs.run(1, 1)), name
            assert set(config.optimizer) == set(configs.adam(1.0)), name
            assert set(config.data) == set(configs.data(1)), name
            json.dumps(configs.to_plain(config))


def test_weights_older_than_a_switch_have_its_published_value():
    stored = configs.to_plain(configs.load("toy", "tiny"))
    del stored["model"]["bias"]
    stored["model"]["gan"] = "wgan"
    found = configs.of_weights({"name": "toy", "config": stored}).model
    assert found.bias is True and found.gan == "wgan"
    stranger = {"name": "of another package", "config": stored}
    assert "bias" not in configs.of_weights(stranger).model
