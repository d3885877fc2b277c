"""Multiply-adds of a program, counted in its jaxpr: what is asked for, whatever a compiler makes of it."""

import math
from collections import Counter
from collections.abc import Callable, Iterator

import jax


def multiply_adds(function: Callable, *args) -> Counter:
    """{operand type: multiply-adds} of `function(*args)`, over its matrix products and convolutions.

    A product and its addition are one. Pixels beyond a convolution's border count as if they were there; the zeros
    that a dilated input is spread with don't. A `scan` counts as often as it goes round, a `while` once, of a `cond`
    the dearest branch. Nothing else counts: no additions, no activations, no gathers.

    Args:
        args: arrays or `jax.ShapeDtypeStruct`s; nothing is computed.
    """
    return _of(jax.make_jaxpr(function)(*args).jaxpr)


def _of(jaxpr) -> Counter:
    total = Counter()
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            left = equation.invars[0].aval
            depth = math.prod(left.shape[i] for i in contracted)
            total[str(left.dtype)] += equation.outvars[0].aval.size * depth
        elif name == "conv_general_dilated":
            _, inputs, *spatial = params["dimension_numbers"].rhs_spec
            kernel = equation.invars[1].aval
            taps = math.prod(kernel.shape[i] for i in (inputs, *spatial))
            spread = math.prod(params["lhs_dilation"])
            total[str(kernel.dtype)] += equation.outvars[0].aval.size * taps // spread
        elif name == "scan":
            for kind, count in _of(params["jaxpr"].jaxpr).items():
                total[kind] += params["length"] * count
        elif name == "cond":
            total += max((_of(branch.jaxpr) for branch in params["branches"]), key=Counter.total)
        else:
            for inner in _inside(params):
                total += _of(inner)
    return total


def _inside(params: dict) -> Iterator:
    """The jaxprs among an equation's parameters."""
    for value in params.values():
        for one in value if isinstance(value, list | tuple) else (value,):
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                yield one


def parameters(tree) -> int:
    """Numbers in a tree of arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
