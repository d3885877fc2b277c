"""Published PyTorch state dicts to variables of our networks, and single entries back.

Our modules are named after the published keys, so a key tells its place by itself: numbers join the name
before them (`layer1.0.conv1` is `layer1_0/conv1`) and the last part says what it is (`weight`, `bias`,
`running_mean`, ...). A network whose keys read otherwise gives `rules`, (pattern, replacement) pairs that are
applied to every key in order.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

Rules = Sequence[tuple[str, str]]

_STATE = {"running_mean": "mean", "running_var": "var", "weight_u": "u", "weight_v": "v"}
_WEIGHTS = {
    "weight": ("kernel", "transpose_kernel", "scale", "embedding"),
    "weight_orig": ("kernel", "transpose_kernel"),
}


class CheckpointError(ValueError):
    """A checkpoint that doesn't fit the network it is to be loaded into."""


def strip_prefix(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose key starts with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}


def strip_module(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Keys without the `module.` that data-parallel wrappers put before all of them."""
    if state_dict and all(key.startswith("module.") for key in state_dict):
        return strip_prefix(state_dict, "module.")
    return dict(state_dict)


def locate(key: str, variables: Mapping, rules: Rules = ()) -> tuple[str, ...] | None:
    """Path of a published key in `variables` ({"params": ..., "batch_stats": ...}), or None."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    *parts, kind = key.split(".")
    names = []
    for part in parts:
        if part.isdigit() and names:
            names[-1] += f"_{part}"
        else:
            names.append(part)
    collection = "batch_stats" if kind in _STATE else "params"
    tree = variables.get(collection, {})
    for name in names:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    if not isinstance(tree, Mapping):
        return None
    for leaf in (_STATE[kind],) if kind in _STATE else _WEIGHTS.get(kind, (kind,)):
        if leaf in tree:
            return (collection, *names, leaf)
    return None


def convert(
    state_dict: Mapping[str, Any],
    abstract: Mapping,
    rules: Rules = (),
    ignore: Iterable[str] = (),
    name: str = "checkpoint",
) -> dict:
    """A published state dict as variables.

    Args:
        state_dict: {published key: array}.
        abstract: the network's variables, arrays or shapes (`jax.eval_shape(network.init, ...)`).
        rules: (pattern, replacement) pairs that turn published keys into ours.
        ignore: patterns (`re.fullmatch`) of published keys that aren't wanted; `num_batches_tracked` never
            is.
        name: how errors call the state dict.

    Returns:
        Nested dicts of float32 numpy arrays, shaped as `abstract`.

    Raises:
        CheckpointError: naming missing, unexpected and wrongly shaped entries.
    """
    flat = {tuple(k.key for k in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(abstract)}
    skip = [re.compile(pattern) for pattern in (*ignore, r"(.*\.)?num_batches_tracked")]
    found, unexpected, misshaped = {}, [], []
    for key, value in state_dict.items():
        if any(pattern.fullmatch(key) for pattern in skip):
            continue
        path = locate(key, abstract, rules)
        if path is None or path not in flat:
            unexpected.append(key)
            continue
        value = np.asarray(value, np.float32)
        ours = _from_published(path[-1], value, flat[path].shape)
        if ours is None or ours.shape != flat[path].shape:
            misshaped.append(f"{key} {value.shape} (the network's is {flat[path].shape}, channels last)")
            continue
        if path in found:
            raise CheckpointError(f"{name}: {key} and another key are the same entry {'/'.join(path)}")
        found[path] = ours
    missing = ["/".join(path) for path in flat if path not in found]
    problems = []
    if misshaped:
        problems.append(f"{len(misshaped)} of another size: {_few(misshaped)}")
    elif missing:
        problems.append(f"{len(missing)} missing: {_few(missing)}")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected: {_few(unexpected)}")
    if problems:
        raise CheckpointError(f"{name} does not fit the network: {'; '.join(problems)}")
    tree: dict = {}
    for path, value in found.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    return tree


def entry(variables: Mapping, key: str, rules: Rules = ()) -> np.ndarray:
    """The array of a published key in the published layout, from variables or gradients like them."""
    path = locate(key, variables, rules)
    if path is None:
        raise CheckpointError(f"the network has no entry for the published key {key}")
    value: Any = variables
    for part in path:
        value = value[part]
    return _to_published(path[-1], np.asarray(value))


def _from_published(leaf: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    if leaf == "kernel" and value.ndim >= 2:
        return np.moveaxis(value, (1, 0), (-2, -1))
    if leaf == "transpose_kernel" and value.ndim >= 2:
        return np.moveaxis(value, (0, 1), (-2, -1))
    if leaf == "v":  # published: flattened (in, *window)
        if value.size != np.prod(shape):
            return None
        return np.moveaxis(value.reshape(shape[-1], *shape[:-1]), 0, -1)
    return value


def _to_published(leaf: str, value: np.ndarray) -> np.ndarray:
    if leaf == "kernel":
        return np.moveaxis(value, (-2, -1), (1, 0))
    if leaf == "transpose_kernel":
        return np.moveaxis(value, (-2, -1), (0, 1))
    if leaf == "v":
        return np.moveaxis(value, -1, 0).reshape(-1)
    return value


def _few(names: Sequence[str], number: int = 3) -> str:
    return ", ".join(names[:number]) + (f" and {len(names) - number} more" if len(names) > number else "")


def agree(what: str, found: Any, network: Any, fields: Iterable[str], flag: str = "") -> None:
    """Refuse a checkpoint whose network has other settings than the configuration's, naming the first of them.

    Args:
        what: how errors call the checkpoint's network. found, network: the modules. fields: what weights show of them.
        flag: of the command line, up to the field's name; "": the message names the field alone.

    Raises:
        CheckpointError: they differ.
    """
    for name in fields:
        theirs, ours = (
            tuple(x) if isinstance(x, list) else x for x in (getattr(found, name), getattr(network, name))
        )
        if theirs != ours:
            remedy = f"pass {flag}{name}={theirs}" if flag else f"set {name} to {theirs}"
            raise CheckpointError(
                f"{what} has {name} {theirs}, the configuration says {ours}: {remedy}, or choose another checkpoint"
            )


def abstract_variables(init: Callable, *inputs: tuple[int, ...]) -> dict:
    """Shapes of a network's variables, from its `init` and the shapes of its float32 inputs."""
    arguments = [jax.ShapeDtypeStruct(shape, np.float32) for shape in inputs]
    return jax.eval_shape(init, jax.random.key(0), *arguments)
