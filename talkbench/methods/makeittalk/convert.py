"""MakeItTalk's published checkpoints as our networks' variables.

| part | file at the publisher | state dict under |
|---|---|---|
| `voice_conversion` | AutoVC with pitch, or the original | `model` |
| `voice_encoder` | Resemblyzer's `pretrained.pt` | `model_state` |
| `content` | content branch | `model_g_face_id` |
| `speaker` | speaker branch | `G` |
| `translation` | image to image | `G`, keys under `module.` |

Which of the five a file is shows in its keys. Sizes are read from the shapes.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from talkbench.methods.makeittalk import networks
from talkbench.methods.makeittalk.audio import WINDOW
from talkbench.methods.makeittalk.speaker_vector import VoiceEncoder
from talkbench.methods.makeittalk.translation import ResUnet
from talkbench.methods.makeittalk.voice_conversion import PITCHES, AutoVC
from talkbench.weights.torch_layout import CheckpointError, abstract_variables, convert, strip_module

PARTS = ("voice_conversion", "voice_encoder", "content", "speaker", "translation")
_ENTRIES = ("model", "model_state", "model_g_face_id", "G")
# A key that only this part has.
_MARKS = {
    "voice_conversion": "postnet.convolutions.0.0.conv.weight",
    "voice_encoder": "lstm.weight_ih_l0",
    "content": "fc_prior.0.weight",
    "speaker": "spk_emb_encoder.0.weight",
    "translation": "model.model.0.weight",
}

_SEQUENCES = (r"^(spk_emb_encoder|out|fl_D|projection)\.(\d+)\.", r"\1.layers.\2.")
_EMBED = (r"^encoder\.embed\.embed\.", "encoder.embed.")
RULES: dict[str, tuple] = {
    "voice_conversion": (
        (r"convolutions\.(\d+)\.0\.conv\.", r"convolutions_\1.conv."),
        (r"convolutions\.(\d+)\.1\.", r"convolutions_\1.norm."),
        (r"linear_projection\.linear_layer\.", "linear_projection."),
    ),
    "voice_encoder": (),
    "content": (),
    "speaker": (_SEQUENCES, _EMBED),
    "translation": (),
    "sequence_discriminator": (_SEQUENCES, _EMBED),
    "frame_discriminator": (_SEQUENCES,),
    "gru_discriminator": (_SEQUENCES,),
}
_IGNORE = {
    "voice_encoder": (r"similarity_(weight|bias)",),
    "speaker": (r"decoder\..*", r"comb_mlp.*", r"encoder\.pe\.pe"),  # never called; a constant table
    "sequence_discriminator": (r"encoder\.pe\.pe",),
}


class Part(NamedTuple):
    """A network, its variables {"params": ..., "batch_stats": ...}, and which part of the method it is."""

    network: nn.Module
    variables: dict
    name: str


def load(checkpoint: Mapping[str, Any]) -> Part:
    """What a published file held (or the bare state dict of it) as one of `PARTS`.

    Raises:
        CheckpointError: it is none of them, or does not fit.
    """
    state_dict = strip_module(checkpoint)
    for entry in _ENTRIES:
        if isinstance(nested := checkpoint.get(entry), Mapping):
            state_dict = strip_module(nested)
            break
    for part, key in _MARKS.items():
        if key in state_dict:
            return load_part(part, state_dict)
    some = ", ".join(list(state_dict)[:4]) or "nothing"
    raise CheckpointError(f"no checkpoint of MakeItTalk ({', '.join(PARTS)}): it holds {some}")


def load_part(part: str, state_dict: Mapping[str, Any], network: nn.Module | None = None) -> Part:
    """One network's published state dict. `network` None: sizes are read from the checkpoint."""
    state_dict = strip_module(state_dict)
    try:
        network = network or _READERS[part](state_dict)
        shapes = example_shapes(network, state_dict)
    except (KeyError, IndexError, ValueError) as error:
        some = ", ".join(list(state_dict)[:3]) or "nothing"
        raise CheckpointError(f"no {part} of MakeItTalk (no {error}); it holds {some}") from None
    abstract = abstract_variables(network.init, *shapes)
    ignored = _IGNORE.get(part, ())
    return Part(network, convert(state_dict, abstract, RULES[part], ignored, f"the {part}"), part)


