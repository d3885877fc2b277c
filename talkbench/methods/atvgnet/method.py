"""ATVGnet as the suite sees it: two training stages and a generator of frames."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from talkbench.batches import fitting
from talkbench.data.clip import Clip
from talkbench.methods import detect
from talkbench.methods.atvgnet import audio, basis, crop, losses, shapes
from talkbench.methods.atvgnet.features import Footage, Speech
from talkbench.methods.atvgnet.networks import ATNet, Discriminator, VGNet
from talkbench.methods.method import Driving, Method, Row
from talkbench.stage import Stage

_TYPES = {"float32": None, "bfloat16": jnp.bfloat16}
ROWS = 6  # of a sample grid


def networks(config: ConfigDict) -> dict:
    """The modules of `config.model`: atnet, vgnet, discriminator."""
    model, dtype = config.model, _TYPES[config.train.dtype]
    section = lambda name: {k: tuple(v) if isinstance(v, list) else v for k, v in model[name].items()}  # noqa: E731
    return {
        "atnet": ATNet(codes=model.codes, dtype=dtype, **section("atnet")),
        "vgnet": VGNet(dtype=dtype, **section("vgnet")),
        "discriminator": Discriminator(dtype=dtype, **section("discriminator")),
    }


def _signed(images: jax.Array) -> jax.Array:
    return images.astype(jnp.float32) / 127.5 - 1


def _train(module, params, stats, *args, rngs=None):
    made, new = module.apply(
        {"params": params, "batch_stats": stats}, *args, train=True, mutable=["batch_stats"], rngs=rngs
    )
    return made, new["batch_stats"]


def _evaluate(module, side, name, *args, **kwargs):
    return module.apply({"params": side["params"][name], "batch_stats": side["stats"][name]}, *args, **kwargs)


def at_stage(config: ConfigDict) -> Stage:
    """AT-net alone: mean squared error of its codes against those of the true landmarks (section 4)."""
    net, model = networks(config)["atnet"], config.model
    table = basis.read(model.basis)
    arrays = basis.to_arrays(table, model.codes)

    def init(key, batch):
        made = net.init(key, batch["example"], batch["audio"])
        stats = {"atnet": made["batch_stats"], "shapes": {name: jnp.asarray(x) for name, x in arrays.items()}}
        return {"params": {"atnet": made["params"]}, "stats": stats}, None

    def loss(params, stats, _, frozen, batch, rng):
        made, new = _train(net, params["atnet"], stats["atnet"], batch["example"], batch["audio"])
        return {"codes": losses.codes(made["codes"], batch["codes"])}, ({**stats, "atnet": new}, {})

    def sample(side, frozen, batch):
        """Rows: clips; pairs of columns: true and heard landmarks of four frames."""
        made = _evaluate(net, side, "atnet", batch["example"][:ROWS], batch["audio"][:ROWS])["codes"]
        some = np.linspace(0, made.shape[1] - 1, 4).astype(int)
        both = jnp.stack([batch["codes"][:ROWS][:, some], made[:, some]], 2)
        decode = both @ side["stats"]["shapes"]["U"].T + side["stats"]["shapes"]["mean"]
        return _dots(decode.reshape(len(made), -1, shapes.POINTS, 2), model.crop)

    features = Speech(table, model.codes, model.frames.atnet, model.normalisation, model.still)
    settings = config.stages.atnet.to_dict()
    return Stage(
        "atnet", features, init, loss, {"codes": config.loss.codes}, settings=settings, sample=sample
    )


def _dots(points: jax.Array, size: int) -> jax.Array:
    """Network landmarks (N, columns, 68, 2) as pictures (N, columns, size, size, 3)."""
    grid = (jnp.arange(size) + 0.5) / size * 2.2 - 1.1
    near = lambda x: jnp.exp(-(((x[..., None] - grid) * size / 1.6) ** 2))  # noqa: E731
    drawn = jnp.einsum("nkpx,nkpy->nkyx", near(points[..., 0]), near(points[..., 1]))
    return jnp.repeat(jnp.clip(drawn, 0, 1)[..., None], 3, -1)


def vg_stage(config: ConfigDict) -> Stage:
    """VG-net on true landmarks (teacher forcing), with the regression discriminator where its terms have weights."""
    nets, model, weights = networks(config), config.model, config.loss.to_dict()
    generator, critic = nets["vgnet"], nets["discriminator"]
    adversarial = weights["gan"] > 0 or weights["landmark"] > 0
    terms_here = [
        "pixel",
        *(["gan", "landmark"] if adversarial else []),
        *(["mouth"] if weights["mouth"] else []),
    ]

    def init(key, batch):
        keys = jax.random.split(key, 3)
        image = _signed(batch["image"])
        rngs = {"params": keys[0], "dropout": keys[1]}
        made = generator.init(rngs, image, batch["landmarks"], batch["example"])
        side = lambda name, v: {"params": {name: v["params"]}, "stats": {name: v["batch_stats"]}}  # noqa: E731
        judge = critic.init(keys[2], _signed(batch["frames"]), batch["example"]) if adversarial else None
        return side("vgnet", made), side("discriminator", judge) if adversarial else None

    def generator_loss(params, stats, discriminator, frozen, batch, rng):
        image, real = _signed(batch["image"]), _signed(batch["frames"])
        made, new = _train(
            generator, params["vgnet"], stats["vgnet"], image, batch["landmarks"], batch["example"],
            rngs={"dropout": rng},
        )  # fmt: skip
        fake = made["output"]
        terms = {"pixel": losses.pixel(fake, real, made["attention"], model.beta)}
        if weights["mouth"]:
            terms["mouth"] = jnp.abs(fake - real)[:, :, mouth_rows, mouth_columns].mean()
        if adversarial:
            side = discriminator["params"]["discriminator"], discriminator["stats"]["discriminator"]
            judged, _ = _train(critic, *side, fake, batch["example"])  # statistics of this pass are dropped
            terms["gan"] = losses.judged(judged["logit"], True)
            terms["landmark"] = losses.landmark(judged["landmarks"], batch["landmarks"], model.mouth_weight)
        return terms, ({"vgnet": new}, {"fake": fake})

    def discriminator_loss(params, stats, outputs, batch, rng):
        params, stats = params["discriminator"], stats["discriminator"]
        on_real, stats = _train(critic, params, stats, _signed(batch["frames"]), batch["example"])
        on_fake, stats = _train(critic, params, stats, outputs["fake"], batch["example"])
        regression = lambda made: losses.landmark(made["landmarks"], batch["landmarks"], model.mouth_weight)  # noqa: E731
        terms = {
            "judged_real": losses.judged(on_real["logit"], True), "judged_fake": losses.judged(on_fake["logit"], False),
            "landmark_real": regression(on_real), "landmark_fake": regression(on_fake),
        }  # fmt: skip
        return terms, {"discriminator": stats}

    def sample(side, frozen, batch):
        """Example, true frame, drawn frame, pixel attention, colour, feature attention: of each clip's last frame."""
        image = _signed(batch["image"][:ROWS])
        made = _evaluate(generator, side, "vgnet", image, batch["landmarks"][:ROWS], batch["example"][:ROWS])
        last = {name: made[name][:, -1] for name in ("output", "attention", "colour", "landmark_attention")}
        grey = lambda x: jnp.repeat(jax.image.resize(x, (*image.shape[:3], 1), "nearest"), 3, -1)  # noqa: E731
        unit = lambda x: x / 2 + 0.5  # noqa: E731
        columns = [
            unit(image), unit(_signed(batch["frames"][:ROWS, -1])), unit(last["output"]), grey(last["attention"]),
            unit(last["colour"]), grey(last["landmark_attention"]),
        ]  # fmt: skip
        return jnp.stack(columns, 1)

    table = basis.read(model.basis)
    mouth_rows, mouth_columns = _mouth_window(table, model.crop)
    projected = model.codes if model.projected else 0
    return Stage(
        "vgnet",
        Footage(table, model.crop, model.frames.vgnet, model.normalisation, projected),
        init,
        generator_loss,
        {name: weights[name] for name in terms_here},
        discriminator_loss if adversarial else None,
        settings=config.stages.vgnet.to_dict(),
        sample=sample,
    )


