"""MakeItTalk's four training stages; each of the later ones hears through what the earlier ones have become."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from talkbench.evaluators import builtin
from talkbench.geometry.topology import T_SHAPE
from talkbench.methods.makeittalk import convert, faces, features, framing, losses, translation
from talkbench.methods.makeittalk.audio import WINDOW
from talkbench.methods.makeittalk.networks import ContentBranch, SequenceDiscriminator, SpeakerBranch
from talkbench.methods.makeittalk.speaker_vector import GAIN, PARTIAL, VoiceEncoder, mean_voice
from talkbench.methods.makeittalk.translation import ResUnet
from talkbench.methods.makeittalk.voice_conversion import PITCHES, AutoVC
from talkbench.nn.norm import BatchNorm
from talkbench.nn.vgg import VGG
from talkbench.stage import Stage
from talkbench.weights import readers, store
from talkbench.weights.vgg import convert_vgg

SHOWN = 6  # rows of a sample grid
INPUTS = ("drawing", "portrait", "own", "bent")  # of the translation network, in the order of its channels
TEACHERS = ("vgg19", "landmarks", "none")


def networks(config: ConfigDict) -> dict:
    """The modules of `config.model`: voice_encoder, voice_conversion, sound, content, speaker, discriminator, translation."""
    model = config.model

    def section(name):
        return {key: tuple(v) if isinstance(v, list) else v for key, v in model[name].items()}

    return {
        "voice_encoder": VoiceEncoder(**section("voice_encoder")),
        "voice_conversion": AutoVC(**section("voice_conversion")),
        "sound": BatchNorm(affine=False),  # mean and deviation of converted spectrograms, 80 of each
        "content": ContentBranch(**section("content")),
        "speaker": SpeakerBranch(**section("speaker")),
        "discriminator": SequenceDiscriminator(**section("discriminator")),
        "translation": ResUnet(**section("translation"), outputs=translation.MIXED if model.bent else 3),
    }


def ear(config: ConfigDict) -> features.Ear:
    """How the config's networks hear."""
    return features.Ear(config.model.tracker, config.model.pitch_range, config.model.lookahead)


def _settings(config: ConfigDict, name: str) -> dict:
    return config.stages[name].to_dict()


def _weights(config: ConfigDict, name: str) -> dict:
    """Terms of a stage that have a weight."""
    return {term: weight for term, weight in config.loss[name].items() if weight}


# ---------------------------------------------------------------------------------------------- voice conversion


def voice_conversion_stage(config: ConfigDict) -> Stage:
    """AutoVC on speech of many speakers, each converted to itself (section 3); without published weights of the voice
    encoder also that one, by the softmax loss of GE2E with two utterances of a speaker.
    """
    nets, model = networks(config), config.model
    encoder, autovc = nets["voice_encoder"], nets["voice_conversion"]
    given = _given_encoder(config)

    def init(key, batch):
        keys = jax.random.split(key, 2)
        voices = batch["voices"][:, 0]
        voice = given or encoder.init(keys[0], voices)["params"]
        vector = jnp.zeros((len(voices), encoder.features))
        pitch = jax.nn.one_hot(batch["pitch"], PITCHES)
        made = autovc.init(keys[1], batch["mel"], vector, vector, None if autovc.original else pitch)
        params = {"voice_conversion": made["params"]}
        stats = {
            "voice_conversion": made.get("batch_stats", {}),
            "target": {"voice": jnp.zeros(encoder.features)},
        }
        if given:
            stats["voice_encoder"] = voice
        else:
            params["voice_encoder"] = voice
            params["similarity"] = {"weight": jnp.float32(10.0), "bias": jnp.float32(-5.0)}
        return {"params": params, "stats": stats}, None

    def loss(params, stats, _, frozen, batch, rng):
        apply_encoder = partial(encoder.apply, {"params": voice_params({"params": params, "stats": stats})})
        first, second = (apply_encoder(batch["voices"][:, i]) for i in range(2))
        source = jax.lax.stop_gradient(first)
        pitch = None if autovc.original else jax.nn.one_hot(batch["pitch"], PITCHES)
        variables = {"params": params["voice_conversion"], "batch_stats": stats["voice_conversion"]}
        (coarse, fine, codes), new = autovc.apply(
            variables, batch["mel"], source, source, pitch, True, mutable=["batch_stats"]
        )
        again = autovc.apply(variables, fine, source, method="encode")
        terms = dict(losses.voice_conversion(coarse, fine, batch["mel"], codes, again))
        if not given:
            similar = params["similarity"]["weight"] * first @ second.T + params["similarity"]["bias"]
            terms["voice"] = losses.same_speaker(similar, batch["who"])
        mean = stats["target"]["voice"]
        target = mean + 0.02 * (source.mean(0) - mean)
        return terms, (
            {**stats, "voice_conversion": new.get("batch_stats", {}), "target": {"voice": target}},
            {},
        )

    return Stage(
        "voice_conversion",
        features.Voices(ear(config), model.frames.voice_conversion),
        init,
        loss,
        {
            name: w
            for name, w in _weights(config, "voice_conversion").items()
            if not (given and name == "voice")
        },
        settings=_settings(config, "voice_conversion"),
    )


