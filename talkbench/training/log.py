"""What a run writes and prints: `metrics.jsonl`, TensorBoard scalars and pictures, a progress bar or plain lines."""

import json
import math
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from talkbench.atomic import write_bytes


class Log:
    """The log of one stage; only process 0 writes (`active`).

    Args:
        folder: gets `metrics.jsonl`, `tensorboard/` and `samples/`.
        title: what the progress bar says.
        start: step the run begins at; older lines of `metrics.jsonl` past it are dropped, so that a resumed run
            leaves the same file as an uninterrupted one.
        steps: the last step.
    """

    def __init__(self, folder: Path, title: str, start: int, steps: int, active: bool = True):
        self.folder, self.active, self.title = Path(folder), active, title
        self._last, self._steps = (start, time.monotonic()), steps
        self._progress = None
        if not active:
            return
        from tensorboardX import SummaryWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / "metrics.jsonl"
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        write_bytes(self._file, "".join(line + "\n" for line in lines if _step(line) <= start).encode())
        self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=start + 1)
        if sys.stdout.isatty():
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[loss]}"),
                console=Console(),
            )
            self._task = self._progress.add_task(title, total=steps, completed=start, speed="", loss="")
            self._progress.start()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write one line of figures (six digits; null where not finite) and show the total."""
        if not self.active:
            return
        values = {name: float(value) for name, value in values.items()}
        shown = {name: float(f"{v:.6g}") if math.isfinite(v) else None for name, v in values.items()}
        with self._file.open("a") as file:
            file.write(json.dumps({"step": step, **shown}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        (before, then), now = self._last, time.monotonic()
        self._last = step, now
        speed = (step - before) / max(now - then, 1e-9)
        if self._progress:
            self._progress.update(
                self._task,
                completed=step,
                speed=f"{speed:.1f} steps/s",
                loss=f"loss {values['generator']:.3f}",
            )
        else:
            left = (self._steps - step) / max(speed, 1e-9)
            print(
                f"{self.title}: step {step}/{self._steps}  loss {values['generator']:.4f}  {speed:.2f} steps/s"
                f"  {left / 60:.1f} min left",
                flush=True,
            )

    def images(self, step: int, images: np.ndarray) -> None:
        """Write a sample grid: (rows, columns, H, W, 3) in [0, 1] -> `samples/STEP.png`, and to TensorBoard."""
        if not self.active:
            return
        images = np.asarray(images, np.float32)
        rows, columns, height, width, _ = images.shape
        grid = images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
        grid = np.clip(grid * 255 + 0.5, 0, 255).astype(np.uint8)
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        write_bytes(folder / f"{step:07d}.png", cv2.imencode(".png", grid[..., ::-1])[1].tobytes())
        self._board.add_image("samples", grid.transpose(2, 0, 1), step)

    def close(self) -> None:
        """Stop the bar, flush the files."""
        if self._progress:
            self._progress.stop()
        if self.active:
            self._board.close()


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # a line that was being written when the run was killed
        return math.inf
