"""The networks of face-vid2vid (paper section 3; layers as in the published `vox-256` reimplementation).

Images are (B, H, W, 3) in [0, 1]; keypoints (B, K, 3), coordinates (x, y, z) = (width, height, depth) in [-1,
1]; feature volumes (B, D, h, w, C). Coordinate grids are corner aligned, but every sampling is not
(`align_corners=False`): an identity grid is not quite an identity warp. Published weights are trained with
that, so it is kept.

All defaults are the published sizes. `train=True` uses batch statistics and takes a power iteration in each
spectrally normalised layer; apply with `mutable=["batch_stats"]` to keep them.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.blocks import BottleneckBlock, DownBlock, ResBlock, SameBlock, UpBlock, pyramid
from talkbench.nn.conv import Conv, Linear
from talkbench.nn.discriminator import PatchDiscriminator
from talkbench.nn.hourglass import Hourglass, level_width
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import avg_pool, global_avg_pool, max_pool
from talkbench.nn.resize import gaussian_downsample, resize_linear, upsample_nearest
from talkbench.nn.spade import SpadeBlock
from talkbench.nn.warp import computed, coordinate_grid, grid_sample, shift_volumes

NUM_BINS = 66  # bins of 3 degrees for each head angle


def to_volume(x: jax.Array, depth: int) -> jax.Array:
    """(B, h, w, C D) -> (B, D, h, w, C); the published channel order is C major."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, c // depth, depth).transpose(0, 4, 1, 2, 3)


def from_volume(x: jax.Array) -> jax.Array:
    """(B, D, h, w, C) -> (B, h, w, C D), C major."""
    b, d, h, w, c = x.shape
    return x.transpose(0, 2, 3, 4, 1).reshape(b, h, w, c * d)


def space_to_depth(x: jax.Array, patch: int) -> jax.Array:
    """(B, H, W, C) -> (B, H/patch, W/patch, patch patch C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch, patch, w // patch, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // patch, w // patch, patch * patch * c)


def depth_to_space(x: jax.Array, patch: int) -> jax.Array:
    """The inverse of `space_to_depth`."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, patch, patch, c // patch**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * patch, w * patch, c // patch**2)


