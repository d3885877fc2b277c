"""LPIPS v0.1 (Zhang et al. 2018): learned perceptual distance, with the VGG-16 and the AlexNet trunk.

The parameter tree of the VGG form is lpips-j's (`vgg/convB_L/{kernel,bias}`, `lins_I/layer/kernel`), so
either package's parameters go into the other; `AlexNet` has `alex/convL`. Weights come from torchvision's
trunk and the publisher's linear layers, or from lpips-j's two h5 files. Nothing is downloaded here.

The network takes images in [-1, 1]. Feeding [0, 1] is the field's most repeated mistake, so `distance`, what
metrics call, takes uint8 images and nothing else.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv
from talkbench.nn.pool import max_pool
from talkbench.nn.vgg import IMAGENET_MEAN, IMAGENET_STD
from talkbench.weights import torch_layout
from talkbench.weights.readers import WeightsFileError, read, state_dict

NETS = ("vgg", "alex")

# (name, torchvision's index, features, window, stride, padding); "tap" gives out the features, a number pools
_VGG = (
    ("conv1_1", 0, 64, 3, 1, 1),
    ("conv1_2", 2, 64, 3, 1, 1),
    "tap",
    2,
    ("conv2_1", 5, 128, 3, 1, 1),
    ("conv2_2", 7, 128, 3, 1, 1),
    "tap",
    2,
    ("conv3_1", 10, 256, 3, 1, 1),
    ("conv3_2", 12, 256, 3, 1, 1),
    ("conv3_3", 14, 256, 3, 1, 1),
    "tap",
    2,
    ("conv4_1", 17, 512, 3, 1, 1),
    ("conv4_2", 19, 512, 3, 1, 1),
    ("conv4_3", 21, 512, 3, 1, 1),
    "tap",
    2,
    ("conv5_1", 24, 512, 3, 1, 1),
    ("conv5_2", 26, 512, 3, 1, 1),
    ("conv5_3", 28, 512, 3, 1, 1),
    "tap",
)
_ALEX = (
    ("conv1", 0, 64, 11, 4, 2),
    "tap",
    3,
    ("conv2", 3, 192, 5, 1, 2),
    "tap",
    3,
    ("conv3", 6, 384, 3, 1, 1),
    "tap",
    ("conv4", 8, 256, 3, 1, 1),
    "tap",
    ("conv5", 10, 256, 3, 1, 1),
    "tap",
)
_LAYERS = {"vgg": _VGG, "alex": _ALEX}


class Trunk(nn.Module):
    """Features after the five tapped ReLUs; x (N, H, W, 3), ImageNet-normalised."""

    net: str = "vgg"

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        taps = []
        for layer in _LAYERS[self.net]:
            if layer == "tap":
                taps.append(x)
            elif isinstance(layer, int):
                x = max_pool(x, (layer, layer), (2, 2))
            else:
                name, _, features, window, stride, padding = layer
                x = nn.relu(Conv(features, (window, window), stride, padding, name=name)(x))
        return taps


class Lin(nn.Module):
    """Non-negative weights of the channels of one tap."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return Conv(1, (1, 1), use_bias=False, name="layer")(x)


class LPIPS(nn.Module):
    """The distance as the publisher's network computes it.

    Args of a call: a, b: (N, H, W, 3) RGB in [-1, 1]; at least 16 pixels a side for vgg, 35 for alex.

    Returns:
        (N,) distances; with `layers=True` the (5, N) terms that they are the sums of.
    """

    net: str = "vgg"

    def setup(self):
        if self.net not in NETS:
            raise ValueError(f"LPIPS has no trunk {self.net!r}: choose {' or '.join(NETS)}")
        setattr(self, self.net, Trunk(self.net))  # the trunk's name is a level of the parameter tree
        self.lins = [Lin() for _ in range(5)]

    def __call__(self, a: jax.Array, b: jax.Array, layers: bool = False) -> jax.Array:
        trunk = getattr(self, self.net)
        count = len(a)
        # the published scaling layer is ImageNet's normalisation, written for [-1, 1]
        images = (jnp.concatenate([a, b]) + 1) / 2
        terms = []
        for features, lin in zip(trunk((images - IMAGENET_MEAN) / IMAGENET_STD), self.lins, strict=True):
            unit = normalised(features)
            terms.append(lin(jnp.square(unit[:count] - unit[count:])).mean((1, 2, 3)))
        terms = jnp.stack(terms)
        return terms if layers else terms.sum(0)


def normalised(features: jax.Array) -> jax.Array:
    """Each pixel's features (N, H, W, C) over their length; zeros stay zeros."""
    return features / (jnp.sqrt(jnp.square(features).sum(-1, keepdims=True) + _tiny(features)) + 1e-10)


