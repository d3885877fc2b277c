"""The three training stages of PC-AVS, after the author's answers to users: identity, speech content, generator.

Each stage starts from what the ones before it learned.
"""

from functools import partial

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from talkbench.evaluators import builtin, fan
from talkbench.methods.pcavs import losses, networks
from talkbench.methods.pcavs.features import Moments, Pictures, Portrait, Reconstruction, Speech
from talkbench.methods.pcavs.modules import Pass, held, modules, side
from talkbench.nn import pixels
from talkbench.nn.vgg import VGG
from talkbench.stage import Stage
from talkbench.weights import readers, store
from talkbench.weights.vgg import convert_vgg

FAN_LAYERS = ("conv1", "bn1", "conv2", "conv3", "conv4", "m0", "top_m_0", "conv_last0", "bn_end0", "l0")
SYNC_TERMS = ("contrastive_audio", "contrastive_video", "cross_modal")


def unit(images: jax.Array) -> jax.Array:
    """uint8 -> float32 in [-1, 1]."""
    return images.astype(jnp.float32) / 255 * 2 - 1


def _pictures(config: ConfigDict, change: bool = True) -> Pictures:
    a = config.augment
    return Pictures(a.crop, a.colour, a.shape, a.blur) if change else Pictures(crop=a.crop)


def _settings(config: ConfigDict, name: str) -> dict:
    """What an early stage has otherwise than `config.train`: its share of the steps, its batch."""
    own = config.stages[name]
    return {"train": {"steps": max(1, round(own.share * config.train.steps)), "batch_size": own.batch_size}}


def _with_backbone(config: ConfigDict, variables: dict) -> dict:
    """E's variables with the backbone that `model.pretrained` names.

    "fan-2d": 2D-FAN's first stage, layer by layer of one name. "landmarks": for the pyramid, the landmark network that
    ships as the tiny presets' teacher, which sees pictures in [-.5, .5].

    Raises:
        WeightsMissing: the published weights are not there, with the command that brings them.
        ValueError: they do not fit the backbone.
    """
    if config.model.pretrained == "none":
        return variables
    fits = {"fan-2d": "fan", "landmarks": "pyramid"}
    if fits.get(config.model.pretrained) != config.model.non_identity.backbone:
        raise ValueError(
            f"model.pretrained={config.model.pretrained!r}: there are none, fan-2d for the backbone fan, and landmarks "
            "for the backbone pyramid"
        )
    if config.model.pretrained == "fan-2d":
        found, needed = fan.read_weights(store.path_of("fan-2d")), "fan_features must be 256"
        found = {
            name: {k: v for k, v in found[name].items() if k in FAN_LAYERS}
            for name in ("params", "batch_stats")
        }
    else:
        found, needed = builtin.teacher()[1], "widths must be 24,48,72"
    made = jax.tree.map(lambda x: x, variables)
    for collection, layers in found.items():
        model = made[collection]["model"]
        for layer, values in layers.items():
            if jax.tree.map(jnp.shape, model[layer]) != jax.tree.map(jnp.shape, values):
                raise ValueError(
                    f"model.non_identity.{needed} for model.pretrained={config.model.pretrained}; or pass none"
                )
            model[layer] = jax.tree.map(jnp.asarray, values)
    if config.model.pretrained == "landmarks":
        stem = made["params"]["model"]["stem"]
        stem["kernel"] = stem["kernel"] / 2  # it sees [-.5, .5], E sees [-1, 1]
    return made


def identity_stage(config: ConfigDict) -> Stage:
    """V tells the people of the set apart, by softmax cross-entropy over their names."""
    nets = modules(config)

    def init(key, batch):
        return side({"V": nets["V"].init(key, unit(batch["source"]), train=True)}), None

    def loss(params, stats, _, frozen, batch, rng):
        run = Pass(nets, params, stats)
        _, _, scores = run("V", unit(batch["source"]), train=True)
        terms = {
            "identity": losses.cross_entropy(scores, batch["label"]),
            "identity_accuracy": (scores.argmax(-1) == batch["label"]).mean(dtype=jnp.float32),
        }
        return terms, (run.stats, {})

    features = Portrait(_pictures(config, change=False), config.model.identity.num_classes)
    return Stage(
        "identity", features, init, loss, {"identity": config.loss.identity},
        settings=_settings(config, "identity"), exported=False,
    )  # fmt: skip