def _mouth_window(table: shapes.Shapes, size: int) -> tuple[slice, slice]:
    """Rows and columns of the aligned crop around the mean mouth and chin."""
    points = (table.base_68 - crop.MARGIN) * (size / crop.CROP)
    points = np.concatenate([points[48:68], points[7:10]])
    low, high = np.floor(points.min(0) - size / 16), np.ceil(points.max(0) + size / 16)
    low, high = (np.clip(x, 0, size).astype(int) for x in (low, high))
    return slice(low[1], high[1]), slice(low[0], high[0])


OPTIONS = {
    "view": (
        "picture",
        "picture: drawn into the source picture; crop: the aligned face crop that the network draws",
    ),
    "boost": ("config", "factors of the landmark codes: none, demo or test (published); config: as trained"),
    "gain": (0.0, "factor of the mouth's motion; 0: the config's"),
}


def generator(config: ConfigDict, variables: dict, batch: int | None = None):
    """`generate(source, driving, **options)`: sound to codes in one pass, frames in pieces of `batch`.

    The recurrence's state goes from piece to piece (`gru_axis` time), or frames are independent (batch: a clip alone is one
    step of the published recurrence for each frame), so the pieces don't show.
    """
    nets, model = networks(config), config.model
    batch = batch or fitting(25, model.crop)
    sides = jax.device_put({name: variables[name] for name in ("atnet", "vgnet")})
    table = shapes.from_arrays(variables["atnet"]["stats"]["shapes"], "the checkpoint")
    recurrent = model.vgnet.gru_axis == "time"

    @jax.jit
    def hear(side, example, windows):
        return _evaluate(nets["atnet"], side, "atnet", example, windows)["codes"]

    @jax.jit
    def draw(side, image, landmarks, example, state):
        made = _evaluate(nets["vgnet"], side, "vgnet", image, landmarks, example, state=state)
        return {name: made[name] for name in ("output", "colour", "attention", "state")}

    def pieces(codes, image, example, boost):
        """Outputs of `draw` a piece at a time, all frames' worth; the next piece is being drawn while one is used."""
        network = shapes.decode(codes, table, boost)
        own = shapes.decode(shapes.encode(example, table, model.codes), table)
        state = _zero_state(model) if recurrent else None
        on_host = lambda made, count: {name: np.asarray(x)[0, :count] for name, x in made.items()}  # noqa: E731
        drawn = None
        for start in range(0, len(network), batch):
            part = network[start : start + batch]
            padded = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)])
            earlier, drawn = drawn, draw(sides["vgnet"], image[None], padded[None], own[None], state)
            after = drawn.pop("state")
            state = after if recurrent else None
            if earlier:
                yield on_host(earlier, batch)
        yield on_host(drawn, len(part))

    def generate(
        source: np.ndarray, driving: Driving, *, view="picture", boost="config", gain=0.0, landmarks=None
    ) -> np.ndarray:
        """Let `source` (H, H, 3) say `driving.audio`; uint8 (T, H, H, 3), or (T, crop, crop, 3) for `view` crop.

        `landmarks`: (68, 2) of the source in pixels (centres at +0.5), if they are known; else they are detected.

        Raises:
            ValueError: no sound, a picture that is not square, an unknown option, no face.
        """
        if driving.audio is None:
            raise ValueError("atvgnet is driven by audio; pass --audio SOUND")
        if source.ndim != 3 or source.shape[0] != source.shape[1] or source.shape[2] != 3:
            raise ValueError(f"the source is {source.shape}; a square RGB picture is needed")
        if view not in ("picture", "crop"):
            raise ValueError(f"view {view!r}: there are picture and crop")
        points, inverse = _placed(source, table, model, landmarks)
        image = crop.warp_exact(source, inverse, (model.crop, model.crop)).astype(np.float32) / 127.5 - 1
        example = shapes.normalise(points[None], table, model.normalisation)[0]
        count = driving.num_frames
        rounded = (
            -(-count // batch) * batch
        )  # few lengths to compile; later windows change nothing before them
        windows = audio.clip_windows(driving.audio, rounded)
        code = shapes.encode(example, table, model.codes)
        codes = np.asarray(hear(sides["atnet"], code[None], windows[None]))[0, :count]
        codes = code + (gain or model.gain) * (codes - code)
        boost = model.boost if boost == "config" else boost
        made = []
        for piece in pieces(codes, image, example, boost):
            if view == "crop":
                made.append(np.clip(np.rint((piece["output"] + 1) * 127.5), 0, 255).astype(np.uint8))
            else:
                made.append(crop.paste(source, piece["colour"], piece["attention"], inverse))
        return np.concatenate(made)

    return generate


def _zero_state(model: ConfigDict) -> np.ndarray:
    side = model.crop // 2 ** (model.vgnet.halvings + 2)
    return np.zeros((1, side, side, model.vgnet.hidden or 8 * model.vgnet.width), np.float32)


def _placed(
    source: np.ndarray, table: shapes.Shapes, model: ConfigDict, landmarks: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points (68, 2) of the face in `source`, detected unless `landmarks` has them, and its crop's `crop_matrix`."""
    points = crop.points_of(detect.landmarks(source, model.detector) if landmarks is None else landmarks)
    return points, crop.crop_matrix(points, table.base_68, model.crop)


def reference(config: ConfigDict, variables: dict):
    """`f(clip) -> clip`: what `generate(view="crop")` is compared with: frame 0 cut as it cuts its source, the others by
    the same crop moved along with the head, so that every frame is aligned, as in the paper's data and evaluation.

    The head's motion is that of the clip's landmarks where it has some, else of what the detector finds. Landmarks move
    along; pose, which is of the whole picture, is left out.
    """
    table, model = shapes.from_arrays(variables["atnet"]["stats"]["shapes"], "the checkpoint"), config.model

    def cut(clip: Clip) -> Clip:
        labels = clip.landmarks
        if labels is None:
            labels = np.stack([detect.landmarks(frame, model.detector) for frame in clip.frames])
        points = crop.points_of(labels)
        _, first = _placed(clip.frames[0], table, model)
        inverses = [crop.matrix(p, points[0]) @ first for p in points]
        frames = [
            crop.warp(frame, inverse, (model.crop, model.crop))
            for frame, inverse in zip(clip.frames, inverses, strict=True)
        ]
        landmarks = clip.landmarks
        if landmarks is not None:
            landmarks = np.stack([crop.labels_in(row, i) for row, i in zip(landmarks, inverses, strict=True)])
        return replace(clip, frames=np.stack(frames), landmarks=landmarks, pose=None)

    return cut


def _published(config: ConfigDict, contents) -> dict:
    from talkbench.methods.atvgnet.published import published  # which needs this module

    return published(config, contents)


METHOD = Method(
    name="atvgnet",
    title="ATVGnet",
    paper="Chen, Maddox, Duan, Xu: Hierarchical Cross-Modal Talking Face Generation with Dynamic Pixel-Wise Loss, CVPR 2019",
    driven_by=("audio",),
    stages=lambda config: [at_stage(config), vg_stage(config)],
    generator=generator,
    options=OPTIONS,
    rows=(
        Row("atvgnet"),
        Row("atvgnet-crop", {"view": "crop"}, reference=reference, border=0.25),
    ),
    published=_published,
)
