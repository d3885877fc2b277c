"""What the non-identity encoder's pictures go through in training, so that they tell pose and speech but not identity.

Published numbers are for pictures of 224 px; for others they are scaled. Frames are uint8 (T, H, W, 3) RGB, square.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SIZE = 224
_SHARPEN = np.array([[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]], np.float32)


@dataclass(frozen=True)
class Change:
    """One clip's augmentation: drawn once, the same for all of its frames (but for the blur's window).

    Attributes:
        gain: of the channels `channels[0]` .. `channels[1] - 1`. order: of the channels ("shuffle").
        squeeze, extend: r and e of the stretching, px. narrow: squeeze the width (else the height).
        slant, reach: p and g of the perspective, px.
        sharpen: sharpen, else blur.
    """

    gain: float = 1.0
    channels: tuple[int, int] = (0, 3)
    order: tuple[int, int, int] = (0, 1, 2)
    squeeze: int = 0
    extend: int = 0
    narrow: bool = True
    slant: int = 0
    reach: int = 0
    sharpen: bool = False


def draw(rng: np.random.Generator, colour: str = "gain") -> Change:
    """A random change, in pixels of a 224-px picture.

    Args:
        colour: "gain" (published code: neighbouring channels times U(0.3, 1.6)), "shuffle" (paper, through a review: the
            order of the channels changes) or "none".
    """
    gain, channels, order = 1.0, (0, 3), (0, 1, 2)
    if colour == "gain":
        gain, start = float(rng.uniform(0.3, 1.6)), int(rng.integers(0, 2))
        channels = start, int(rng.integers(start + 1, 4))
    elif colour == "shuffle":
        order = tuple(int(i) for i in rng.permutation(3))
    elif colour != "none":
        raise ValueError(f"colour {colour!r}: there are gain, shuffle, none")
    squeeze = int(rng.integers(15, 25))
    extend = int(rng.integers(0, squeeze // 2))
    slant = int(rng.integers(20, 30)) * int(rng.choice((-1, 1)))
    reach = int(rng.integers(20, 40)) * int(rng.choice((-1, 1)))
    return Change(
        gain, channels, order, squeeze, extend, bool(rng.integers(2)), slant, reach, bool(rng.integers(2))
    )


def recolour(frames: np.ndarray, gain: float, channels: tuple[int, int], order=(0, 1, 2)) -> np.ndarray:
    """Channels in another order, then some of them times `gain`."""
    made = frames[..., list(order)]
    part = slice(*channels)
    made[..., part] = np.clip(made[..., part].astype(np.float32) * gain, 0, 255).astype(np.uint8)
    return made


def reshape(frame: np.ndarray, change: Change) -> np.ndarray:
    """Stretch one axis against the other, then make a trapezoid; the size stays."""
    side = len(frame)
    scaled = lambda value: round(value * side / SIZE)  # noqa: E731
    stretched = stretch(frame, scaled(change.squeeze), scaled(change.extend), change.narrow)
    return perspective(stretched, scaled(change.slant), scaled(change.reach), side)


def stretch(frame: np.ndarray, squeeze: int, extend: int, narrow: bool = True) -> np.ndarray:
    """(H, W, 3) -> (H + 2 extend, W + 2 extend, 3): width less by 2 `squeeze` and mirrored out again, height more and cut.

    Not `narrow`: width and height change places.
    """
    if not narrow:
        turned = stretch(np.ascontiguousarray(frame.swapaxes(0, 1)), squeeze, extend)
        return np.ascontiguousarray(turned.swapaxes(0, 1))
    height, width = frame.shape[:2]
    made = cv2.resize(frame, (width - 2 * squeeze, height + 2 * squeeze))
    margin = squeeze + extend
    made = cv2.copyMakeBorder(made, 0, 0, margin, margin, cv2.BORDER_REFLECT_101)
    return made[squeeze - extend : height + squeeze + extend]


def perspective_matrix(height: int, width: int, slant: float, reach: float) -> np.ndarray:
    """The 3x3 map whose lower edge is shorter by `slant` at each end than the upper one; corners lie `reach` px outside."""
    bottom, right = width + reach, height + reach
    source = [(-reach, -reach), (-reach, bottom), (right, -reach), (right, bottom)]
    target = [(-reach, -reach), (-reach + slant, bottom), (right, -reach), (right - slant, bottom)]
    return cv2.getPerspectiveTransform(np.float32(source), np.float32(target))


def perspective(frame: np.ndarray, slant: float, reach: float, side: int = SIZE) -> np.ndarray:
    """A trapezoid of the picture, (side, side, 3); borders are repeated."""
    matrix = perspective_matrix(*frame.shape[:2], slant, reach)
    return cv2.warpPerspective(frame, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)


def finish(frame: np.ndarray, change: Change, rng: np.random.Generator) -> np.ndarray:
    """Sharpened, or blurred by a median whose window `rng` draws for each frame anew."""
    return sharpen(frame) if change.sharpen else blur(frame, int(rng.choice((3, 5, 7, 9))))


def blur(frame: np.ndarray, window: int) -> np.ndarray:
    """Median over `window` px of a 224-px picture (at least 3 of this one)."""
    return cv2.medianBlur(frame, max(3, 2 * round((window * len(frame) / SIZE - 1) / 2) + 1))


def sharpen(frame: np.ndarray) -> np.ndarray:
    """9 times the pixel less its eight neighbours."""
    return cv2.filter2D(frame, -1, _SHARPEN)
