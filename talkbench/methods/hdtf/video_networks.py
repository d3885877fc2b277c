"""G_vid, HDTF's animation-to-video generator, as the released code has it (NHWC)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.blocks import DownBlock, ResBlock, SameBlock, UpBlock
from talkbench.nn.conv import Conv
from talkbench.nn.hourglass import Hourglass, level_width
from talkbench.nn.resize import gaussian_downsample, resize_linear
from talkbench.nn.warp import coordinate_grid, grid_sample

FLOW_PADDINGS = ("zeros", "edge")
COLOUR_ORDERS = ("rgb", "bgr")


def shrink_flow(flow: jax.Array, step: int, padding: str = "zeros") -> jax.Array:
    """Sampling grids (B, H, W, 2) blurred and reduced to every `step`-th element.

    The released code blurs the absolute grid with zeros outside ("zeros"): its outermost rows and columns shrink towards
    0, and the warped image is wrong there. "edge" repeats the border instead, for models trained from scratch.

    Raises:
        ValueError: an unknown padding.
    """
    if padding not in FLOW_PADDINGS:
        raise ValueError(f"flow_padding {padding!r}: choose {' or '.join(FLOW_PADDINGS)}")
    if padding == "zeros" or step == 1:
        return gaussian_downsample(flow, 1 / step)
    margin = 2 * step  # at least half the filter, and a multiple of the step
    wide = jnp.pad(flow, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    return gaussian_downsample(wide, 1 / step)[:, 2:-2, 2:-2]


class Encoder(nn.Module):
    """Image (B, H, W, 3) -> feature f_ref (B, H / 2**n, W / 2**n, C)."""

    block_expansion: int = 64
    num_down_blocks: int = 2
    max_features: int = 512
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = SameBlock(self.block_expansion, 2, 7, dtype=self.dtype, name="in_conv")(x, train)
        for i in range(self.num_down_blocks):
            width = level_width(self.block_expansion, self.max_features, i + 1)
            x = DownBlock(width, 2, self.dtype, name=f"down_blocks_{i}")(x, train)
        return x


class ForegroundMatting(nn.Module):
    """Masks, flow and matting image from the reference and F_app, at 1 / `step` of the picture's side.

    Attributes:
        features: width of the matting image, that of f_ref.
        step: picture's side / side at which the hourglass runs.
        align_corners: whether -1 and 1 are the centres of the outer pixels (the pinned torch 1.0.0) or their outer edges
            (the unchanged code under torch >= 1.3).
        flow_padding: see `shrink_flow`.
    """

    features: int
    step: int = 4
    block_expansion: int = 64
    num_blocks: int = 5
    max_features: int = 512
    align_corners: bool = True
    flow_padding: str = "zeros"
    dtype: Any = None

    @nn.compact
    def __call__(self, image: jax.Array, flow: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """image (B, H, W, 3), F_app (B, H, W, 2); outputs as in `VideoGenerator`, but for the picture's."""
        small_image = gaussian_downsample(image, 1 / self.step)
        small_flow = shrink_flow(flow, self.step, self.flow_padding)
        warped = grid_sample(small_image, small_flow, align_corners=self.align_corners)
        x = jnp.concatenate([small_image, small_flow.astype(image.dtype), warped], -1)
        x = Hourglass(
            self.block_expansion,
            self.num_blocks,
            self.max_features,
            final_block=False,
            dtype=self.dtype,
            name="hourglass",
        )(x, train)
        logits = {
            name: Conv(width, (7, 7), padding=3, dtype=self.dtype, name=name)(x)
            for name, width in (("foreground_mask", 1), ("matting_mask", 1), ("matting", self.features))
        }
        foreground = jax.nn.sigmoid(logits["foreground_mask"].astype(jnp.float32))
        identity = jnp.asarray(coordinate_grid(small_flow.shape[1:3]))
        return {
            "small_image": small_image,
            "small_flow": small_flow,
            "warped_image": warped,
            "foreground_mask": foreground,
            "flow": foreground * small_flow + (1 - foreground) * identity,
            "matting_mask": jax.nn.sigmoid(logits["matting_mask"].astype(jnp.float32)),
            "matting_image": logits["matting"],
        }


class Bottleneck(nn.Module):
    """Residual blocks at f_ref's size."""

    num_blocks: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        for i in range(self.num_blocks):
            x = ResBlock(2, self.dtype, name=f"bottleneck_{i}")(x, train)
        return x


class Decoder(nn.Module):
    """Feature (B, h, w, C) -> image (B, h 2**n, w 2**n, 3) in [0, 1], float32.

    Attributes:
        mixed: see `VideoGenerator`; `candidates` are then pictures (B, H, W, 3) to mix with what is drawn.
    """

    block_expansion: int = 64
    num_up_blocks: int = 2
    max_features: int = 512
    image_channels: int = 3
    mixed: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, candidates: tuple[jax.Array, ...] = ()
    ) -> jax.Array:
        for i in range(self.num_up_blocks):
            width = level_width(self.block_expansion, self.max_features, self.num_up_blocks - 1 - i)
            x = UpBlock(width, 2, self.dtype, name=f"up_blocks_{i}")(x, train)
        if self.mixed:
            x = jnp.concatenate([x, *(c.astype(x.dtype) for c in candidates)], -1)
            x = SameBlock(self.block_expansion, dtype=self.dtype, name="mix_block")(x, train)
        drawn = Conv(self.image_channels, (7, 7), padding=3, dtype=self.dtype, name="out_conv")(x)
        drawn = jax.nn.sigmoid(drawn.astype(jnp.float32))
        if not self.mixed:
            return drawn
        shares = Conv(1 + len(candidates), (3, 3), padding=1, dtype=self.dtype, name="mix")(x)
        shares = jax.nn.softmax(shares.astype(jnp.float32))
        return sum(
            shares[..., i : i + 1] * picture for i, picture in enumerate([drawn, *candidates])
        )  # of pictures in [0, 1]


