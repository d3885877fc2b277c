"""The networks of ATVGnet: AT-net (audio to landmark codes), VG-net (landmarks to frames), and the regression discriminator.

Names follow the published keys, so `weights.torch_layout` places every tensor by itself. Frames of a clip go through
the convolutions together, step by step in the leading axis (T, B); with `per_step` every BatchNorm sees one frame over
the batch at a time, as in the published code, else all frames of all clips at once. In eval mode both are the same.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.methods.atvgnet.blocks import INITS, Affine, ConvGRU, Init, Residual, conv_norm, double
from talkbench.nn.conv import Conv, Linear, conv, uniform_fan_in
from talkbench.nn.pool import max_pool
from talkbench.nn.recurrent import LSTM


class NetworkError(ValueError):
    """Sizes that a network cannot work at."""


def _dense(features: int, name: str, init: Init) -> Linear:
    return Linear(features, kernel_init=init.kernel, bias_init=init.bias, name=name)


def _channel_major(x: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N, C H W), the order in which published linear layers count."""
    return jnp.moveaxis(x, -1, 1).reshape(len(x), -1)


def _steps_first(x: jax.Array) -> jax.Array:
    """(B, T, ...) -> (T B, ...)."""
    return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])


def _clips_first(x: jax.Array, clips: int) -> jax.Array:
    """(T B, ...) -> (B, T, ...)."""
    return jnp.swapaxes(x.reshape(-1, clips, *x.shape[1:]), 0, 1)


