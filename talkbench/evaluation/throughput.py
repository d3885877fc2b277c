"""How fast the evaluator is, by part, beside the usual stack where that is installed.

    python -m talkbench.evaluation.throughput [--clips 20] [--frames 100] [--size 256] [--parts pictures,lpips,fid,fan]

Ours: picture metrics, LPIPS (vgg), the FID network and FAN's network, with weights drawn at random (they take as
long as any), as many frames at once as the judges of `score` take. The usual stack, each part where its packages can be
imported: torchmetrics, lpips, pytorch-fid and face-alignment on torch; the last two bring their weights from their
publishers. Both sides see the same made-up frames, by turns, each turn in a process that has the machine to itself
(ours is set up as `score`'s); its first clip warms up (compiling is ours to pay, and shown) and is not timed.
"""

import argparse
import importlib
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import jax
import numpy as np

from talkbench.batches import in_batches
from talkbench.evaluators import fan, inception, lpips
from talkbench.metrics import batched
from talkbench.training.process import set_up

PARTS = ("pictures", "lpips", "fid", "fan")
KEYS = ("l1", "psnr", "ssim", "ms_ssim")
BATCH = 8
TURNS = 2  # of each side
Part = Callable[[np.ndarray, np.ndarray], object]  # of the real and the generated frames of one clip