def _given_encoder(config: ConfigDict) -> dict | None:
    """Parameters of the published voice encoder, if the config names its file."""
    path = config.model.voice_encoder_weights
    if not path:
        return None
    part = convert.load(readers.read(path))
    if part.name != "voice_encoder":
        raise convert.CheckpointError(f"model.voice_encoder_weights={path}: this is a {part.name}")
    return part.variables["params"]


def voice_params(side: dict) -> dict:
    """The voice encoder's parameters in a voice conversion side: trained there, or given and frozen."""
    return {**side["stats"], **side["params"]}["voice_encoder"]


def converter(config: ConfigDict) -> Callable:
    """`convert(side, mel (B, T, 80), bins (B, T), vector (B, E)) -> (B, T, 80)`: to the target voice, or as it is."""
    autovc = networks(config)["voice_conversion"]
    if not config.model.converted:
        return lambda side, mel, bins, vector: mel

    def converted(side, mel, bins, vector):
        # A file of the published target voice may stand for the mean of the training voices.
        target = jnp.broadcast_to(side["stats"]["target"]["voice"], vector.shape)
        extra = -mel.shape[1] % autovc.freq
        padded = jnp.pad(mel, ((0, 0), (0, extra), (0, 0)), mode="edge")
        pitch = jax.nn.one_hot(jnp.pad(bins, ((0, 0), (0, extra))), PITCHES)
        variables = {
            "params": side["params"]["voice_conversion"],
            "batch_stats": side["stats"]["voice_conversion"],
        }
        made = autovc.apply(variables, padded, vector, target, None if autovc.original else pitch)[1]
        return made[:, : mel.shape[1]]

    return converted


def windows(sound: jax.Array) -> jax.Array:
    """(B, N + 17, C) -> (B, N, 18, C)."""
    count = sound.shape[1] - WINDOW + 1
    return jnp.stack([sound[:, i : i + count] for i in range(WINDOW)], 2)


def _hearing(config: ConfigDict) -> Callable:
    """`f(voice conversion side, batch) -> what the branches hear, speaker vectors`, without gradients."""
    encoder, converted = networks(config)["voice_encoder"], converter(config)

    def hearing(side, batch):
        clips, count = batch["voices"].shape[:2]
        each = encoder.apply(
            {"params": voice_params(side)}, batch["voices"].reshape(clips * count, PARTIAL, -1)
        )
        vector = mean_voice(each.reshape(clips, count, -1))
        made = converted(side, batch["mel"], batch["pitch"], vector)
        return jax.lax.stop_gradient((made, vector))

    return hearing


# ---------------------------------------------------------------------------------------------- landmark branches


def _speech(config: ConfigDict, name: str, **more: bool) -> features.Speech:
    model = config.model
    return features.Speech(ear(config), model.frames[name], model.standard_face, model.utterances, **more)


def content_stage(config: ConfigDict, trained: dict) -> Stage:
    """Sound (`converter`) to the frontal face's motion: the published code's L1 terms (section 8)."""
    nets = networks(config)
    content, sound, hearing = nets["content"], nets["sound"], _hearing(config)

    def init(key, batch):
        heard = windows(batch["mel"])
        made = content.init(key, heard[0], batch["face"][:1])
        stats = {"content": made["batch_stats"], "sound": sound.init(key, batch["mel"])["batch_stats"]}
        return {"params": {"content": made["params"]}, "stats": stats}, None

    def loss(params, stats, _, frozen, batch, rng):
        converted, _ = hearing(frozen, batch)
        normal, heard = sound.apply({"batch_stats": stats["sound"]}, converted, True, mutable=["batch_stats"])
        seen = windows(normal)
        clips, count = seen.shape[:2]
        made, new = content.apply(
            {"params": params["content"], "batch_stats": stats["content"]},
            seen.reshape(clips * count, *seen.shape[2:]),
            jnp.repeat(batch["face"], count, 0),
            True,
            mutable=["batch_stats"],
            rngs={"dropout": rng},
        )
        made = made.reshape(clips, count, -1)
        terms = jax.vmap(partial(losses.content, use_lip_weight=config.model.lip_weight))(
            made, batch["face"][:, None], batch["target"]
        )
        return jax.tree.map(jnp.mean, terms), (
            {"content": new["batch_stats"], "sound": heard["batch_stats"]},
            {},
        )

    return Stage(
        "content",
        _speech(config, "content"),
        init,
        loss,
        _weights(config, "content"),
        frozen=lambda: trained["voice_conversion"],
        settings=_settings(config, "content"),
    )


