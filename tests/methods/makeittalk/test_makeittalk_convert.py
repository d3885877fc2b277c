"""Published checkpoints, small but with the published keys: there and back."""

import numpy as np
import pytest

from talkbench import config as configs
from talkbench.methods.makeittalk import convert
from talkbench.methods.makeittalk.published import published as import_published
from talkbench.methods.makeittalk.stages import networks, voice_params
from talkbench.weights import formula
from talkbench.weights.torch_layout import CheckpointError, entry


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, width, running=True):
    stats = ("running_mean", "running_var") if running else ()
    counter = {f"{name}.num_batches_tracked": ()} if running else {}
    return {f"{name}.{leaf}": (width,) for leaf in ("weight", "bias", *stats)} | counter


def recurrent(name, inputs, hidden, layers, directions=("",), gates=4):
    made = {}
    for layer in range(layers):
        width = hidden * len(directions) if layer else inputs
        for direction in directions:
            at = f"l{layer}{direction}"
            made[f"{name}.weight_ih_{at}"] = (gates * hidden, width)
            made[f"{name}.weight_hh_{at}"] = (gates * hidden, hidden)
            made |= {f"{name}.bias_{kind}_{at}": (gates * hidden,) for kind in ("ih", "hh")}
    return made


def conv_norm(name, inputs, outputs, running):
    conv = {f"{name}.0.conv.weight": (outputs, inputs, 5), f"{name}.0.conv.bias": (outputs,)}
    return conv | norm(f"{name}.1", outputs, running)


def autovc(original):
    speaker, neck, width, mels = 3, 2, 32, 16
    made = recurrent("encoder.lstm", width, neck, 2, ("", "_reverse"))
    for i in range(3):
        made |= conv_norm(f"encoder.convolutions.{i}", width if i else mels + speaker, width, original)
    code = 2 * neck + speaker
    if original:
        made |= recurrent("decoder.lstm1", code, width, 1) | recurrent("decoder.lstm2", width, 2 * width, 2)
        for i in range(3):
            made |= conv_norm(f"decoder.convolutions.{i}", width, width, True)
    else:
        made |= recurrent("decoder.lstm", code + 257, width, 3)
    made |= linear("decoder.linear_projection.linear_layer", 2 * width if original else width, mels)
    for i in range(5):
        inputs, outputs = width if i else mels, width if i < 4 else mels
        made |= conv_norm(f"postnet.convolutions.{i}", inputs, outputs, original)
    return made


def content():
    made = linear("fc_prior.0", 5, 6) | norm("fc_prior.1", 6) | linear("fc_prior.3", 6, 4)
    made |= linear("fc.0", 3 + 9, 8) | norm("fc.1", 8) | linear("fc.3", 8, 7) | norm("fc.4", 7)
    return made | linear("fc.6", 7, 9) | recurrent("bilstm", 4, 3, 3)


def encoder(inputs, width):
    made = linear("encoder.embed.embed", inputs, width) | {"encoder.pe.pe": (1, 512, width)}
    for name in ("encoder.norm", "encoder.layers.0.norm_1", "encoder.layers.0.norm_2"):
        made |= {f"{name}.alpha": (width,), f"{name}.bias": (width,)}
    for name in ("q_linear", "v_linear", "k_linear", "out"):
        made |= linear(f"encoder.layers.0.attn.{name}", width, width)
    return (
        made
        | linear("encoder.layers.0.ff.linear_1", width, 10)
        | linear("encoder.layers.0.ff.linear_2", 10, width)
    )


def speaker():
    made = recurrent("audio_content_encoder", 5, 3, 2) | encoder(3 + 2 + 6, 4)
    made |= (
        linear("spk_emb_encoder.0", 7, 5)
        | linear("spk_emb_encoder.2", 5, 4)
        | linear("spk_emb_encoder.4", 4, 2)
    )
    made |= linear("out.0", 4 + 6, 8) | linear("out.2", 8, 7) | linear("out.4", 7, 9)
    return made | {"decoder.embed.embed.weight": (4, 9), "comb_mlp.0.weight": (2, 2)}


def block(name, width):
    convs = {f"{name}.block.{i}.weight": (width, width, 3, 3) for i in (0, 3)}
    return convs | norm(f"{name}.block.1", width) | norm(f"{name}.block.4", width)


