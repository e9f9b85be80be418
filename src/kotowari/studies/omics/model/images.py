"""Tables to images and back: every pixel holds the mean of its genes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numba import njit

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.omics.model.frame import Shape

__all__ = ["ImageBatch", "PixelMap", "image_batches"]

ImageBatch = tuple[tuple[str, ...], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class PixelMap:
    """Which pixel every gene stands in.

    Parameters
    ----------
    pixels
        Shape ``(gene, 2)``: row and column from 0; genes may share a pixel.
    shape
        Height and width in pixels.

    Raises
    ------
    ShapeError
        When the pixels are not pairs.
    InputError
        When a pixel lies outside the frame.
    """

    pixels: npt.NDArray[np.int64]
    shape: Shape

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.shape[1] != 2:
            raise ShapeError.mismatch("PixelMap", "pixels", ("gene", 2), self.pixels.shape)
        if len(self.pixels) and (self.pixels.min() < 0 or (self.pixels >= self.shape).any()):
            raise InputError(f"PixelMap: a pixel lies outside the frame of {self.shape[0]} x {self.shape[1]}.")

    @cached_property
    def cells(self) -> npt.NDArray[np.int64]:
        """Shape ``(gene,)``: ``row * width + column``."""
        return np.asarray(self.pixels[:, 0] * self.shape[1] + self.pixels[:, 1])

    @cached_property
    def groups(self) -> npt.NDArray[np.int64]:
        """Shape ``(gene,)``: number of the gene's pixel among those that hold genes, row by row; shared with it."""
        return np.asarray(np.unique(self.cells, return_inverse=True)[1])

    def images(self, values: npt.NDArray[Any], out: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float32]:
        """Return images of shape ``(sample, height, width)``; 0 where no gene stands.

        Parameters
        ----------
        values
            Shape ``(sample, gene)``.
        out
            Where to write, zeros of that shape; a new array if left out.
        """
        if values.ndim != 2 or values.shape[1] != len(self.pixels):
            raise ShapeError.mismatch("PixelMap", "values", ("sample", len(self.pixels)), values.shape)
        images = np.zeros((len(values), *self.shape), np.float32) if out is None else out
        order, starts = self._by_cell
        _scatter_means(values, order, starts, self.cells[order[starts[:-1]]], images.reshape(len(values), -1))
        return images

    def table(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what stands in the pixel of every gene, shape ``(sample, gene)``."""
        self._require_frame(images)
        return np.asarray(images[:, self.pixels[:, 0], self.pixels[:, 1]])

    def share(self, maps: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None) -> npt.NDArray[np.float64]:
        """Share the value of a pixel among its genes, so that the shares sum to it.

        Parameters
        ----------
        maps
            Shape ``(sample, height, width)``.
        weights
            Shape ``(sample, gene)``, 0 or more: shares are in proportion; equal if left out, or where all are 0.

        Returns
        -------
        ndarray
            Shape ``(sample, gene)``.
        """
        values, groups = self.table(maps).astype(np.float64), self.groups
        count = np.bincount(groups)
        equal = values / count[groups]
        if weights is None or (count == 1).all():
            return np.asarray(equal)
        order, starts = self._by_cell
        total = np.add.reduceat(np.asarray(weights, np.float64)[:, order], starts[:-1], axis=1)[:, groups]
        return np.where(total > 0, values * weights / np.where(total > 0, total, 1), equal)

    @cached_property
    def _by_cell(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Genes ordered by pixel, and where each pixel's begin; one more entry closes the last."""
        return np.argsort(self.cells, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(self.groups))])

    def _require_frame(self, images: npt.NDArray[Any]) -> None:
        if images.ndim != 3 or images.shape[1:] != self.shape:
            raise ShapeError.mismatch("PixelMap", "images", ("sample", *self.shape), images.shape)


def image_batches(
    to_images: Callable[[Any], npt.NDArray[np.float32]],
    table: pd.DataFrame | npt.NDArray[Any] | Iterable[tuple[Sequence[str], npt.NDArray[Any]]],
    *,
    size: int = 256,
) -> Iterator[ImageBatch]:
    """Yield sample names and images, a batch at a time; no more than one batch and one block are held.

    Parameters
    ----------
    to_images
        Turns rows of the table, shape ``(sample, feature)``, into images ``(sample, channel, height, width)``.
    table
        A DataFrame, an array (samples are named by number), or blocks of rows such as
        :class:`kotowari.formats.TableBlocks`, each with its names.
    size
        Samples in a batch, 1 or more; the last batch of a block may be smaller.

    Raises
    ------
    InputError
        When the size is below 1.
    """
    if size < 1:
        raise InputError(f"A batch must hold 1 or more samples, got {size}.")
    for names, block in _blocks(table):
        for begin in range(0, len(names), size):
            part = block.iloc[begin : begin + size] if isinstance(block, pd.DataFrame) else block[begin : begin + size]
            yield tuple(str(name) for name in names[begin : begin + size]), to_images(part)


def _blocks(table: Any) -> Iterable[tuple[Sequence[Any], Any]]:
    if isinstance(table, pd.DataFrame):
        return [(list(table.index), table)]
    if isinstance(table, np.ndarray):
        return [(range(len(table)), table)]
    blocks: Iterable[tuple[Sequence[Any], Any]] = table
    return blocks


@njit(cache=True)
def _scatter_means(values: Any, order: Any, starts: Any, cells: Any, images: Any) -> None:
    for sample in range(len(values)):
        for pixel in range(len(cells)):
            total = 0.0
            for k in range(starts[pixel], starts[pixel + 1]):
                total += values[sample, order[k]]
            images[sample, cells[pixel]] = total / (starts[pixel + 1] - starts[pixel])