class ATNet(nn.Module):
    """Audio windows and the example's landmark code -> a landmark code for each frame (paper section 3.1).

    `widths` are those of the five convolutions, `dense` and `landmark_dense` those of the linear layers behind the audio
    and the landmark code, `codes` the number of PCA codes. `residual` adds the example's code to the answer (ours).
    """

    widths: Sequence[int] = (64, 128, 256, 256, 512)
    dense: Sequence[int] = (2048, 256)
    landmark_dense: Sequence[int] = (256, 512)
    hidden: int = 256
    layers: int = 3
    codes: int = 6
    residual: bool = False
    per_step: bool = False
    init_scheme: str = "published"
    dtype: Any = None

    @nn.compact
    def __call__(self, example: jax.Array, audio: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """example (B, codes), audio (B, T, 28, 12) -> `codes` (B, T, codes), and the stages on the way."""
        init = INITS[self.init_scheme]
        clips, time = audio.shape[:2]
        steps = time if self.per_step else 1
        x = _steps_first(audio)[..., None]
        for index, width in zip((0, 1, 3, 4, 5), self.widths, strict=True):
            if index == 3:
                x = max_pool(x, (3, 3), (1, 2))
            x = conv_norm(x, width, f"audio_eocder_{index}", train, steps, init=init, dtype=self.dtype)
        x = max_pool(x, (3, 3), (2, 2))
        made = {"audio_conv": _clips_first(x, clips)}
        x = _channel_major(x).astype(jnp.float32)
        for i, width in enumerate(self.dense):
            x = nn.relu(_dense(width, f"audio_eocder_fc_{2 * i}", init)(x))
        made["audio_feature"] = _clips_first(x, clips)
        landmark = example
        for i, width in enumerate(self.landmark_dense):
            landmark = nn.relu(_dense(width, f"lmark_encoder_{2 * i}", init)(landmark))
        made["lmark_feature"] = landmark
        both = [jnp.broadcast_to(landmark[:, None], (clips, time, landmark.shape[-1])), made["audio_feature"]]
        made["lstm"] = LSTM(self.hidden, self.layers, name="lstm")(jnp.concatenate(both, -1))
        codes = _dense(self.codes, "lstm_fc_0", init)(made["lstm"])
        return {**made, "codes": codes + example[:, None] if self.residual else codes}


class ATSingle(nn.Module):
    """The published variant without recurrence: one window (B, 28, 12) -> codes (B, codes); biases, no BatchNorm."""

    widths: Sequence[int] = (64, 128, 256, 256, 512)
    dense: Sequence[int] = (2048, 256)
    codes: int = 6
    init_scheme: str = "published"
    dtype: Any = None

    @nn.compact
    def __call__(self, audio: jax.Array) -> jax.Array:
        init = INITS[self.init_scheme]
        x = audio[..., None]
        for index, width in zip((0, 1, 3, 4, 5), self.widths, strict=True):
            if index == 3:
                x = max_pool(x, (3, 3), (1, 2))
            name = f"audio_eocder_{index}_0"
            layer = Conv(
                width,
                (3, 3),
                padding=1,
                kernel_init=init.kernel,
                bias_init=init.bias,
                dtype=self.dtype,
                name=name,
            )
            x = nn.relu(layer(x))
        x = _channel_major(max_pool(x, (3, 3), (2, 2)))
        for i, width in enumerate(self.dense):
            x = nn.relu(_dense(width, f"audio_eocder_fc_{2 * i}", init)(x))
        return _dense(self.codes, f"audio_eocder_fc_{2 * len(self.dense)}", init)(x)


class VGNet(nn.Module):
    """Example image, example landmark and landmarks of the frames -> the frames (paper section 3.2).

    Published: `width` 64, `halvings` 2, `blocks` 9 at 128 px. The landmark code is a picture of one channel, an eighth
    of the finer feature map's side times two, so the size of the pictures is part of the weights.

    Attributes:
        width: channels of the first layer; all others are multiples of it.
        halvings: how many of the first two inner convolutions halve the picture (2: features at a quarter of the side).
        blocks: residual blocks of the decoder. dropout: between their convolutions.
        hidden: channels of the recurrence and the residual blocks; 0: 8 `width`, as published.
        gru_axis: "time": the recurrence runs over frames (the paper); "batch": over the clips of a batch, frame by
            frame (the published code; with one clip every frame is one step from zero state).
    """

    width: int = 64
    halvings: int = 2
    blocks: int = 9
    dropout: float = 0.5
    hidden: int = 0
    gru_axis: str = "time"
    per_step: bool = False
    init_scheme: str = "published"
    dtype: Any = None

    def _sides(self, image: jax.Array) -> tuple[int, int]:
        factor = 2 ** (self.halvings + 2)
        height, width = image.shape[1:3]
        if height % factor or width % factor:
            raise NetworkError(
                f"a picture of {width}x{height} px; VG-net with {self.halvings} halvings needs multiples of {factor}"
            )
        return height // factor, width // factor

    @nn.compact
    def __call__(
        self,
        image: jax.Array,
        landmarks: jax.Array,
        example: jax.Array,
        train: bool = False,
        state: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        """Draw the frames of a batch of clips.

        Args:
            image: (B, H, W, 3) in [-1, 1]. landmarks: (B, T, 136), example: (B, 136), both in network scale.
            state: the recurrence's state after earlier frames (`gru_axis` time), for a clip in pieces.

        Returns:
            `output` (B, T, H, W, 3) in [-1, 1], `attention` (B, T, H, W, 1), `colour` (B, T, H, W, 3),
            `landmark_attention` (B, T, h, w, 1), `state`, and the stages on the way. output = attention * colour +
            (1 - attention) * image.
        """
        if self.gru_axis not in ("time", "batch"):
            raise NetworkError(f"gru_axis={self.gru_axis!r}: there are time and batch")
        init, w, dtype = INITS[self.init_scheme], self.width, self.dtype
        side = self._sides(image)
        clips, time = landmarks.shape[:2]
        once = {"init": init, "dtype": dtype}

        strides = (2 if self.halvings > 0 else 1, 2 if self.halvings > 1 else 1)
        x = conv_norm(image, w, "image_encoder1_1", train, window=7, padding=3, mode="reflect", **once)
        x = conv_norm(x, w, "image_encoder1_2", train, stride=strides[0], **once)
        image1 = conv_norm(x, 2 * w, "image_encoder1_3", train, stride=strides[1], **once)
        x = conv_norm(image1, 4 * w, "image_encoder2_0", train, stride=2, **once)
        image2 = conv_norm(x, 8 * w, "image_encoder2_1", train, stride=2, **once)

        # The example goes first, as one more step: the published code calls the landmark encoders with it first.
        every = jnp.concatenate([example[None], landmarks.swapaxes(0, 1)]).reshape(-1, landmarks.shape[-1])
        steps = time + 1 if self.per_step else 1
        code = nn.relu(_dense(side[0] * side[1], "landmark_encoder_0", init)(every))
        stage2 = conv_norm(
            code.reshape(-1, *side, 1), 4 * w, "landmark_encoder_stage2_0", train, steps, **once
        )
        feature = conv_norm(stage2, 8 * w, "lmark_feature_0", train, steps, **once)

        steps = time if self.per_step else 1
        # (B, ...) -> (T B, ...). Not tile, and split, not slices: a CPU is slow at their gradients.
        frames = lambda x: jnp.concatenate([x] * time)  # noqa: E731
        example2, stage2 = jnp.split(stage2, [clips])
        example_feature, feature = jnp.split(feature, [clips])
        x = jnp.concatenate([stage2, frames(example2)], -1)
        x = double(x, 4 * w, "lmark_att", 0, train, steps, bias=True, **once)
        x = double(x, 2 * w, "lmark_att", 3, train, steps, bias=True, **once)
        landmark_attention = jax.nn.sigmoid(*self._heads(x, {"lmark_att_6_0": 1}, 3, init))

        x = jnp.concatenate([frames(image2), feature - frames(example_feature)], -1)
        x = conv_norm(x, 2 * w, "bottle_neck_0", train, steps, **once)
        inputs = x.reshape(time, clips, *x.shape[1:])
        gru = ConvGRU(self.hidden or 8 * w, dtype=dtype, name="convGRU")
        if self.gru_axis == "time":
            hidden, state = gru(inputs, state)
        else:
            hidden = gru(inputs.swapaxes(0, 1))[0].swapaxes(0, 1)
        x = hidden.reshape(-1, *hidden.shape[2:])
        for i in range(self.blocks):
            x = Residual(self.dropout, init, dtype, name=f"generator1_{i}")(x, train, steps)
        x = double(x, 4 * w, "generator1", self.blocks, train, steps, **once)
        drawn = double(x, 2 * w, "generator1", self.blocks + 3, train, steps, **once)
        share = landmark_attention.astype(drawn.dtype)
        x = frames(image1) * (1 - share) + drawn * share
        for level, features in enumerate((w, w // 2)[2 - self.halvings :]):
            x = double(x, features, "base", 3 * level, train, steps, **once)
        colour, attention = self._heads(x, {"generator_color_0": 3, "generator_attention_0": 1}, 7, init)
        colour, attention = jnp.tanh(colour), jax.nn.sigmoid(attention)
        output = attention * colour + (1 - attention) * frames(image)
        many = {
            "output": output, "attention": attention, "colour": colour, "landmark_attention": landmark_attention,
            "rnn_input": inputs.reshape(-1, *inputs.shape[2:]), "rnn_output": hidden.reshape(-1, *hidden.shape[2:]),
            "drawn": drawn, "base": x, "landmark_feature": feature,
        }  # fmt: skip
        single = {
            "image_feature1": image1, "image_feature": image2, "example_stage2": example2,
            "example_feature": example_feature, "state": state,
        }  # fmt: skip
        return {**{name: _clips_first(x, clips) for name, x in many.items()}, **single}

    def _heads(self, x, features, window, init):
        """Last convolutions {name: channels}, in full precision; as one, since they read the same pixels."""
        shape, default = (window, window, x.shape[-1]), uniform_fan_in(window**2 * x.shape[-1])
        inits = init.kernel or default, init.bias or default
        layers = [Affine((*shape, n), *inits, name=name)() for name, n in features.items()]
        kernels, biases = (jnp.concatenate(parts, -1) for parts in zip(*layers, strict=True))
        y = conv(x.astype(jnp.float32), kernels, padding=window // 2) + biases
        return jnp.split(y, np.cumsum(list(features.values()))[:-1], -1)


class Discriminator(nn.Module):
    """Frames and the example's landmark -> landmarks of every frame, and one judgement of the sequence (section 3.3).

    `widths` are those of the strided convolutions. The published state dict also has a decoder that nothing calls.
    """

    widths: Sequence[int] = (64, 128, 256, 512)
    dense: int = 512
    landmark_dense: Sequence[int] = (256, 512)
    hidden: int = 256
    layers: int = 3
    per_step: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, frames: jax.Array, example: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """frames (B, T, H, W, 3) in [-1, 1], example (B, 136) -> `landmarks` (B, T, 136), `logit` (B,), stages.

        The published code pools over exactly 16 frames; here the mean is over all there are.
        """
        clips, time = frames.shape[:2]
        steps, init = time if self.per_step else 1, INITS["default"]
        x = _steps_first(frames)
        first = Conv(
            self.widths[0], (3, 3), stride=2, padding=1, dtype=self.dtype, name="image_encoder_dis_0_0"
        )
        x = nn.relu(first(x))
        for i, width in enumerate(self.widths[1:], 1):
            x = conv_norm(x, width, f"image_encoder_dis_{i}", train, steps, stride=2, dtype=self.dtype)
        made = {"image_conv": _clips_first(x, clips)}
        x = nn.relu(_dense(self.dense, "img_fc_0", init)(_channel_major(x).astype(jnp.float32)))
        made["img_feature"] = _clips_first(x, clips)
        landmark = example
        for i, width in enumerate(self.landmark_dense):
            landmark = nn.relu(_dense(width, f"encoder_{2 * i}", init)(landmark))
        both = [jnp.broadcast_to(landmark[:, None], (clips, time, landmark.shape[-1])), made["img_feature"]]
        hidden = LSTM(self.hidden, self.layers, name="lstm")(jnp.concatenate(both, -1))
        points = jnp.tanh(_dense(example.shape[-1], "lstm_fc_0", init)(hidden)) + example[:, None]
        scores = _dense(1, "decision_0", init)(hidden)
        return {
            **made, "lmark_feature": landmark, "lstm": hidden, "landmarks": points, "logit": scores.mean((1, 2)),
        }  # fmt: skip
