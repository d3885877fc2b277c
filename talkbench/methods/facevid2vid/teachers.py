"""Frozen teachers of face-vid2vid's training: what looks at the pictures, what knows the head's angles."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from talkbench.evaluators import builtin, hopenet
from talkbench.methods.facevid2vid import losses
from talkbench.nn.resize import gaussian_downsample
from talkbench.nn.vgg import VGG
from talkbench.weights import readers, store
from talkbench.weights.vgg import convert_vgg


class Teachers:
    """The teachers that a config's `teacher` section names.

    Attributes:
        headpose: "hopenet", "labels" (the data set's own angles) or "none".
        absent: loss terms that fall away because their teacher is "none".
        load: reads the teachers' weights: `frozen` of the stage.
    """

    def __init__(self, config: ConfigDict):
        for key, known in (
            ("perceptual", ("vgg19", "landmarks", "none")),
            ("headpose", ("hopenet", "labels", "none")),
        ):
            if config[key] not in known:
                raise ValueError(f"teacher.{key}={config[key]!r}: there are {', '.join(known)}")
        self.perceptual, self.headpose = config.perceptual, config.headpose
        self.layer_weights, self.scales = tuple(config.layer_weights), tuple(config.scales)
        self.absent = [term for term in ("perceptual", "headpose") if config[term] == "none"]

    def load(self) -> dict:
        """{teacher: variables}.

        Raises:
            WeightsMissing: published weights that are not there, with the command that brings them.
        """
        made = {}
        if self.perceptual == "vgg19":
            made["perceptual"] = convert_vgg(readers.state_dict(store.path_of("vgg19")), VGG())
        if self.perceptual == "landmarks":
            made["perceptual"] = builtin.teacher()[1]
        if self.headpose == "hopenet":
            made["headpose"] = hopenet.convert_hopenet(readers.state_dict(store.path_of("hopenet")))
        return made

    def terms(self, frozen: dict, made, driving, predicted, batch) -> dict:
        """The terms `perceptual` and `headpose`, as far as they have a teacher.

        Args:
            frozen: of `load`. made, driving: (B, H, W, 3) in [0, 1]. predicted: yaw, pitch, roll (B,) in degrees.
            batch: has `headpose` (B, 2, 3) for "labels".
        """
        found = {}
        if self.perceptual == "vgg19":
            found["perceptual"] = losses.perceptual(
                VGG(), frozen["perceptual"], made, driving, self.scales, self.layer_weights
            )
        if self.perceptual == "landmarks":
            network = builtin.teacher()[0]
            found["perceptual"] = sum(
                weight * jnp.abs(a - b).mean()
                for scale in self.scales
                for weight, a, b in zip(
                    self.layer_weights,
                    *(network(frozen["perceptual"], gaussian_downsample(x, scale)) for x in (made, driving)),
                    strict=True,
                )
            )
        if self.headpose == "labels":
            found["headpose"] = losses.headpose(predicted, jnp.moveaxis(batch["headpose"][:, 1], -1, 0))
        if self.headpose == "hopenet":
            found["headpose"] = losses.headpose(predicted, hopenet.estimate(frozen["headpose"], driving))
        return found