def content_motion(config: ConfigDict) -> Callable:
    """`f(content side, converted (B, N + 17, 80), frontal face (B, 204)) -> windows (B, N, 18, 80), motion (B, N, 204)`."""
    nets = networks(config)

    def motion(side, converted, face):
        seen = windows(nets["sound"].apply({"batch_stats": side["stats"]["sound"]}, converted))
        clips, count = seen.shape[:2]
        made = nets["content"].apply(
            {"params": side["params"]["content"], "batch_stats": side["stats"]["content"]},
            seen.reshape(clips * count, *seen.shape[2:]),
            jnp.repeat(face, count, 0),
        )
        return seen, made.reshape(clips, count, -1)

    return motion


def turned(motion: jax.Array, turn: jax.Array) -> jax.Array:
    """Frontal displacements (B, N, 204) of a head that stands by `turn` (B, 3, 3)."""
    points = losses.points(motion)
    return jnp.einsum("bnpi,bji->bnpj", points, turn).reshape(motion.shape)


def speaker_stage(config: ConfigDict, trained: dict) -> Stage:
    """The speaker's own motion on top of the frozen content branch's: the paper's terms (section 8), LSGAN where
    `realism` has a weight. Sums over landmarks as in the paper, means over frames.
    """
    nets, weights = networks(config), _weights(config, "speaker")
    branch, critic = nets["speaker"], nets["discriminator"]
    hearing, motion = _hearing(config), content_motion(config)
    adversarial = "realism" in weights
    still = framing.standard_face(config.model.standard_face)[T_SHAPE]

    def init(key, batch):
        keys = jax.random.split(key, 2)
        seen = windows(batch["mel"])
        speaker = jnp.zeros((1, nets["voice_encoder"].features))
        made = branch.init(keys[0], seen[0], speaker, face=batch["seen_face"][:1])
        side = {"params": {"speaker": made["params"]}, "stats": {"speaker": {}}}
        if not adversarial:
            return side, None
        width = batch["posed_target"].shape[-1] + branch.hidden + branch.speaker[-1]
        judge = critic.init(keys[1], jnp.zeros((1, seen.shape[1], width)))["params"]
        return side, {"params": {"discriminator": judge}, "stats": {"discriminator": {}}}

    def judged(params, made, landmarks, key):
        rows = jnp.concatenate([landmarks, jax.lax.stop_gradient(made["content"]), made["speaker"]], -1)
        return critic.apply({"params": params}, rows, True, rngs={"dropout": key})

    def loss(params, stats, discriminator, frozen, batch, rng):
        converted, vector = hearing(frozen["voice_conversion"], batch)
        seen, lips = motion(frozen["content"], converted, batch["face"])
        base = batch["posed_face"][:, None] + turned(lips, batch["turn"])

        def one(seen, vector, face, key, content=None):
            drop, noise = jax.random.split(key)
            return branch.apply(
                {"params": params["speaker"]}, seen, vector[None], face=face[None], train=True, content=content,
                rngs={"dropout": drop, "noise": noise},
            )  # fmt: skip

        vector, keys = GAIN * vector, jax.random.split(rng, len(seen))
        made = jax.vmap(one)(seen, vector, batch["seen_face"], keys)
        fake, real = base + made["displacement"], batch["posed_target"]
        frames = real.shape[0] * real.shape[1]
        terms = {name: value / frames for name, value in losses.squared(fake, real).items()}
        if "manner" in weights:
            # Another's voice with these words and this head: what is said would else tell, by heart, how its speaker moves.
            swapped = jax.vmap(one)(seen, jnp.roll(vector, 1, 0), batch["seen_face"], keys, made["content"])
            moved = base + swapped["displacement"]
            terms["manner"] = losses.manner(moved, jnp.roll(batch["manner"], 1, 0), still, faces.MODEL_RATE)
        if adversarial:
            scores = judged(discriminator["params"]["discriminator"], made, fake, rng)
            terms["realism"] = losses.realism(scores) / frames
        outputs = {"fake": fake, "content": made["content"], "speaker": made["speaker"]}
        return terms, (stats, outputs)

    def discriminator_loss(params, stats, outputs, batch, rng):
        judge = partial(judged, params["discriminator"], outputs)
        real, fake = judge(batch["posed_target"], rng), judge(outputs["fake"], rng)
        return {name: value / real.size for name, value in losses.discrimination(real, fake).items()}, stats

    return Stage(
        "speaker",
        _speech(
            config, "speaker", posed=True, anonymous=config.model.anonymous, mannered="manner" in weights
        ),
        init,
        loss,
        weights,
        discriminator_loss if adversarial else None,
        frozen=lambda: {name: trained[name] for name in ("voice_conversion", "content")},
        settings=_settings(config, "speaker"),
    )


