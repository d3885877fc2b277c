"""torchvision's VGG checkpoints for `nn.vgg.VGG`."""

from collections.abc import Mapping
from typing import Any

from talkbench.nn.vgg import VGG
from talkbench.weights.torch_layout import abstract_variables, convert, strip_module


def convert_vgg(state_dict: Mapping[str, Any], network: VGG, name: str = "VGG checkpoint") -> dict:
    """torchvision's state dict as variables of `network`; layers after its last tap are left out."""
    abstract = abstract_variables(network.init, (1, 32, 32, 3))
    used = {layer.removeprefix("features_") for layer in abstract["params"]}
    state_dict = strip_module(state_dict)
    last = max(map(int, used))
    deeper = {key for key in state_dict if key.startswith("features.") and int(key.split(".")[1]) > last}
    kept = {key: value for key, value in state_dict.items() if key not in deeper}
    return convert(kept, abstract, ignore=[r"classifier\..*"], name=name)