def example_shapes(network: nn.Module, state_dict: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """Shapes of the smallest inputs that initialise a network of a checkpoint."""
    match network:
        case AutoVC():
            speaker = _shape(state_dict, "encoder.convolutions.0.0.conv.weight")[1] - network.mels
            frames = (1, network.freq)
            voices = ((1, speaker), (1, speaker))
            pitch = () if network.original else ((*frames, PITCHES),)
            return ((*frames, network.mels), *voices, *pitch)
        case VoiceEncoder():
            return ((1, 2, _shape(state_dict, "lstm.weight_ih_l0")[1]),)
        case networks.ContentBranch():
            face = _shape(state_dict, "fc.0.weight")[1] - network.hidden
            return ((2, WINDOW, _shape(state_dict, "fc_prior.0.weight")[1]), (2, face))
        case networks.SpeakerBranch():
            audio = _shape(state_dict, "audio_content_encoder.weight_ih_l0")[1]
            speaker = _shape(state_dict, "spk_emb_encoder.0.weight")[1]
            return ((2, WINDOW, audio), (1, speaker))
        case ResUnet():
            side = 2 ** len(network.widths)
            return ((1, side, side, _shape(state_dict, "model.model.0.weight")[1]),)
        case networks.SequenceDiscriminator():
            return ((1, 2, _shape(state_dict, "encoder.embed.embed.weight")[1]),)
        case networks.FrameDiscriminator():
            return ((2, _shape(state_dict, "fl_D.0.weight")[1]),)
        case networks.GRUDiscriminator():
            rows = network.window + network.pool
            landmarks = networks.LANDMARKS
            content = _shape(state_dict, "fl_DT.weight_ih_l0")[1] - landmarks
            return ((rows, content), (rows, landmarks))
    raise TypeError(f"{type(network).__name__} is no network of MakeItTalk")


def _shape(state_dict: Mapping[str, Any], key: str) -> tuple[int, ...]:
    return tuple(int(n) for n in np.shape(state_dict[key]))


def _numbers(state_dict: Mapping[str, Any], pattern: str) -> list[int]:
    """Sorted distinct numbers that the group of `pattern` takes in the keys."""
    return sorted({int(m.group(1)) for key in state_dict if (m := re.match(pattern, key))})


def _widths(state_dict: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """Output widths of the linear layers of a sequence `name.0`, `name.2`, ..."""
    numbers = _numbers(state_dict, rf"{re.escape(name)}\.(\d+)\.weight$")
    return tuple(_shape(state_dict, f"{name}.{i}.weight")[0] for i in numbers)


def _layers(state_dict: Mapping[str, Any], name: str) -> int:
    return len(_numbers(state_dict, rf"{re.escape(name)}\.weight_ih_l(\d+)$"))


def _read_voice_conversion(s: Mapping[str, Any]) -> AutoVC:
    neck = _shape(s, "encoder.lstm.weight_hh_l0")[1]
    # The number of frames of a code does not show in the weights: both published networks use the neck's.
    return AutoVC(
        neck=neck,
        freq=neck,
        width=_shape(s, "postnet.convolutions.0.0.conv.weight")[0],
        mels=_shape(s, "postnet.convolutions.0.0.conv.weight")[1],
        original="decoder.lstm1.weight_ih_l0" in s,
    )


def _read_voice_encoder(s: Mapping[str, Any]) -> VoiceEncoder:
    return VoiceEncoder(_shape(s, "lstm.weight_hh_l0")[1], _shape(s, "linear.weight")[0], _layers(s, "lstm"))


def _read_content(s: Mapping[str, Any]) -> networks.ContentBranch:
    return networks.ContentBranch(
        prior=_shape(s, "fc_prior.0.weight")[0],
        projected=_shape(s, "fc_prior.3.weight")[0],
        hidden=_shape(s, "bilstm.weight_hh_l0")[1],
        layers=_layers(s, "bilstm"),
        widths=(_shape(s, "fc.0.weight")[0], _shape(s, "fc.3.weight")[0]),
        outputs=_shape(s, "fc.6.weight")[0],
    )


def _encoder_sizes(s: Mapping[str, Any]) -> dict[str, int]:
    return {
        "width": _shape(s, "encoder.embed.embed.weight")[0],
        "feed_forward": _shape(s, "encoder.layers.0.ff.linear_1.weight")[0],
    }


def _read_speaker(s: Mapping[str, Any]) -> networks.SpeakerBranch:
    sizes, hidden = _encoder_sizes(s), _shape(s, "audio_content_encoder.weight_hh_l0")[1]
    speaker, out = _widths(s, "spk_emb_encoder"), _widths(s, "out")
    noise = _shape(s, "encoder.embed.embed.weight")[1] - hidden - speaker[-1]
    return networks.SpeakerBranch(
        hidden=hidden,
        layers=_layers(s, "audio_content_encoder"),
        speaker=speaker,
        noise=noise,
        encoder_layers=len(_numbers(s, r"encoder\.layers\.(\d+)\.")),
        widths=out[:-1],
        use_face=_shape(s, "out.0.weight")[1] > sizes["width"] + noise,
        outputs=out[-1],
        **sizes,
    )


def _read_translation(s: Mapping[str, Any]) -> ResUnet:
    widths, prefix = [], "model.model"
    while f"{prefix}.0.weight" in s:
        widths.append(_shape(s, f"{prefix}.0.weight")[0])
        prefix += ".4.model" if len(widths) == 1 else ".5.model"
    return ResUnet(tuple(widths), _shape(s, "model.model.6.weight")[0])


def _read_sequence_discriminator(s: Mapping[str, Any]) -> networks.SequenceDiscriminator:
    layers = len(_numbers(s, r"encoder\.layers\.(\d+)\."))
    return networks.SequenceDiscriminator(
        True, layers=layers, widths=_widths(s, "out")[:-1], **_encoder_sizes(s)
    )


def _read_frame_discriminator(s: Mapping[str, Any]) -> networks.FrameDiscriminator:
    return networks.FrameDiscriminator(_widths(s, "fl_D")[:-1])


def _read_gru_discriminator(s: Mapping[str, Any]) -> networks.GRUDiscriminator:
    hidden = _shape(s, "fl_DT.weight_hh_l0")[1]
    return networks.GRUDiscriminator(hidden, _layers(s, "fl_DT"), _widths(s, "projection")[:-1])


_READERS = {
    "voice_conversion": _read_voice_conversion,
    "voice_encoder": _read_voice_encoder,
    "content": _read_content,
    "speaker": _read_speaker,
    "translation": _read_translation,
    "sequence_discriminator": _read_sequence_discriminator,
    "frame_discriminator": _read_frame_discriminator,
    "gru_discriminator": _read_gru_discriminator,
}
