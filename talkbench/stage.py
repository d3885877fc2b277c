"""Stage: the networks of a method that are optimised together, and how. The trainer knows nothing else of a method."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Stage:
    """What the trainer needs of a method.

    A side's variables are `{"params": {NETWORK: tree}, "stats": {NETWORK: tree}}`, plain nested dicts (`stats` holds
    BatchNorm statistics and spectral-norm vectors; empty where there are none). Losses return a dict of named scalar
    terms *without* their weights; the trainer adds `weights[name] * term`. A generator's term without a weight is only
    logged, a discriminator's counts once. No two terms of a stage share a name, and every weight has its term.

    Attributes:
        name: name of the stage; checkpoints and logs carry it.
        features: `features(view, rng) -> example`: numpy only, runs in loader workers, must pickle. `view` is a
            `data.loader.ClipView`, `rng` a `numpy.random.Generator`, `example` a dict of arrays.
        init: `init(key, batch) -> (generator_side, discriminator_side or None)`.
        generator_loss: `f(params, stats, discriminator_side, frozen, batch, rng) -> (terms, (new_stats, outputs))`;
            `outputs` is handed (without gradient) to the discriminator and to `sample`.
        discriminator_loss: `f(params, stats, outputs, batch, rng) -> (terms, new_stats)`, or None without a GAN.
        weights: {term: weight}.
        frozen: reads the variables of frozen teachers (any tree, possibly empty): an argument of the compiled step.
        sample: `f(generator_side, frozen, batch) -> images` float (N, columns, H, W, 3) in [0, 1], for sample grids.
        settings: {section of the config: {key: value}}: what this stage has otherwise, such as its `train.steps`.
        exported: whether its variables belong in the weight file (not: a stage whose result the next one takes up).
    """

    name: str
    features: Callable
    init: Callable
    generator_loss: Callable
    weights: dict[str, float]
    discriminator_loss: Callable | None = None
    frozen: Callable[[], Any] = dict
    sample: Callable | None = None
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    exported: bool = True