def refuse(config: ConfigDict) -> None:
    """Nothing, if the stages go together: a switch of the last one must not be refused when the others are trained.

    Raises:
        ValueError: which switches contradict each other.
    """
    held({}, config.model.frozen)
    if config.augment.crop and (config.loss.mouth or config.loss.pose_code):
        raise ValueError(
            "loss.mouth and loss.pose_code need uncropped frames: pass --config.augment.crop=false"
        )
    learned = _poses_in_sync(config) and "sync" in config.stages.order
    if "headpose_embed" in config.model.frozen and not learned:
        raise ValueError(
            "model.frozen holds the pose code, which the sync stage learns only with loss.pose_code and sync.among=moments: "
            "pass --config.model.frozen=\"['to_mouth']\""
        )


def _poses_in_sync(config: ConfigDict) -> bool:
    return config.sync.among == "moments" and config.loss.pose_code > 0


def sync_terms(config: ConfigDict, seen, heard, shifted=None) -> dict:
    """Speech content seen and heard, (N, D) each: contrast both ways (each trains one side) and the plain difference.

    Args:
        shifted: (N, K, D), content heard at other times of the same clips: further negatives.
    """
    still = jax.lax.stop_gradient
    contrast = partial(losses.contrastive, form=config.model.contrastive)
    video = contrast(still(heard), seen)
    if shifted is not None:
        video = (video + contrast(seen, still(heard), negatives=still(shifted))) / 2
    return {
        "contrastive_audio": contrast(still(seen), heard, negatives=shifted),
        "contrastive_video": video,
        "cross_modal": losses.mean_difference(heard, still(seen)),
    }


def sync_stage(config: ConfigDict) -> Stage:
    """A_sync and E.to_mouth find one space for what is heard and what is seen.

    By contrast over clips of some frames (published), or over moments of one clip, which tell nothing of who speaks. Where
    the pose code has labels (`loss.pose_code`), moments learn it here too: a step sees many pictures.
    """
    nets, backbone = modules(config), config.sync.train_backbone
    dropout = backbone and config.model.non_identity.dropout > 0
    if config.sync.among not in ("clips", "moments"):
        raise ValueError(f"sync.among={config.sync.among!r}: there are clips and moments")
    moments = config.sync.among == "moments"
    posed = _poses_in_sync(config)

    def init(key, batch):
        keys = jax.random.split(key)
        seen, heard = unit(batch["seen"][:, 0]), batch["heard"][:, 0, ..., None]
        made = {
            "E": _with_backbone(config, nets["E"].init(keys[0], seen, train=True)),
            "A_sync": nets["A_sync"].init(keys[1], heard, train=True),
        }
        return side(made), None

    def loss(params, stats, _, frozen, batch, rng):
        run = Pass(nets, held(params, () if backbone else ("backbone",)), stats)
        count = len(batch["seen"])
        joined = lambda x: x.reshape(-1, *x.shape[2:])  # noqa: E731
        rngs = {"dropout": rng} if dropout else {}
        feature = run("E", unit(joined(batch["seen"])), train=backbone, method="feature", **rngs)
        seen = run("E", feature, method="mouth")
        sounds = [joined(batch["heard"])]
        if "shifted" in batch:
            sounds.append(joined(joined(batch["shifted"])))
        # One pass over all windows: their BatchNorm statistics are shared.
        content, _ = run("A_sync", jnp.concatenate(sounds)[..., None], train=True)
        heard, shifted = content[: len(sounds[0])], None
        if moments:
            seen, heard = (x.reshape(count, config.sync.length, -1) for x in (seen, heard))
        else:
            seen, heard = (x.reshape(1, count, -1) for x in (seen, heard))
        if "shifted" in batch:
            shifted = content[len(sounds[0]) :].reshape(1, *batch["shifted"].shape[:2], -1)
        terms = jax.tree.map(jnp.mean, jax.vmap(partial(sync_terms, config))(seen, heard, shifted))
        found = jax.vmap(losses.cosine)(seen, heard).argmax(-1)
        terms["retrieval"] = (found == jnp.arange(found.shape[1])).mean(dtype=jnp.float32)
        if posed:
            terms["pose_code"] = jnp.abs(run.pose_code(feature)[:, :6] - joined(batch["pose"])).mean()
        return terms, (run.stats, {})

    if moments:
        features = Moments(_pictures(config), config.sync.length, posed)
    else:
        features = Speech(_pictures(config), config.sync.length, config.sync.negatives)
    weights = {term: config.loss[term] for term in (*SYNC_TERMS, *(["pose_code"] if posed else []))}
    return Stage("sync", features, init, loss, weights, settings=_settings(config, "sync"), exported=False)