def clip(number: int, frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 (T, size, size, 3): waves, and the same with noise."""
    rng = np.random.default_rng(number)
    x = np.arange(size) / size * 9
    phase = np.arange(frames)[:, None, None] / 7 + number
    real = 128 + 90 * np.sin(x[:, None] + phase) * np.cos(x[None, :] - phase)
    real = np.repeat(real[..., None], 3, -1)
    noise = rng.integers(-9, 10, real.shape)
    return real.astype(np.uint8), np.clip(real + noise, 0, 255).astype(np.uint8)


def drawn(shapes, seed: int = 0):
    """Variables of these shapes: kernels of unit gain, statistics that leave signals as they are."""
    rng = np.random.default_rng(seed)

    def leaf(path, shape):
        name = path[-1].key
        if name in ("var", "scale"):
            return np.ones(shape.shape, np.float32)
        if name in ("mean", "bias"):
            return np.zeros(shape.shape, np.float32)
        gain = np.sqrt(2 / max(1, np.prod(shape.shape[:-1])))
        return (rng.standard_normal(shape.shape, np.float32) * gain).astype(np.float32)

    return jax.device_put(jax.tree_util.tree_map_with_path(leaf, shapes))


def _batches(frames: np.ndarray):
    """Blocks of one length; the last is filled up."""
    for start in range(0, len(frames), BATCH):
        part = frames[start : start + BATCH]
        yield np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), 0)])


def ours() -> dict[str, Callable[[], Part]]:
    """{part: what makes it}."""

    def pictures():
        return lambda real, fake: batched.score(real, fake, KEYS)

    def perceptual():
        variables, distance = drawn(lpips.abstract("vgg")), jax.jit(lpips.distance, static_argnames="net")
        look = lambda pair: distance(variables, pair[:, 0], pair[:, 1], net="vgg")  # noqa: E731
        return lambda real, fake: in_batches(look, BATCH, np.stack([real, fake], 1))

    def fid():
        variables, look = drawn(inception.abstract()), jax.jit(inception.features, static_argnames="variant")
        see = lambda frames: look(variables, frames, variant="fid")  # noqa: E731
        return lambda real, fake: [in_batches(see, BATCH, side) for side in (real, fake)]

    def landmarks():
        variables = drawn(fan.abstract())
        look = lambda crops: fan.peaks(np.asarray(fan.heatmaps(variables, crops)))  # noqa: E731
        return lambda real, fake: [in_batches(look, BATCH, side) for side in (real, fake)]

    return {"pictures": pictures, "lpips": perceptual, "fid": fid, "fan": landmarks}


def theirs() -> dict[str, Callable[[], Part]]:
    """The same parts of the usual stack; making one raises where something isn't installed."""
    load = importlib.import_module  # torch is never a requirement of this package

    def tensor(torch, frames):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float()

    def on_device(torch, net):
        return net.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def pictures():
        torch, image = load("torch"), load("torchmetrics.functional.image")

        def run(real, fake):
            for a, b in zip(_batches(real), _batches(fake)):
                x, y = tensor(torch, a) / 255, tensor(torch, b) / 255
                (x - y).abs().mean()
                image.peak_signal_noise_ratio(y, x, data_range=1.0)
                image.structural_similarity_index_measure(y, x, data_range=1.0)
                image.multiscale_structural_similarity_index_measure(y, x, data_range=1.0).cpu()

        return run

    def perceptual():
        torch = load("torch")
        net = on_device(
            torch, load("lpips").LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
        )

        def run(real, fake):
            with torch.no_grad():
                for a, b in zip(_batches(real), _batches(fake)):
                    net(tensor(torch, a) / 127.5 - 1, tensor(torch, b) / 127.5 - 1).cpu()

        return run

    def fid():
        torch = load("torch")
        net = on_device(torch, load("pytorch_fid.inception").InceptionV3())

        def run(real, fake):
            with torch.no_grad():
                for side in (real, fake):
                    for block in _batches(side):
                        net(tensor(torch, block) / 255)[0].cpu()

        return run

    def landmarks():
        torch, package = load("torch"), load("face_alignment")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        found = package.FaceAlignment(package.LandmarksType.TWO_D, device=device, flip_input=False)

        def run(real, fake):
            with torch.no_grad():
                for side in (real, fake):
                    for block in _batches(side):
                        found.face_alignment_net(tensor(torch, block) / 255).cpu()

        return run

    return {"pictures": pictures, "lpips": perceptual, "fid": fid, "fan": landmarks}


@dataclass(frozen=True)
class Turn:
    """What a process took: seconds of its first clip and of those after it; its peak memory in MiB."""

    first: float
    seconds: float
    peak: float


def turn(side: str, name: str, clips: Sequence[int], frames: int, size: int) -> Turn:
    """One part of "ours" or of the "usual" stack over these clips, in a new process; raises what the part raises."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=set_up if side == "ours" else None) as pool:
        return pool.submit(_timed, side, name, clips, frames, size).result()


def _timed(side, name, clips, frames, size) -> Turn:
    part, spent = {"ours": ours, "usual": theirs}[side]()[name](), []
    for number in (-1, *clips):
        pair = clip(number + 1, frames, size)
        started = time.perf_counter()
        part(*pair)
        spent.append(time.perf_counter() - started)
    return Turn(spent[0], sum(spent[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--parts", default=",".join(PARTS))
    args = parser.parse_args(argv)
    parts = [name.strip() for name in args.parts.split(",")]
    if strange := [name for name in parts if name not in PARTS]:
        parser.error(f"no part {strange[0]!r}; there are {', '.join(PARTS)}")
    if "fan" in parts and args.size != fan.CROP:
        parser.error(f"FAN works at {fan.CROP} px: --size {fan.CROP}, or leave fan out of --parts")
    for name in ("clips", "frames"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)}: at least 1 is needed")
    print(f"{args.clips} clips of {args.frames} frames at {args.size} px", flush=True)
    shares = [range(start, args.clips, TURNS) for start in range(min(TURNS, args.clips))]
    compared, peak = [], 0.0
    for name in parts:
        mine, others, missing = [], [], ""
        for clips in shares:
            mine.append(turn("ours", name, clips, args.frames, args.size))
            try:
                others += [] if missing else [turn("usual", name, clips, args.frames, args.size)]
            except Exception as error:  # not installed, or no network for its weights: said, and passed over
                missing = str(error).splitlines()[0]
        peak = max(peak, *(t.peak for t in mine))
        seconds, theirs_took = (sum(t.seconds for t in turns) for turns in (mine, others))
        rate = args.clips * args.frames / seconds
        print(
            f"{name:9} ours {seconds:8.2f} s, {rate:8.1f} pairs/s, first clip {mine[0].first:.2f} s",
            flush=True,
        )
        if missing:
            print(f"{name:9} usual stack: not here ({missing})", flush=True)
            continue
        compared.append((seconds, theirs_took))
        print(f"{name:9} usual stack {theirs_took:8.2f} s, ratio {theirs_took / seconds:.2f}", flush=True)
    print(f"peak memory of ours {peak:.0f} MiB")
    if compared:
        ours_all, theirs_all = map(sum, zip(*compared))
        print(
            f"together: ours {ours_all:.2f} s, usual stack {theirs_all:.2f} s, ratio {theirs_all / ours_all:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