class KeypointDetector(nn.Module):
    """L: canonical keypoints of the source image (paper section 3.1; 41,940,047 parameters).

    Attributes:
        scale_factor: anti-aliased reduction of the image before the network (the beta weights use 1).
        depth: depth D of the keypoint volume.
        kp_window: window of the last convolution (7 in the paper).
        temperature: of the softmax over all voxels.
    """

    num_keypoints: int = 15
    block_expansion: int = 32
    max_features: int = 1024
    num_blocks: int = 5
    depth: int = 16
    scale_factor: float = 0.25
    kp_window: int = 3
    temperature: float = 0.1
    dtype: Any = None

    @nn.compact
    def __call__(self, image: jax.Array, train: bool = False) -> jax.Array:
        """image (B, H, W, 3) -> (B, K, 3) float32. Sides must divide by 2**num_blocks / scale_factor."""
        x = gaussian_downsample(image, self.scale_factor)
        self.sow("intermediates", "down", x)
        step = 2**self.num_blocks
        if x.shape[1] % step or x.shape[2] % step:
            multiple = round(step / self.scale_factor)
            raise ValueError(f"the keypoint detector needs sides divisible by {multiple}, got {image.shape}")
        for i in range(self.num_blocks):
            width = level_width(self.block_expansion, self.max_features, i + 1)
            x = DownBlock(width, 2, self.dtype, name=f"predictor_down_blocks_{i}")(x, train)
        x = Conv(x.shape[-1] * self.depth, (1, 1), dtype=self.dtype, name="predictor_conv")(x)
        x = to_volume(x, self.depth)
        for i in range(self.num_blocks):
            width = level_width(self.block_expansion, self.max_features, self.num_blocks - 1 - i)
            x = UpBlock(width, 3, self.dtype, name=f"predictor_up_blocks_{i}")(x, train)
        window = (self.kp_window,) * 3
        logits = Conv(self.num_keypoints, window, padding=self.kp_window // 2, dtype=self.dtype, name="kp")(x)
        b, *size, k = logits.shape
        heat = jax.nn.softmax(logits.astype(jnp.float32).reshape(b, -1, k) / self.temperature, 1)
        grid = coordinate_grid(size).reshape(-1, 3)
        return jnp.einsum("bvk,vc->bkc", heat, grid, precision=jax.lax.Precision.HIGHEST)


class HeadExpressionEstimator(nn.Module):
    """H and Delta: head pose and expression of a frame (paper section 3.1; 30,254,838 parameters).

    Attributes:
        widths: after conv1 to conv5.
        blocks: residual blocks at each of the last four widths.
        dense: 0, or, for small models, the width of a dense layer on the whole last map of a plain `nn.blocks.pyramid`
            of `widths`, which takes the place of the published ResNet and its average: an average forgets where
            things are. The picture's size is then fixed by the first call.
    """

    num_keypoints: int = 15
    widths: Sequence[int] = (64, 256, 512, 1024, 2048)
    blocks: Sequence[int] = (3, 3, 5, 2)
    dense: int = 0
    num_bins: int = NUM_BINS
    dtype: Any = None

    @nn.compact
    def __call__(self, image: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """image (B, H, W, 3) -> yaw, pitch, roll logits (B, 66), t (B, 3), exp (B, 3K), float32."""
        x = self._dense(image, train) if self.dense else self._average(image, train)
        # The published layers are misnamed: what is used as yaw comes from `fc_roll` and the other way round.
        heads = {"yaw": "fc_roll", "pitch": "fc_pitch", "roll": "fc_yaw"}
        pose = {angle: Linear(self.num_bins, name=layer)(x) for angle, layer in heads.items()}
        pose["t"] = Linear(3, name="fc_t")(x)
        pose["exp"] = Linear(3 * self.num_keypoints, name="fc_exp")(x)
        return pose

    def _average(self, image, train):
        x = Conv(self.widths[0], (7, 7), stride=2, padding=3, dtype=self.dtype, name="conv1")(image)
        x = nn.relu(BatchNorm(name="norm1")(x, train))
        x = max_pool(x, (3, 3), (2, 2), (1, 1))
        self.sow("intermediates", "maxpool", x)
        for level, (width, count) in enumerate(zip(self.widths[1:], self.blocks, strict=True)):
            x = Conv(width, (1, 1), dtype=self.dtype, name=f"conv{level + 2}")(x)
            x = nn.relu(BatchNorm(name=f"norm{level + 2}")(x, train))
            if level:
                x = BottleneckBlock(2, self.dtype, name=f"block{2 * level}")(x, train)
            for i in range(count):
                x = BottleneckBlock(1, self.dtype, name=f"block{2 * level + 1}_{i}")(x, train)
        return global_avg_pool(x.astype(jnp.float32))

    def _dense(self, image, train):
        x = pyramid(image - 0.5, self.widths, train, self.dtype)[-1]
        x = Conv(self.widths[-1] // 2, (1, 1), dtype=self.dtype, name="squeeze")(x)
        x = x.astype(jnp.float32).reshape(len(x), -1)
        return nn.relu(Linear(self.dense, name="dense")(x))


def gaussian_heatmaps(keypoints: jax.Array, size: Sequence[int], variance: float = 0.01) -> jax.Array:
    """Unnormalised Gaussians around keypoints (B, K, 3) on a grid of `size` (D, H, W): (B, D, H, W, K)."""
    squares = 0.0
    for axis, n in enumerate(size):
        line = jnp.linspace(-1, 1, n)
        distance = (line[None, :, None] - keypoints[:, None, :, 2 - axis]) ** 2
        shape = [keypoints.shape[0], 1, 1, 1, keypoints.shape[1]]
        shape[1 + axis] = n
        squares = squares + distance.reshape(shape)
    return jnp.exp(-0.5 * squares / variance)


def sparse_motions(
    source: jax.Array, driving: jax.Array, size: Sequence[int], jacobian: jax.Array | None = None
) -> jax.Array:
    """Backward flows of K keypoints and the background (index 0, identity) on a corner-aligned grid.

    flow_k(p) = J (p - driving_k) + source_k.

    Args:
        source, driving: keypoints (B, K, 3).
        size: (D, H, W).
        jacobian: (B, 3, 3), the rotation R_s R_d^-1 of the paper, or None for the identity (published
            weights).

    Returns:
        (B, D, H, W, K + 1, 3) float32.
    """
    grid = jnp.asarray(coordinate_grid(size))[None, :, :, :, None]
    offset = grid - driving[:, None, None, None]
    if jacobian is not None:
        offset = jnp.einsum("bij,bdhwkj->bdhwki", jacobian, offset, precision=jax.lax.Precision.HIGHEST)
    flows = offset + source[:, None, None, None]
    identity = jnp.broadcast_to(grid, (*flows.shape[:4], 1, 3))
    return jnp.concatenate([identity, flows], -2)


class DenseMotion(nn.Module):
    """M: feature volume and two sets of keypoints -> deformation and occlusion (paper section 3.2).

    Attributes:
        compress: channels to which the volume is reduced before it is warped K + 1 times.
        mask_threshold: mask values below it become 0 without renormalising (1e-3 in SadTalker).
        entry_channels: 0, or the width to which heat maps and warped volumes are mixed before the hourglass (small
            models: without it the hourglass's last convolution is most of the whole network's work).
    """

    num_keypoints: int = 15
    block_expansion: int = 32
    max_features: int = 1024
    num_blocks: int = 5
    compress_channels: int = 4
    mask_window: int = 7
    entry_channels: int = 0
    variance: float = 0.01
    mask_threshold: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        volume: jax.Array,
        source: jax.Array,
        driving: jax.Array,
        jacobian: jax.Array | None = None,
        train: bool = False,
    ) -> dict[str, jax.Array]:
        """volume (B or 1, D, h, w, C), keypoints (B, K, 3) of both, `jacobian` as in `sparse_motions`.

        Returns `mask` (B, D, h, w, K+1), `deformation` (B, D, h, w, 3), `occlusion` (B, h, w, 1), and what
        led to them: `sparse_motions` (B, D, h, w, K+1, 3), `deformed` (B, D, h, w, K+1, compress_channels),
            `heatmaps` (B, D, h, w, K+1).
        """
        size = volume.shape[1:4]
        x = Conv(self.compress_channels, (1, 1, 1), dtype=self.dtype, name="compress")(volume)
        x = BatchNorm(name="norm")(x, train)
        flows = sparse_motions(source, driving, size, jacobian)
        shifts = jnp.pad(source - driving, ((0, 0), (1, 0), (0, 0)))
        deformed = shift_volumes(nn.relu(x), shifts) if jacobian is None else grid_sample(nn.relu(x), flows)
        heat = gaussian_heatmaps(driving, size, self.variance) - gaussian_heatmaps(
            source, size, self.variance
        )
        heat = jnp.pad(heat, ((0, 0),) * 4 + ((1, 0),))
        x = jnp.concatenate([heat[..., None].astype(deformed.dtype), deformed], -1)
        x = x.reshape(*x.shape[:4], -1)
        if self.entry_channels:
            x = Conv(self.entry_channels, (1, 1, 1), dtype=self.dtype, name="entry")(x)
        hourglass = Hourglass(
            self.block_expansion, self.num_blocks, self.max_features, 3, dtype=self.dtype, name="hourglass"
        )
        x = hourglass(x, train)
        window, padding = (self.mask_window,) * 3, self.mask_window // 2
        logits = Conv(self.num_keypoints + 1, window, padding=padding, dtype=self.dtype, name="mask")(x)
        mask = flow_mask(logits, self.mask_threshold)
        occlusion = Conv(1, window[1:], padding=padding, dtype=self.dtype, name="occlusion")(from_volume(x))
        return {
            "mask": mask,
            "deformation": combine_shifts(mask, shifts) if jacobian is None else combine_flows(mask, flows),
            "occlusion": jax.nn.sigmoid(occlusion.astype(jnp.float32)),
            "sparse_motions": flows,
            "deformed": deformed,
            "heatmaps": heat,
        }


def flow_mask(logits: jax.Array, threshold: float = 0.0) -> jax.Array:
    """Softmax over the last axis (the flows), float32; values below `threshold` become 0 and stay lost."""
    mask = jax.nn.softmax(logits.astype(jnp.float32), -1)
    return jnp.where(mask < threshold, 0.0, mask) if threshold else mask


def combine_flows(mask: jax.Array, flows: jax.Array) -> jax.Array:
    """mask (B, D, h, w, K+1) and flows (B, D, h, w, K+1, 3) -> their weighted sum (B, D, h, w, 3)."""
    return (mask[..., None] * flows).sum(-2)


def combine_shifts(mask: jax.Array, shifts: jax.Array) -> jax.Array:
    """`combine_flows` where every flow is the grid plus a constant: mask (B, D, h, w, K+1), shifts (B, K+1, 3)."""
    grid = coordinate_grid(mask.shape[1:4]) * mask.sum(-1, keepdims=True)
    return grid + jnp.einsum("bdhwk,bkc->bdhwc", mask, shifts, precision=jax.lax.Precision.HIGHEST)


class SpadeDecoder(nn.Module):
    """The published decoder: SPADE blocks steered by their own input feature. (B, h, w, C) -> image in [0,
    1].

    Attributes:
        widths: of the middle blocks, then after each doubling of the size.
        num_middle: blocks before the first doubling.
        hidden: width of the SPADE convolutions.
    """

    widths: Sequence[int] = (512, 256, 64)
    num_middle: int = 6
    hidden: int = 128
    image_channels: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, feature: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(self.widths[0], (3, 3), padding=1, dtype=self.dtype, name="fc")(feature)
        for i in range(self.num_middle):
            name = f"G_middle_{i}"
            x = SpadeBlock(self.widths[0], self.hidden, self.dtype, name=name)(x, feature, train)
        for i, width in enumerate(self.widths[1:]):
            x = upsample_nearest(x, (2, 2))
            x = SpadeBlock(width, self.hidden, self.dtype, name=f"up_{i}")(x, feature, train)
        x = nn.leaky_relu(x, 0.2)
        x = Conv(self.image_channels, (3, 3), padding=1, dtype=self.dtype, name="conv_img")(x)
        return jax.nn.sigmoid(x.astype(jnp.float32))


class Generator(nn.Module):
    """F, M and G: source image and keypoints -> driven image (paper sections 3.1 to 3.3).

    `appearance` (F) is needed once for a source image; `animate` (M and the decoder) once for a frame;
    calling the module does both.

    Attributes:
        decoder: "spade" (published weights, 100,988,176 parameters) or "plain" (the beta weights and the
            paper, 53,101,392).
        block_expansion, max_features, num_down_blocks: the 2-D encoder; the feature volume has the image's
            size / 2**num_down_blocks.
        volume_channels, depth: C and D of the feature volume.
        volume_resblocks, num_resblocks: of the volume's 3-D, and of the plain decoder's 2-D residual blocks.
        motion_scale: side of the feature volume / side at which dense motion runs (1 in all published
            settings).
        motion_expansion, motion_max_features, motion_blocks: the dense motion's hourglass; the volume's sides
            / motion_scale must divide by 2**motion_blocks.
        spade_widths: middle width and the width after each doubling; as many doublings as `num_down_blocks`.
        mask_threshold: 1e-3 for SadTalker's weights.
        patch: side of the squares of pixels that are handled as one of `patch`^2 times the channels, at the input and
            at the plain decoder's output (1 in all published settings; 2 saves small models their full-size layers).
    """

    decoder: str = "spade"
    num_keypoints: int = 15
    image_channels: int = 3
    block_expansion: int = 64
    max_features: int = 512
    num_down_blocks: int = 2
    volume_channels: int = 32
    depth: int = 16
    volume_resblocks: int = 6
    num_resblocks: int = 6
    motion_scale: int = 1
    motion_expansion: int = 32
    motion_max_features: int = 1024
    motion_blocks: int = 5
    compress_channels: int = 4
    mask_window: int = 7
    mask_threshold: float = 0.0
    entry_channels: int = 0
    spade_widths: Sequence[int] = (512, 256, 64)
    spade_middle: int = 6
    spade_hidden: int = 128
    patch: int = 1
    dtype: Any = None

    def setup(self):
        if self.decoder not in ("spade", "plain"):
            raise ValueError(f"decoder {self.decoder!r}: choose spade or plain")
        d = self.dtype
        widths = [
            level_width(self.block_expansion, self.max_features, i) for i in range(self.num_down_blocks + 1)
        ]
        spade = self.decoder == "spade"
        window = 3 if spade or self.patch > 1 else 7
        if spade and self.patch > 1:
            raise ValueError("patch > 1 goes with the plain decoder")
        self.first = SameBlock(self.block_expansion, 2, window, dtype=d)
        self.down_blocks = [DownBlock(width, 2, d) for width in widths[1:]]
        self.second = Conv(self.volume_channels * self.depth, (1, 1), dtype=d)
        self.resblocks_3d = [ResBlock(3, d) for _ in range(self.volume_resblocks)]
        self.dense_motion_network = DenseMotion(
            self.num_keypoints,
            self.motion_expansion,
            self.motion_max_features,
            self.motion_blocks,
            self.compress_channels,
            self.mask_window,
            self.entry_channels,
            mask_threshold=self.mask_threshold,
            dtype=d,
        )
        self.third = SameBlock(widths[-1], 2, 3, slope=0.01, dtype=d)
        self.fourth = Conv(widths[-1], (1, 1), dtype=d)
        if spade:
            if len(self.spade_widths) != self.num_down_blocks + 1:
                raise ValueError(
                    f"spade_widths {self.spade_widths} should be {self.num_down_blocks + 1} numbers"
                )
            # `decoder` is the published key and also the field's name, hence the explicit one here
            self.spade_decoder = SpadeDecoder(
                tuple(self.spade_widths), self.spade_middle, self.spade_hidden, self.image_channels, d
            )
        else:
            self.resblocks_2d = [ResBlock(2, d) for _ in range(self.num_resblocks)]
            self.up_blocks = [UpBlock(width, 2, d) for width in widths[-2::-1]]
            self.final = Conv(
                self.image_channels * self.patch**2, (window, window), padding=window // 2, dtype=d
            )

    def appearance(self, source_image: jax.Array, train: bool = False) -> jax.Array:
        """F: source image (B, H, W, 3) -> feature volume (B, D, h, w, C)."""
        x = self.first(space_to_depth(source_image, self.patch), train)
        for block in self.down_blocks:
            x = block(x, train)
        x = self.second(x)
        x = to_volume(x, self.depth)
        for block in self.resblocks_3d:
            x = block(x, train)
        return x

    def animate(
        self,
        volume: jax.Array,
        source: jax.Array,
        driving: jax.Array,
        jacobian: jax.Array | None = None,
        train: bool = False,
    ) -> dict[str, jax.Array]:
        """Volume (B, D, h, w, C), keypoints -> `prediction` (B, H, W, 3) and dense motion's outputs.

        One volume (and one set of source keypoints) goes with any number of driving ones.
        """
        size = volume.shape[1:4]
        reduced = (
            avg_pool(volume, (1, self.motion_scale, self.motion_scale)) if self.motion_scale > 1 else volume
        )
        motion = self.dense_motion_network(reduced, source, driving, jacobian, train)
        deformation = resize_linear(motion["deformation"], size)
        occlusion = resize_linear(motion["occlusion"], size[1:])
        warped = computed(grid_sample(volume, deformation))
        self.sow("intermediates", "warped_3d", warped)
        x = self.fourth(self.third(from_volume(warped), train))
        x = x * occlusion.astype(x.dtype)
        return {"prediction": self.decode(x, train), **motion}

    def decode(self, x: jax.Array, train: bool = False) -> jax.Array:
        """The 2-D decoder: warped feature (B, h, w, C) -> image (B, H, W, 3) in [0, 1]."""
        if self.decoder == "spade":
            return self.spade_decoder(x, train)
        for block in self.resblocks_2d:
            x = block(x, train)
        for block in self.up_blocks:
            x = block(x, train)
        return jax.nn.sigmoid(depth_to_space(self.final(x), self.patch).astype(jnp.float32))

    def __call__(
        self,
        source_image: jax.Array,
        source: jax.Array,
        driving: jax.Array,
        jacobian: jax.Array | None = None,
        train: bool = False,
    ) -> dict[str, jax.Array]:
        """Source image (B, H, W, 3), keypoints (B, K, 3) of both -> as `animate`, plus `volume`."""
        volume = self.appearance(source_image, train)
        return {**self.animate(volume, source, driving, jacobian, train), "volume": volume}


class Discriminator(nn.Module):
    """Patch discriminators on reductions of the image (2,758,849 parameters at one scale).

    Returns for each scale (feature maps, scores), finest first.
    """

    scales: Sequence[float] = (1.0,)
    block_expansion: int = 32
    num_blocks: int = 4
    max_features: int = 512
    dtype: Any = None

    @nn.compact
    def __call__(self, image: jax.Array, train: bool = False) -> list[tuple[list[jax.Array], jax.Array]]:
        outputs = []
        for scale in self.scales:
            name = f"discs_{scale:g}".replace(".", "-")
            disc = PatchDiscriminator(
                self.block_expansion, self.num_blocks, self.max_features, dtype=self.dtype, name=name
            )
            outputs.append(disc(gaussian_downsample(image, scale), train))
        return outputs