def _tiny(features: jax.Array) -> jax.Array:
    """Zero in value; keeps the root's gradient finite where a pixel's features are all zero."""
    dead = (features == 0).all(-1, keepdims=True)
    return jnp.where(dead, 1e-20, 0.0).astype(features.dtype)


def distance(variables, a: jax.Array, b: jax.Array, net: str = "vgg") -> jax.Array:
    """LPIPS of uint8 images.

    Args:
        variables: of one of this module's readers.
        a, b: (N, H, W, 3) uint8 RGB of the same size.
        net: "vgg" or "alex"; part of the metric's name.

    Returns:
        (N,) float32, lower is closer. Pure, to be jitted with `net` static.
    """
    if a.dtype != jnp.uint8 or b.dtype != jnp.uint8 or a.shape != b.shape:
        raise ValueError(
            f"LPIPS compares uint8 images of one size, not {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        )
    a, b = (x.astype(jnp.float32) / 127.5 - 1 for x in (a, b))
    return LPIPS(net).apply(variables, a, b)


@cache
def abstract(net: str = "vgg") -> dict:
    """Shapes of the network's variables."""
    return torch_layout.abstract_variables(LPIPS(net).init, (1, 64, 64, 3), (1, 64, 64, 3))


def _rules(net: str) -> torch_layout.Rules:
    trunk = [
        (rf"features\.{layer[1]}\.", f"{net}.{layer[0]}.")
        for layer in _LAYERS[net]
        if isinstance(layer, tuple)
    ]
    return [*((rf"^{old}", new) for old, new in trunk), (r"^lin(\d)\.model\.1\.", r"lins_\1.layer.")]


def convert(published: Mapping[str, np.ndarray], net: str = "vgg") -> dict:
    """Variables from `features.N.*` (torchvision's trunk) and `linI.model.1.weight` (the publisher's)."""
    ignore = (r"classifier\..*", r"scaling_layer\..*")
    return torch_layout.convert(published, abstract(net), _rules(net), ignore, f"LPIPS ({net})")


def read_weights(trunk: str | Path, lins: str | Path, net: str = "vgg") -> dict:
    """Variables from torchvision's file (registry `vgg16`, `alexnet`) and the publisher's (`lpips-vgg`,
    `lpips-alex`).
    """
    return convert({**_features(trunk), **state_dict(lins)}, net)


def read_lpips_j(trunk: str | Path, lins: str | Path) -> dict:
    """Variables (vgg) from lpips-j's `vgg16_weights.h5` and `lpips_lin.h5`."""
    params: dict = {"vgg": {}}
    for key, value in read(trunk).items():
        layer, _, kind = key.partition("/")
        if layer.startswith("conv"):
            params["vgg"].setdefault(layer, {})["kernel" if kind == "weight" else kind] = np.float32(value)
    for key, value in read(lins).items():
        params[f"lins_{key.removeprefix('lin')}"] = {"layer": {"kernel": np.float32(value)}}
    tree = {"params": params}
    wanted, found = (_shapes(t) for t in (abstract("vgg"), tree))
    if wanted != found:
        wrong = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))
        raise WeightsFileError(
            f"{trunk}, {lins}: not lpips-j's files: {', '.join(wrong[:3])} missing or misshaped"
        )
    return tree


def _shapes(tree) -> dict[str, tuple[int, ...]]:
    return {
        jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _features(path: str | Path) -> dict[str, np.ndarray]:
    return {key: value for key, value in state_dict(path).items() if key.startswith("features.")}


def _check_trunk(path: str | Path, net: str) -> dict:
    shapes = {"params": {net: abstract(net)["params"][net]}}
    return torch_layout.convert(_features(path), shapes, _rules(net), name=f"LPIPS ({net}) trunk")


def read_vgg16(path: str | Path) -> dict:
    """The trunk alone, from torchvision's VGG-16."""
    return _check_trunk(path, "vgg")


def read_alexnet(path: str | Path) -> dict:
    """The trunk alone, from torchvision's AlexNet."""
    return _check_trunk(path, "alex")


def read_lins(path: str | Path) -> dict:
    """The linear layers alone, from the publisher's file."""
    published = state_dict(path)
    second = published.get("lin1.model.1.weight")
    net = "alex" if second is not None and second.size == 192 else "vgg"
    shapes = {"params": {k: v for k, v in abstract(net)["params"].items() if k != net}}
    return torch_layout.convert(published, shapes, _rules(net), name="LPIPS linear layers")