def _teacher(config: ConfigDict):
    """(read the frozen teacher, `f(frozen, made, target) -> perceptual term`), or (dict, None) without one."""
    kind, layer_weights = config.teacher.perceptual, tuple(config.teacher.layer_weights)
    if kind == "vgg19":
        load = lambda: {"vgg19": convert_vgg(readers.state_dict(store.path_of("vgg19")), VGG())}  # noqa: E731
        return load, lambda frozen, made, target: losses.perceptual(
            VGG(), frozen["vgg19"], made, target, layer_weights
        )
    if kind == "landmarks":
        network, _ = builtin.teacher()

        def difference(frozen, made, target):
            ours, theirs = (network(frozen["landmarks"], (x + 1) / 2) for x in (made, target))
            pairs = zip(layer_weights, ours, theirs, strict=True)
            return sum(weight * jnp.abs(a - b).mean() for weight, a, b in pairs)

        return lambda: {"landmarks": builtin.teacher()[1]}, difference
    if kind == "none":
        return dict, None
    raise ValueError(f"teacher.perceptual={kind!r}: there are vgg19, landmarks, none")


def generator_stage(config: ConfigDict, trained: dict | None = None) -> Stage:
    """Reconstruction: identity from one frame of a clip, speech and (augmented) pose from another, which is the target.

    Args:
        trained: {stage: {"params", "stats"}} of the stages before, whose V, E and A_sync this one starts from.
    """
    nets, model, frozen_parts = modules(config), config.model, tuple(config.model.frozen)
    load, perceptual = _teacher(config)
    trains = lambda part: part not in frozen_parts  # noqa: E731
    judged = config.loss.gan > 0 or config.loss.feature_matching > 0
    weights = {
        **({term: config.loss[term] for term in ("gan", "feature_matching")} if judged else {}),
        **({"perceptual": config.loss.perceptual} if perceptual else {}),
        **({"identity": config.loss.identity} if trains("V") else {}),
        **({term: config.loss[term] for term in SYNC_TERMS} if trains("A_sync") else {}),
        **{term: config.loss[term] for term in ("reconstruction", "mouth") if config.loss[term]},
        **(
            {"pose_code": config.loss.pose_code} if config.loss.pose_code and trains("headpose_embed") else {}
        ),
    }
    # Speech and identity have had their stages; here their terms only hold what was learned.
    for term in weights.keys() & {"identity", *SYNC_TERMS}:
        weights[term] *= config.stages.hold

    def init(key, batch):
        keys = jax.random.split(key, 5)
        source, heard = unit(batch["source"]), batch["heard"][..., None]
        made = {
            "E": _with_backbone(config, nets["E"].init(keys[0], source, train=True)),
            "V": nets["V"].init(keys[1], source, train=True),
            "A_sync": nets["A_sync"].init(keys[2], heard, train=True),
        }
        for side_of_stage in (trained or {}).values():
            for name in made.keys() & side_of_stage["params"].keys():
                found = {
                    "params": side_of_stage["params"][name],
                    "batch_stats": side_of_stage["stats"][name],
                }
                made[name] = jax.tree.map(jnp.asarray, found)
        start = Pass(nets, *side(made).values())
        vector, identity_map, _ = start("V", source)
        content, _ = start("A_sync", heard)
        code = start.pose_code(start("E", source, method="feature"))
        style = networks.style(vector, start("E", content, method="mouth_embed"), code)
        made["G"] = nets["G"].init(keys[3], style, identity_map)
        return side(made), side({"D": nets["D"].init(keys[4], source, train=True)}) if judged else None

    def generator_loss(params, stats, discriminator, frozen, batch, rng):
        run = Pass(nets, held(params, frozen_parts), stats)
        keys = jax.random.split(rng, 3)
        target = unit(batch["target"])
        vector, identity_map, scores = run("V", unit(batch["source"]), train=trains("V"))
        heard, _ = run("A_sync", batch["heard"][..., None], train=trains("A_sync"))
        rngs = {"dropout": keys[0]} if trains("backbone") else {}
        posing = unit(batch["posing"])
        feature = run("E", posing, train=trains("backbone"), method="feature", **rngs)
        code = run.pose_code(feature)
        said = code + model.code_noise * jax.random.normal(keys[1], code.shape) if model.code_noise else code
        style = networks.style(vector, run("E", heard, method="mouth_embed"), said)
        made = run("G", style, identity_map, noise=keys[2])

        def judge(images):  # statistics of this pass are dropped
            return Pass(nets, discriminator["params"], discriminator["stats"])("D", images, train=True)

        terms = {}
        if judged:
            fake, real = judge(made), judge(target)
            terms["gan"] = losses.adversarial(fake, True, model.gan, for_discriminator=False)
            terms["feature_matching"] = losses.feature_matching(real, fake, levels=model.feature_levels)
        if perceptual:
            terms["perceptual"] = perceptual(frozen, made, target)
        if trains("V"):
            terms["identity"] = losses.cross_entropy(scores, batch["label"])
        if trains("A_sync"):
            terms |= sync_terms(config, run("E", feature, method="mouth"), heard)
        if "reconstruction" in weights:
            terms["reconstruction"] = pixels.pyramid_difference(made, target) / 2
        if "mouth" in weights:
            terms["mouth"] = pixels.window_difference(made, target, batch["mouth"]) / 2
        if "pose_code" in weights:
            terms["pose_code"] = jnp.abs(code[:, :6] - batch["pose"]).mean()
        return terms, (run.stats, {"made": made})

    def discriminator_loss(params, stats, outputs, batch, rng):
        run = Pass(nets, params, stats)
        real = run("D", unit(batch["target"]), train=True)
        fake = run("D", outputs["made"], train=True)
        terms = {
            "discriminator_real": losses.adversarial(real, True, model.gan),
            "discriminator_fake": losses.adversarial(fake, False, model.gan),
        }
        return terms, run.stats

    def sample(generator_side, frozen, batch):
        part = {name: value[:6] for name, value in batch.items()}
        run = Pass(nets, generator_side["params"], generator_side["stats"])
        source, target, posing = (unit(part[name]) for name in ("source", "target", "posing"))
        vector, identity_map, _ = run("V", source)
        content, _ = run("A_sync", part["heard"][..., None])
        code = run.pose_code(run("E", posing, method="feature"))
        made = run("G", networks.style(vector, run("E", content, method="mouth_embed"), code), identity_map)
        columns = [(x + 1) / 2 for x in (source, posing, target, made)]
        return jnp.stack([*columns, jnp.abs(made - target) / 2], 1)

    features = Reconstruction(
        _pictures(config),
        people=model.identity.num_classes if trains("V") else 0,
        flip=config.augment.flip,
        jitter=tuple(config.augment.jitter),
        mouth="mouth" in weights,
        pose="pose_code" in weights,
    )
    return Stage(
        "generator", features, init, generator_loss, weights, discriminator_loss if judged else None,
        frozen=load, sample=sample,
    )  # fmt: skip


def stages(config: ConfigDict) -> list:
    """The stages of `config.stages.order`; the last one is made when the others are trained."""
    makers = {
        "identity": identity_stage,
        "sync": sync_stage,
        "generator": lambda config: partial(generator_stage, config),
    }
    order = list(config.stages.order)
    if not order or order[-1] != "generator" or set(order) - makers.keys() or len(set(order)) < len(order):
        raise ValueError(
            f"stages.order={','.join(order)}: any of identity, sync, and generator at the end, each once"
        )
    refuse(config)
    return [makers[name](config) for name in order]
