"""Networks between sound and landmarks: content branch, speaker branch, discriminators.

A landmark vector is (x0, y0, z0, x1, ...), 204 numbers; outputs of both branches are displacements of a face at
rest, in units of the distance of its outer eye corners.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.methods.makeittalk.attention import Encoder
from talkbench.nn.conv import Linear
from talkbench.nn.norm import BatchNorm
from talkbench.nn.recurrent import GRU, LSTM

LANDMARKS = 204
SEGMENT = 512  # windows that are one sequence for self-attention


class _MLP(nn.Module):
    """Linear layers with LeakyReLU between, named `layers_0`, `layers_2`, ... as in a sequence with ReLUs."""

    widths: tuple[int, ...]
    slope: float = 0.02

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, width in enumerate(self.widths):
            x = Linear(width, name=f"layers_{2 * i}")(nn.leaky_relu(x, self.slope) if i else x)
        return x


class ContentBranch(nn.Module):
    """Windows of sound to what the speech itself does to the face.

    Attributes:
        prior, projected, hidden: widths of the layers before the LSTM (hidden, then 161) and of the LSTM.
        widths: of the last layers.
        dropout: between the LSTM's layers in training (stream `dropout`).
    """

    prior: int = 256
    projected: int = 161
    hidden: int = 256
    layers: int = 3
    widths: tuple[int, int] = (512, 256)
    dropout: float = 0.5
    outputs: int = LANDMARKS

    @nn.compact
    def __call__(self, audio: jax.Array, face: jax.Array, train: bool = False) -> jax.Array:
        """audio (N, 18, 80) and face (1 or N, 204) -> displacement (N, 204). Each window stands alone."""
        x = Linear(self.prior, name="fc_prior_0")(audio)
        x = nn.leaky_relu(BatchNorm(name="fc_prior_1")(x, train), 0.2)
        x = Linear(self.projected, name="fc_prior_3")(x)
        x = LSTM(self.hidden, self.layers, dropout=self.dropout, name="bilstm")(x, train)[:, -1]
        x = jnp.concatenate([x, jnp.broadcast_to(face, (len(x), face.shape[-1]))], -1)
        for i, width in enumerate(self.widths):
            x = Linear(width, name=f"fc_{3 * i}")(x)
            x = nn.leaky_relu(BatchNorm(name=f"fc_{3 * i + 1}")(x, train), 0.2)
        return Linear(self.outputs, name=f"fc_{3 * len(self.widths)}")(x)


class SpeakerBranch(nn.Module):
    """Windows of sound and a voice to how this speaker moves: the head, and lips of a style.

    All windows of a segment are one sequence: what comes out for one depends on all.

    Attributes:
        hidden, layers: of the LSTM that reads a window.
        speaker: widths of the speaker vector's encoder; the last is 128 in the released network, 16 in the
            training script.
        noise: width of `z`.
        widths: of the last layers.
        use_face: append the face to the input of the last layers, as the paper says; the published network
            does not.
        perturbation: deviation of the noise on the encoded speaker in training (stream `noise`).
    """

    hidden: int = 256
    layers: int = 3
    speaker: tuple[int, ...] = (256, 128, 128)
    noise: int = 128
    width: int = 64
    encoder_layers: int = 2
    heads: int = 2
    feed_forward: int = 2048
    widths: tuple[int, int] = (512, 256)
    dropout: float = 0.1
    use_face: bool = False
    perturbation: float = 0.01
    outputs: int = LANDMARKS

    @nn.compact
    def __call__(
        self,
        audio: jax.Array,
        speaker: jax.Array,
        z: jax.Array | None = None,
        face: jax.Array | None = None,
        train: bool = False,
        content: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        """Displacement of one segment.

        Args:
            audio: (N, 18, 80).
            content: what is returned under this name, if it is known; then only the length of `audio` counts.
            speaker: (1 or N, 256), three times the speaker vector.
            z: (N, noise), None for zeros.
            face: (1 or N, 204), for `use_face`.

        Returns:
            displacement (N, 204), speaker (N, S) as encoded, content (N, hidden), encoded (1, N, width).
        """
        n = len(audio)
        if content is None:
            content = LSTM(self.hidden, self.layers, name="audio_content_encoder")(audio)[:, -1]
        voice = _MLP(self.speaker, name="spk_emb_encoder")(speaker)
        if train and self.perturbation:
            drawn = jax.random.normal(self.make_rng("noise"), voice.shape, voice.dtype)
            voice = voice + self.perturbation * drawn
        voice = jnp.broadcast_to(voice, (n, voice.shape[-1]))
        z = jnp.zeros((n, self.noise), content.dtype) if z is None else z
        rows = jnp.concatenate([content, voice, z], -1)[None]
        encoded = Encoder(
            self.width, self.encoder_layers, self.heads, self.feed_forward, self.dropout, name="encoder"
        )(rows, train)
        parts = [encoded[0], z]
        if self.use_face:
            if face is None:
                raise ValueError("this speaker branch (use_face) needs the face")
            parts.append(jnp.broadcast_to(face, (n, face.shape[-1])))
        displacement = _MLP((*self.widths, self.outputs), name="out")(jnp.concatenate(parts, -1))
        return {"displacement": displacement, "speaker": voice, "content": content, "encoded": encoded}


class SequenceDiscriminator(nn.Module):
    """Rows of landmarks, voice (and content) (B, N, C) -> realism.

    Attributes:
        pooled: one number for a sequence, from the largest of each channel, (B, 1): the published classes.
            Otherwise one for each frame, (B, N), as the paper has it.
    """

    pooled: bool = False
    width: int = 64
    layers: int = 2
    heads: int = 2
    feed_forward: int = 2048
    widths: tuple[int, int] = (512, 256)
    dropout: float = 0.1

    @nn.compact
    def __call__(self, rows: jax.Array, train: bool = False) -> jax.Array:
        x = Encoder(self.width, self.layers, self.heads, self.feed_forward, self.dropout, name="encoder")(
            rows, train
        )
        out = _MLP((*self.widths, 1), name="out")
        return out(x.max(1)) if self.pooled else out(x)[..., 0]


class FrameDiscriminator(nn.Module):
    """Landmarks (N, 204) -> realism of each frame by itself, (N, 1); published, unused."""

    widths: tuple[int, ...] = (512, 256)

    @nn.compact
    def __call__(self, landmarks: jax.Array) -> jax.Array:
        return _MLP((*self.widths, 1), name="fl_D")(landmarks)


class GRUDiscriminator(nn.Module):
    """Content (N, 256) and landmarks (N, 204) -> realism of windows of 32, (N - 35, 1); published, unused."""

    hidden: int = 256
    layers: int = 3
    widths: tuple[int, ...] = (512, 256)
    pool: int = 4
    window: int = 32

    @nn.compact
    def __call__(self, content: jax.Array, landmarks: jax.Array) -> jax.Array:
        rows = jnp.concatenate([content, landmarks], -1)
        count = len(rows) - self.pool + 1
        rows = jnp.stack([rows[i : i + count] for i in range(self.pool)]).max(0)
        x = sliding(rows, self.window, count - self.window)
        x = GRU(self.hidden, self.layers, name="fl_DT")(x)[:, -1]
        return _MLP((*self.widths, 1), name="projection")(x)


def sliding(rows: jax.Array, length: int, count: int, step: int = 1, keep: int = 1) -> jax.Array:
    """Windows (count, ceil(length / keep), C) of rows (N, C): starts 0, step, ..., every keep-th row of each."""
    if count < 1 or (count - 1) * step + length > len(rows):
        raise ValueError(f"{len(rows)} frames cannot give {count} windows of {length}")
    index = jnp.arange(count)[:, None] * step + jnp.arange(0, length, keep)
    return rows[index]


def published_windows(rows: jax.Array, length: int = 64, step: int = 1, keep: int = 1) -> jax.Array:
    """The windows that the published transformer discriminators judge: the last possible start is left out.

    `step` 16 with `keep` 16 is the other published version. Up to `length` rows give one window of all but the last.
    """
    length = min(length, len(rows) - 1)
    return sliding(rows, length, -(-(len(rows) - length) // step), step, keep)
