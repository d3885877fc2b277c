"""PC-AVS's modules as a config asks for them, and one pass through them."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from talkbench.methods.pcavs.networks import (
    AudioEncoder,
    Discriminator,
    Generator,
    IdentityEncoder,
    NonIdentityEncoder,
    published_layout,
)

# What a stage can leave as it is: whole networks, or parts of E.
PARTS = ("V", "A_sync", "G", "backbone", "to_mouth", "mouth_embed", "to_headpose", "headpose_embed")


def modules(config: ConfigDict) -> dict:
    """The networks of `config.model` by their published labels: E, V, A_sync, G and D."""
    model, dtype = config.model, {"float32": None, "bfloat16": jnp.bfloat16}[config.train.dtype]
    section = lambda name: {k: tuple(v) if isinstance(v, list) else v for k, v in model[name].items()}  # noqa: E731
    sizes = section("generator")
    if not sizes["widths"]:
        sizes["start"], sizes["widths"] = published_layout(config.data.size)
    side = sizes["start"] * 2 ** (len(sizes["widths"]) - 1) * sizes["patch"]
    if side != config.data.size:
        raise ValueError(
            f"model.generator makes pictures of {side} px, data.size is {config.data.size}: "
            "change start, widths or patch"
        )
    if sizes["patch"] > 1 and (len(sizes["widths"]) < 2 or sizes["patch"] & (sizes["patch"] - 1)):
        raise ValueError(f"model.generator.patch={sizes['patch']}: a power of two, with at least two widths")
    first = {"map_width": sizes["widths"][0], "map_size": (sizes["start"],) * 2}
    return {
        "E": NonIdentityEncoder(dtype=dtype, **section("non_identity")),
        "V": IdentityEncoder(dtype=dtype, **first, **section("identity")),
        "A_sync": AudioEncoder(dtype=dtype, outputs=model.non_identity.features, **section("audio")),
        "G": Generator(dtype=dtype, **sizes),
        "D": Discriminator(dtype=dtype, **section("discriminator")),
    }


def side(made: dict) -> dict:
    """{network: variables} as a side of a stage."""
    return {
        "params": {name: variables["params"] for name, variables in made.items()},
        "stats": {name: variables.get("batch_stats", {}) for name, variables in made.items()},
    }


def held(params: dict, frozen: Iterable[str]) -> dict:
    """The parameters with no gradient into the parts named in `frozen` (of `PARTS`)."""
    frozen = set(frozen)
    strange = sorted(frozen - set(PARTS))
    if strange:
        raise ValueError(f"model.frozen: no part {', '.join(strange)}; there are {', '.join(PARTS)}")

    def of_e(layers):
        part = lambda layer: "backbone" if layer == "model" else layer.rpartition("_")[0]  # noqa: E731
        return {k: jax.lax.stop_gradient(v) if part(k) in frozen else v for k, v in layers.items()}

    kept = {n: jax.lax.stop_gradient(tree) if n in frozen else tree for n, tree in params.items()}
    return {**kept, "E": of_e(kept["E"])} if "E" in kept else kept


class Pass:
    """Calls networks with a side's variables. In training (`train=True`) new statistics are kept in `stats`."""

    def __init__(self, nets: dict, params: dict, stats: dict):
        self.nets, self.params, self.stats = nets, params, dict(stats)

    def __call__(self, name: str, *args: Any, train: bool = False, method: str | None = None, **rngs: Any):
        variables = {"params": self.params[name], "batch_stats": self.stats[name]}
        network = self.nets[name]
        if not train:
            return network.apply(variables, *args, method=method, rngs=rngs)
        out, new = network.apply(
            variables, *args, train=True, method=method, rngs=rngs, mutable=["batch_stats"]
        )
        self.stats[name] = new.get("batch_stats", self.stats[name])
        return out

    def pose_code(self, feature: jax.Array) -> jax.Array:
        """E's feature -> pose code."""
        return self("E", self("E", feature, method="pose"), method="pose_code")
