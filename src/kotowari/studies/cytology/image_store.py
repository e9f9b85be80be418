"""The images of a run, read from its folder one at a time, so that a job in another process takes paths, not pixels."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ImageStore", "with_channels"]

FloatImage = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ImageStore:
    """Images by their row in the table of the run.

    Parameters
    ----------
    folder
        Where the stage `read` left them.
    places
        File and page of every row.
    channels
        1 or 3 for every row, as most images of its kind have: colours are averaged, grey is repeated.
    """

    folder: Path
    places: tuple[tuple[str, int], ...]
    channels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)

    def image(self, row: int) -> FloatImage:
        """Return ``(height, width, channel)`` in [0, 1]."""
        file, page = self.places[row]
        values = self._member(file, f"page-{page}")
        if values is None:
            raise KeyError(f"{file}: page {page}")
        scaled = values.astype(np.float32) / np.float32(self._member(file, "full_scale"))
        return with_channels(scaled, self.channels[row])

    def truth(self, row: int) -> Labels | None:
        """Return the label image that scores a row, shape ``(height, width)``; None without one."""
        file, page = self.places[row]
        labels = self._member(file, f"labels-{page}")
        return None if labels is None else labels.astype(np.int32)

    def images(self, rows: Iterable[int]) -> list[FloatImage]:
        """Return several images."""
        return [self.image(int(row)) for row in rows]

    def _member(self, file: str, name: str) -> npt.NDArray[Any] | None:
        with np.load(self.folder / f"{file}.npz", allow_pickle=False) as packed:
            return packed[name] if name in packed.files else None


def with_channels(image: FloatImage, n_channels: int) -> FloatImage:
    """Return an image of 1 or 3 channels with the other number: colours are averaged, grey is repeated."""
    if image.shape[2] == n_channels:
        return image
    grey = image.mean(axis=2, keepdims=True, dtype=np.float32)
    return grey if n_channels == 1 else np.repeat(grey, n_channels, axis=2)