class VideoGenerator(nn.Module):
    """G_vid: reference image and approximate dense flow -> frame (20,417,877 parameters at the released sizes).

    `encode` is needed once for a reference, `animate` once for a frame; calling the module does both.

    Attributes:
        block_expansion, num_down_blocks, max_features: the encoder; the decoder mirrors it. Everything between works at
            1 / 2**num_down_blocks of the picture's side.
        hourglass_expansion, hourglass_blocks, hourglass_max_features: of the foreground and matting network. The picture's
            sides must divide by 2**(num_down_blocks + hourglass_blocks).
        num_bottleneck_blocks: residual blocks before the decoder.
        align_corners, flow_padding: see `ForegroundMatting`.
        mixed: (ours, for small sizes) the picture is a mix, weighed anew at each pixel, of what the decoder draws, the
            reference warped by F at full size, and the reference as it is.
        colour_order: the order in which the weights know colours; pictures are RGB on both sides of the call. "bgr" for
            the authors' checkpoint, which was trained on pictures as OpenCV reads them.
    """

    block_expansion: int = 64
    num_down_blocks: int = 2
    max_features: int = 512
    hourglass_expansion: int = 64
    hourglass_blocks: int = 5
    hourglass_max_features: int = 512
    num_bottleneck_blocks: int = 2
    image_channels: int = 3
    align_corners: bool = True
    flow_padding: str = "zeros"
    mixed: bool = False
    colour_order: str = "rgb"
    dtype: Any = None

    def setup(self):
        if self.colour_order not in COLOUR_ORDERS:
            raise ValueError(f"colour_order {self.colour_order!r}: choose {' or '.join(COLOUR_ORDERS)}")
        sizes = (self.block_expansion, self.num_down_blocks, self.max_features)
        self.encoder = Encoder(*sizes, self.dtype)
        self.foreground_matting = ForegroundMatting(
            level_width(self.block_expansion, self.max_features, self.num_down_blocks),
            2**self.num_down_blocks,
            self.hourglass_expansion,
            self.hourglass_blocks,
            self.hourglass_max_features,
            self.align_corners,
            self.flow_padding,
            self.dtype,
        )
        self.bottleneck = Bottleneck(self.num_bottleneck_blocks, self.dtype)
        self.decoder = Decoder(*sizes, self.image_channels, self.mixed, self.dtype)

    def _colours(self, image: jax.Array) -> jax.Array:
        return image[..., ::-1] if self.colour_order == "bgr" else image

    def encode(self, reference: jax.Array, train: bool = False) -> jax.Array:
        """Reference image (B, H, W, 3), RGB in [0, 1] -> f_ref (B, h, w, C).

        Raises:
            ValueError: sides that the network cannot halve as often as it has to.
        """
        step = 2 ** (self.num_down_blocks + self.hourglass_blocks)
        if reference.shape[1] % step or reference.shape[2] % step:
            raise ValueError(f"this G_vid needs sides divisible by {step}, got an image {reference.shape}")
        return self.encoder(self._colours(reference), train)

    def animate(
        self, reference: jax.Array, feature: jax.Array, flow: jax.Array, train: bool = False
    ) -> dict[str, jax.Array]:
        """Reference (B, H, W, 3), f_ref from `encode`, F_app (B, H, W, 2) absolute in [-1, 1] -> a dict.

        `image` (B, H, W, 3) in [0, 1]; at the reduced size h x w: `foreground_mask` M_f and `matting_mask` M_m
        (B, h, w, 1), `flow` F = M_f F_app + (1 - M_f) identity (B, h, w, 2), `warped_image` (B, h, w, 3), `matting_image`
        g and `fused` (B, h, w, C), `small_image`, `small_flow`.
        """
        if flow.shape != (*reference.shape[:3], 2):
            raise ValueError(f"a flow of shape {flow.shape} does not fit images of shape {reference.shape}")
        made = self.foreground_matting(self._colours(reference), flow, train)
        warped = grid_sample(feature, made["flow"], align_corners=self.align_corners)
        mask = made["matting_mask"].astype(feature.dtype)
        fused = mask * warped + (1 - mask) * made["matting_image"]
        candidates = (
            self._candidates(self._colours(reference), flow, made["foreground_mask"]) if self.mixed else ()
        )
        image = self._colours(self.decoder(self.bottleneck(fused, train), train, candidates))
        for name in ("small_image", "warped_image"):
            made[name] = self._colours(made[name])
        return {**made, "fused": fused, "image": image}

    def _candidates(self, reference, flow, foreground) -> tuple[jax.Array, jax.Array]:
        """The reference warped by F at full size, and as it is."""
        foreground = resize_linear(foreground, reference.shape[1:3])
        identity = jnp.asarray(coordinate_grid(reference.shape[1:3]))
        full = foreground * flow + (1 - foreground) * identity
        return grid_sample(reference, full, "border", align_corners=self.align_corners), reference

    def __call__(self, reference: jax.Array, flow: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Reference (B, H, W, 3), F_app (B, H, W, 2) -> as `animate`."""
        return self.animate(reference, self.encode(reference, train), flow, train)
