"""Cost of a transmitted clip."""


def bits_per_pixel(size_bytes: float, frames: int, height: int, width: int) -> float:
    """8 bytes / (T H W); the bytes are all that is sent, the key frame included."""
    return 8 * float(size_bytes) / (int(frames) * int(height) * int(width))


def kilobits_per_second(size_bytes: float, frames: int, fps: float) -> float:
    """8 bytes / 1000 per second of video at `fps`."""
    return 8 * float(size_bytes) / 1000 / (int(frames) / float(fps))
