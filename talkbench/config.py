"""Configs: `configs/METHOD.py` gives `get_config(preset)`; overrides by dotted key; unknown names get the nearest."""

import ast
import difflib
import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from talkbench import resources


class ConfigError(ValueError):
    """An unknown config, preset or key, or a value of the wrong type."""


def adam(learning_rate: float, b1: float = 0.5, b2: float = 0.999, eps: float = 1e-8, **changes) -> dict:
    """The `optimizer` section of a config (`training.optimizer` reads it), Adam with nothing else by default."""
    section = {
        "learning_rate": learning_rate, "b1": b1, "b2": b2, "eps": eps, "weight_decay": 0.0, "schedule": "constant",
        "warmup_steps": 0, "boundaries": (), "factor": 0.1, "clip_norm": 0.0, "skip_nonfinite": 0, "accumulate": 1,
    }  # fmt: skip
    return _changed(section, changes)


def run(steps: int, batch_size: int, **changes) -> dict:
    """The `train` section of a config (`training.trainer` reads it)."""
    section = {
        "steps": steps, "batch_size": batch_size, "ema_decay": 0.0, "dtype": "float32", "log_every": 50,
        "sample_every": 1000, "checkpoint_every": 1000, "keep": 2,
    }  # fmt: skip
    return _changed(section, changes)


def data(size: int, workers: int = 0, in_memory: bool = False, by_identity: bool = False) -> dict:
    """The `data` section of a config: side of the square pictures, loader processes (0: in the trainer's own), and
    whether the decoded frames of the whole set are held in memory (small sets; needs `workers` 0).

    With `by_identity` every speaker is seen equally often, however many clips there are of each (`id_sampling` of the
    public VoxCeleb recipes); without it every clip is.
    """
    return {"size": size, "workers": workers, "in_memory": in_memory, "by_identity": by_identity}


def _changed(section: dict, changes: dict) -> dict:
    unknown = changes.keys() - section.keys()
    if unknown:
        raise ConfigError(f"no such setting: {', '.join(sorted(unknown))}")
    return {**section, **changes}


def nearest(name: str, valid) -> str:
    """A hint for an unknown name: `; did you mean 'x'?` or the list of what there is."""
    valid = [str(v) for v in valid]
    close = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(valid)}"


def load_file(path: Path) -> ModuleType:
    """Import a Python file that lies outside a package (a config or a protocol)."""
    spec = importlib.util.spec_from_file_location(f"talkbench_file_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names() -> list[str]:
    """The configs there are."""
    return sorted(p.stem for p in resources.folder("configs").glob("*.py"))


def presets(name: str) -> tuple[str, ...]:
    """The presets of a config; ConfigError if there is no such config."""
    return _module(name).PRESETS


def _module(name: str) -> ModuleType:
    path = resources.folder("configs") / f"{name}.py"
    if not path.is_file():
        raise ConfigError(f"no config {name!r}: {nearest(name, names())}")
    return load_file(path)


def load(name: str, preset: str, overrides: dict[str, str] | None = None) -> ConfigDict:
    """The locked config `name` at `preset`, with `{dotted key: text}` overrides parsed to each key's own type.

    Raises:
        ConfigError: unknown config, preset or key (the message has the nearest valid one), or an unfit value.
    """
    module = _module(name)
    if preset not in module.PRESETS:
        raise ConfigError(f"{name} has no preset {preset!r}: {nearest(preset, module.PRESETS)}")
    config = module.get_config(preset)
    config.lock()
    for key, text in (overrides or {}).items():
        _set(config, key, text)
    return config


def of_weights(meta: dict) -> ConfigDict:
    """The config of trained weights, from the `meta` of their file.

    Switches of `model` that are newer than the file stand as in the preset `paper`, where a new one changes nothing.
    """
    config = ConfigDict(meta["config"])
    if meta["name"] in names() and "paper" in presets(meta["name"]):
        _complete(config.model, load(meta["name"], "paper").model)
    return config


def _complete(config: ConfigDict, whole: ConfigDict) -> None:
    for key, value in whole.items():
        if key not in config:
            config[key] = value
        elif isinstance(value, ConfigDict):
            _complete(config[key], value)


def overrides(arguments: list[str]) -> dict[str, str]:
    """`["--config.KEY=VALUE", ...]` -> {KEY: VALUE}.

    Raises:
        ConfigError: an argument of another form.
    """
    found = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not key.startswith("--config.") or not equals:
            raise ConfigError(
                f"unknown argument {argument!r}; a config value is --config.KEY=VALUE, see --help"
            )
        found[key.removeprefix("--config.")] = value
    return found


def keys(config: ConfigDict, prefix: str = "") -> list[str]:
    """All dotted keys of a config."""
    found = []
    for key, value in config.items():
        found += keys(value, f"{prefix}{key}.") if isinstance(value, ConfigDict) else [f"{prefix}{key}"]
    return found


def _set(config: ConfigDict, key: str, text: str) -> None:
    *folders, leaf = key.split(".")
    at = config
    for folder in folders:
        at = at.get(folder) if isinstance(at, ConfigDict) else None
    if not isinstance(at, ConfigDict) or leaf not in at or isinstance(at[leaf], ConfigDict):
        raise ConfigError(f"--config.{key}: no such key; {nearest(key, keys(config))}")
    old = at[leaf]
    try:
        at[leaf] = _parsed(text, old)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"--config.{key}={text}: expected a {type(old).__name__} such as {old!r}"
        ) from error


def _parsed(text: str, like):
    """`text` as a value of `like`'s type."""
    if isinstance(like, str):
        return text
    if isinstance(like, bool):
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    return _coerced(ast.literal_eval(text.strip()), like)


def _coerced(value, like):
    if isinstance(like, tuple | list) and isinstance(value, tuple | list):  # 1,2 or (1,2) or [1,2]
        member = next((x for x in like if isinstance(x, float)), like[0] if like else None)
        return type(like)(_coerced(v, member) for v in value)
    if isinstance(like, float) and type(value) is int:
        return float(value)
    if like is not None and type(value) is not type(like):
        raise TypeError("another type")
    return value


def to_plain(config: ConfigDict) -> dict:
    """A config as JSON-ready plain dicts."""
    return json.loads(json.dumps(config.to_dict(), default=list))


def digest(config: ConfigDict | dict) -> str:
    """First 12 hex digits of the sha256 of the config's canonical JSON."""
    plain = to_plain(config) if isinstance(config, ConfigDict) else config
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