def translation():
    outer, middle, inner = "model.model", "model.model.4.model", "model.model.4.model.5.model"
    made = {f"{outer}.0.weight": (2, 6, 3, 3), f"{outer}.6.weight": (3, 4, 3, 3)}
    made |= {f"{middle}.0.weight": (3, 2, 3, 3), f"{middle}.7.weight": (2, 6, 3, 3)}
    made |= {f"{inner}.0.weight": (4, 3, 3, 3), f"{inner}.5.weight": (3, 4, 3, 3)}
    made |= norm(f"{middle}.1", 3) | norm(f"{middle}.8", 2) | norm(f"{inner}.6", 3)
    for name, width in ((outer, 2), (f"{middle}", 3), (f"{inner}", 4)):
        first = 3 if name == middle else 2
        made |= block(f"{name}.{first}", width) | block(f"{name}.{first + 1}", width)
    for name, first, width in ((middle, 10, 2), (inner, 8, 3)):
        made |= block(f"{name}.{first}", width) | block(f"{name}.{first + 1}", width)
    return made


FILES = {
    "voice_conversion": ("model", autovc(False), ""),
    "voice_conversion_original": ("model", autovc(True), ""),
    "voice_encoder": (
        "model_state",
        recurrent("lstm", 4, 3, 3)
        | linear("linear", 3, 5)
        | {"similarity_weight": (1,), "similarity_bias": (1,)},
        "",
    ),
    "content": ("model_g_face_id", content(), ""),
    "speaker": ("G", speaker(), ""),
    "translation": ("G", translation(), "module."),
}
DROPPED = ("similarity", "decoder.embed", "comb_mlp", "encoder.pe")


@pytest.mark.parametrize("name", FILES)
def test_round_trip(name):
    key, shapes, prefix = FILES[name]
    state = formula.state_dict(1, shapes)
    part = convert.load({key: {prefix + k: v for k, v in state.items()}, "epoch": 3})
    assert part.name == name.removesuffix("_original")
    for published, value in state.items():
        if published.startswith(DROPPED) and part.name in ("voice_encoder", "speaker"):
            continue
        if not published.endswith("num_batches_tracked"):
            made = entry(part.variables, published, convert.RULES[part.name])
            np.testing.assert_array_equal(made, value, err_msg=published)


def test_sizes_are_read_from_the_shapes():
    networks = {name: convert.load(formula.state_dict(1, FILES[name][1])).network for name in FILES}
    assert networks["voice_conversion"].neck == 2 and not networks["voice_conversion"].original
    assert networks["voice_conversion_original"].original
    assert networks["speaker"].speaker == (5, 4, 2) and networks["speaker"].noise == 6
    assert not networks["speaker"].use_face
    assert networks["content"].hidden == 3 and networks["content"].outputs == 9
    assert networks["translation"].widths == (2, 3, 4)


def test_what_does_not_fit_is_named():
    with pytest.raises(CheckpointError, match="no checkpoint of MakeItTalk"):
        convert.load({"generator": {"a": np.zeros(2)}})
    state = formula.state_dict(1, content())
    del state["fc.6.bias"]
    with pytest.raises(CheckpointError, match="1 missing: params/fc_6/bias"):
        convert.load(state)
    del state["bilstm.weight_hh_l0"]
    with pytest.raises(CheckpointError, match="no content of MakeItTalk.*bilstm.weight_hh_l0"):
        convert.load(state)


def test_files_and_constants_become_weights():
    config, files = configs.load("makeittalk", "paper"), {}
    for name in convert.PARTS:
        key, shapes, prefix = FILES[name]
        state = formula.state_dict(1, shapes)
        network = convert.load(state).network
        section = config.model[name]
        for field in section:
            section[field] = getattr(network, field)
        files[f"{name}.pth"] = {key: {prefix + k: value for k, value in state.items()}}
    voice, sound = (
        np.arange(5) / np.float32(5),
        np.stack([np.full(80, 0.5), np.full(80, 0.1)]).astype(np.float32),
    )
    made = import_published(config, {**files, "sound.txt": sound, "voice.txt": voice})
    assert set(made) == {"voice_conversion", "content", "speaker", "image_translation"}
    side = made["voice_conversion"]
    np.testing.assert_array_equal(side["stats"]["target"]["voice"], voice)
    assert voice_params(side)["linear"]["kernel"].shape == (3, 5)
    normal = networks(config)["sound"].apply(
        {"batch_stats": made["content"]["stats"]["sound"]}, np.full((1, 80), 0.7)
    )
    np.testing.assert_allclose(normal, 2, rtol=1e-4)
    config.model.content.layers = 2
    with pytest.raises(CheckpointError, match="pass --config.model.content.layers=3"):
        import_published(config, files)
    config.model.content.layers = 3
    lacking = {name: file for name, file in files.items() if name != "content.pth"}
    with pytest.raises(CheckpointError, match=r"no file holds MakeItTalk's content, target voice \(.txt\)"):
        import_published(config, {**lacking, "sound.txt": sound})
    with pytest.raises(CheckpointError, match="odd.txt: 3 numbers; expected 5"):
        import_published(config, {**files, "odd.txt": np.zeros(3, np.float32)})
