import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.nn.conv import Conv, ConvTranspose, Linear
from talkbench.weights import formula
from talkbench.weights.torch_layout import (
    CheckpointError,
    abstract_variables,
    convert,
    entry,
    strip_module,
    strip_prefix,
)


@pytest.mark.parametrize(
    "layer, inputs, shapes",
    [
        (Conv(4, (3, 5)), (1, 8, 8, 2), {"weight": (4, 2, 3, 5), "bias": (4,)}),
        (Conv(4, (3,), use_bias=False), (1, 8, 2), {"weight": (4, 2, 3)}),
        (Linear(4), (1, 3), {"weight": (4, 3), "bias": (4,)}),
        (ConvTranspose(4, (3, 5)), (1, 8, 8, 2), {"weight": (2, 4, 3, 5), "bias": (4,)}),
        (
            Conv(4, (2, 3), spectral=True, use_bias=False),
            (1, 8, 8, 2),
            {"weight_orig": (4, 2, 2, 3), "weight_u": (4,), "weight_v": (12,)},
        ),
        (
            ConvTranspose(4, (2, 3), spectral=True, use_bias=False),
            (1, 8, 8, 2),
            {"weight_orig": (2, 4, 2, 3), "weight_u": (4,), "weight_v": (12,)},
        ),
    ],
)
def test_there_and_back(layer, inputs, shapes):
    state = formula.state_dict(0, shapes)
    variables = convert(state, abstract_variables(layer.init, inputs))
    for key, value in state.items():
        np.testing.assert_array_equal(entry(variables, key), value)


def test_converted_spectral_layers_are_normalised():
    """u and v of the published layer give sigma = the largest singular value in ours."""
    state = formula.state_dict(0, {"weight_orig": (4, 2, 2, 3), "weight_u": (4,), "weight_v": (12,)})
    layer = Conv(4, (2, 3), spectral=True, use_bias=False)
    x = np.random.default_rng(0).normal(size=(1, 5, 5, 2)).astype(np.float32)
    made = layer.apply(convert(state, abstract_variables(layer.init, x.shape)), x)
    sigma = np.linalg.norm(state["weight_orig"].reshape(4, -1), 2)
    plain = Conv(4, (2, 3), use_bias=False)
    kernel = np.transpose(state["weight_orig"], (2, 3, 1, 0)) / sigma
    np.testing.assert_allclose(
        made, plain.apply({"params": {"kernel": jnp.asarray(kernel)}}, x), rtol=1e-3, atol=1e-5
    )


def test_prefixes():
    assert strip_module({"module.a": 1, "module.b": 2}) == {"a": 1, "b": 2}
    assert strip_module({"module.a": 1, "b": 2}) == {"module.a": 1, "b": 2}
    assert strip_prefix({"net.a": 1, "network.b": 2}, "net.") == {"a": 1}


def test_rules_ignored_keys_and_errors():
    layer = Linear(4)
    abstract = {"params": {"head_0": abstract_variables(layer.init, (1, 3))["params"]}}
    state = formula.state_dict(0, {"top.weight": (4, 3), "top.bias": (4,), "old.weight": (9,)})
    rules = [(r"^top\.", "head.0.")]
    made = convert(state, abstract, rules, [r"old\..*"])
    assert made["params"]["head_0"]["kernel"].shape == (3, 4)
    with pytest.raises(CheckpointError, match="mine does not fit the network: 1 unexpected: old.weight"):
        convert(state, abstract, rules, name="mine")
    with pytest.raises(CheckpointError, match="2 missing: params/head_0/bias, params/head_0/kernel"):
        convert({}, abstract)
    with pytest.raises(CheckpointError, match="another size: head.0.weight"):
        convert({"head.0.weight": np.zeros((5, 3)), "head.0.bias": np.zeros(4)}, abstract)
    with pytest.raises(CheckpointError, match="same entry"):
        convert({"top.bias": np.zeros(4), "head.0.bias": np.zeros(4)}, abstract, rules)
    with pytest.raises(CheckpointError, match="no entry for the published key nothing.weight"):
        entry(made, "nothing.weight")