# ---------------------------------------------------------------------------------------------- pictures


def translated(net: ResUnet, variables: dict, given: dict, train: bool = False) -> tuple[jax.Array, dict]:
    """The picture that the translation network makes of drawn landmarks, BGR (B, S, S, 3), and its new statistics.

    Args:
        given: uint8 (B, S, S, 3), of which the network sees all: `drawing` of the landmarks to reach and, if it has them,
            `own` of the portrait's, both in their own channel order; RGB `portrait` and, if it has it, `bent`, the portrait
            bent to those landmarks.
    """
    seen = {name: given[name].astype(jnp.float32) / 255 for name in INPUTS if name in given}
    seen |= {name: seen[name][..., ::-1] for name in ("portrait", "bent") if name in seen}
    raw, new = net.apply(variables, jnp.concatenate(list(seen.values()), -1), train, mutable=["batch_stats"])
    whole = (seen["bent"], seen["portrait"]) if "bent" in seen else ()
    return translation.picture(raw, whole), new


def image_translation_stage(config: ConfigDict) -> Stage:
    """Drawn landmarks and a portrait to a picture: L1 and perceptual terms (section 13)."""
    net, model, weights = networks(config)["translation"], config.model, _weights(config, "image_translation")
    if model.perceptual not in TEACHERS:
        raise ValueError(f"model.perceptual={model.perceptual!r}: there are {', '.join(TEACHERS)}")

    def teachers():
        if model.perceptual == "vgg19":
            return convert_vgg(readers.state_dict(store.path_of("vgg19")), VGG())
        return builtin.teacher()[1] if model.perceptual == "landmarks" else {}

    def maps(variables, picture):
        if model.perceptual == "vgg19":
            return VGG().apply(variables, picture)
        if model.perceptual == "landmarks":
            return dict(enumerate(builtin.teacher()[0](variables, picture[..., ::-1])))
        return {}

    def init(key, batch):
        made = net.init(
            key, jnp.concatenate([batch[name] for name in INPUTS if name in batch], -1).astype(jnp.float32)
        )
        return {
            "params": {"translation": made["params"]},
            "stats": {"translation": made["batch_stats"]},
        }, None

    def loss(params, stats, _, frozen, batch, rng):
        variables = {"params": params["translation"], "batch_stats": stats["translation"]}
        made, new = translated(net, variables, batch, True)
        target = batch["target"][..., ::-1].astype(jnp.float32) / 255
        terms = dict(translation.losses(made, target, partial(maps, frozen), "style" in weights))
        terms["mouth"] = translation.window_difference(made, target, batch["window"])
        return terms, ({"translation": new["batch_stats"]}, {})

    def sample(side, frozen, batch):
        """Portrait, drawing, true frame, drawn frame."""
        variables = {"params": side["params"]["translation"], "batch_stats": side["stats"]["translation"]}
        rows = {name: value[:SHOWN] for name, value in batch.items()}
        made = translation.shown(translated(net, variables, rows)[0])[..., ::-1]
        unit = [rows[name].astype(jnp.float32) / 255 for name in ("portrait", "drawing", "target")]
        return jnp.stack([*unit, made], 1)

    return Stage(
        "image_translation",
        features.Pairs(model.finer, model.own_drawing, model.bent, model.jitter),
        init,
        loss,
        weights,
        frozen=teachers,
        settings=_settings(config, "image_translation"),
        sample=sample,
    )


def stages(config: ConfigDict) -> list:
    """In training order."""
    return [
        voice_conversion_stage(config),
        lambda trained: content_stage(config, trained),
        lambda trained: speaker_stage(config, trained),
        image_translation_stage(config),
    ]
