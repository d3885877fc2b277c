"""AutoVC (Qian et al., ICML 2019), in two forms: conditioned on pitch, as MakeItTalk uses it, and the original.

Mel spectrograms are (B, T, 80) at 62.5 frames/s, T a multiple of `freq`. MakeItTalk's content feature is the
converted spectrogram after the postnet, not the codes.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv, Linear
from talkbench.nn.norm import BatchNorm
from talkbench.nn.recurrent import LSTM

MELS, PITCHES, SPEAKER = 80, 257, 256
PIECE = 4096  # frames that are converted at once
_GROUP = 16  # channels of a normalisation group: 32 groups of 512, 5 of 80
_WINDOW, _PADDING = (5,), 2
_GAINS = {"relu": 2.0, "tanh": (5 / 3) ** 2, "linear": 1.0}


def _xavier(gain: str) -> Callable:
    return nn.initializers.variance_scaling(_GAINS[gain], "fan_avg", "uniform")


class _ConvNorm(nn.Module):
    """Conv1d of width 5, then group or batch normalisation; named inside `prefix_INDEX`."""

    features: int
    batch_norm: bool
    gain: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = Conv(self.features, _WINDOW, padding=_PADDING, kernel_init=_xavier(self.gain), name="conv")
        x = conv(x)
        if self.batch_norm:
            return BatchNorm(name="norm")(x, train)
        return nn.GroupNorm(
            num_groups=None, group_size=_GROUP, epsilon=1e-5, use_fast_variance=False, name="norm"
        )(x)


class _Encoder(nn.Module):
    width: int
    neck: int
    freq: int
    batch_norm: bool

    @nn.compact
    def __call__(self, mel: jax.Array, speaker: jax.Array, train: bool) -> jax.Array:
        b, t, _ = mel.shape
        x = jnp.concatenate([mel, jnp.broadcast_to(speaker[:, None], (b, t, speaker.shape[-1]))], -1)
        for i in range(3):
            x = nn.relu(_ConvNorm(self.width, self.batch_norm, "relu", name=f"convolutions_{i}")(x, train))
        x = LSTM(self.neck, 2, bidirectional=True, name="lstm")(x)
        forward = x[:, self.freq - 1 :: self.freq, : self.neck]
        backward = x[:, :: self.freq, self.neck :]
        return jnp.concatenate([forward, backward], -1)


class _Decoder(nn.Module):
    width: int
    mels: int
    original: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if self.original:
            x = LSTM(self.width, name="lstm1")(x)
            for i in range(3):
                x = nn.relu(_ConvNorm(self.width, True, "relu", name=f"convolutions_{i}")(x, train))
            x = LSTM(2 * self.width, 2, name="lstm2")(x)
        else:
            x = LSTM(self.width, 3, name="lstm")(x)
        return Linear(self.mels, kernel_init=_xavier("linear"), name="linear_projection")(x)


class _Postnet(nn.Module):
    width: int
    mels: int
    batch_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for i in range(4):
            x = _ConvNorm(self.width, self.batch_norm, "tanh", name=f"convolutions_{i}")(x, train)
            x = jnp.tanh(x)
        return _ConvNorm(self.mels, self.batch_norm, "linear", name="convolutions_4")(x, train)


class AutoVC(nn.Module):
    """Voice conversion through a narrow bottleneck.

    Attributes:
        neck: width of a code in each direction; 16, original 32.
        freq: frames of a code; 16, original 32.
        width: of convolutions and of the decoder's LSTM; a multiple of 16.
        mels: channels of the spectrogram; a multiple of 16.
        original: the paper's network: batch normalisation, convolutions in the decoder, no pitch.
    """

    neck: int = 16
    freq: int = 16
    width: int = 512
    mels: int = MELS
    original: bool = False

    def setup(self):
        self.encoder = _Encoder(self.width, self.neck, self.freq, self.original)
        self.decoder = _Decoder(self.width, self.mels, self.original)
        self.postnet = _Postnet(self.width, self.mels, self.original)

    def encode(self, mel: jax.Array, speaker: jax.Array, train: bool = False) -> jax.Array:
        """(B, T, mels), the source's vector (B, S) -> codes (B, T / freq * 2 neck), block after block."""
        if mel.shape[1] % self.freq:
            raise ValueError(
                f"{mel.shape[1]} frames for codes of {self.freq}: pad to a multiple of {self.freq}"
            )
        return self.encoder(mel, speaker, train).reshape(mel.shape[0], -1)

    def __call__(
        self,
        mel: jax.Array,
        source: jax.Array,
        target: jax.Array,
        pitch: jax.Array | None = None,
        train: bool = False,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Convert `mel` (B, T, mels) from the voice `source` (B, S) to `target` (B, S).

        Args:
            pitch: (B, T, 257) one-hot pitch (`audio.one_hot_pitch`); None for the original network.

        Returns:
            Spectrogram before and after the postnet (B, T, mels), codes (B, T / freq * 2 neck).
        """
        if (pitch is None) != self.original:
            raise ValueError(
                "AutoVC takes a pitch track, unless it is the original network, which takes none"
            )
        b, t, _ = mel.shape
        codes = self.encode(mel, source, train)
        repeated = jnp.repeat(codes.reshape(b, t // self.freq, 2 * self.neck), self.freq, 1)
        parts = [repeated, jnp.broadcast_to(target[:, None], (b, t, target.shape[-1]))]
        if pitch is not None:
            parts.append(pitch.astype(mel.dtype))
        coarse = self.decoder(jnp.concatenate(parts, -1), train)
        return coarse, coarse + self.postnet(coarse, train), codes


def convert_long(
    convert: Callable, mel: np.ndarray, pitch: np.ndarray, piece: int = PIECE, multiple: int = 32
) -> np.ndarray:
    """Conversion of a whole recording in pieces, as MakeItTalk does it.

    Args:
        convert: (mel (1, T', C), pitch (1, T', P)) -> converted mel (1, T', C), T' a multiple of `multiple`.
        mel: (T, C).
        pitch: (T, P) one-hot.

    Returns:
        float32 (T, C). Each piece is padded with zeros (pitch too: no bin at all), the padding cut off again.
    """
    if len(mel) != len(pitch):
        raise ValueError(f"{len(mel)} frames of mel and {len(pitch)} of pitch: they must be as many")
    made = []
    for start in range(0, len(mel), piece):
        parts = mel[start : start + piece], pitch[start : start + piece]
        frames = len(parts[0])
        extra = ((0, -frames % multiple), (0, 0))
        made.append(np.asarray(convert(*(np.pad(part, extra)[None] for part in parts)))[0, :frames])
    return np.concatenate(made).astype(np.float32)
