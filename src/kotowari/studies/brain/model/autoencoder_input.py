"""Volumes of an array or a store, seen by the training loop row by row through one mask."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.trust.folds import hold_out

__all__ = [
    "ArrayVolumes",
    "BrainStatistics",
    "MaskedTargets",
    "VolumeSource",
    "WindowInputs",
    "as_source",
    "brain_sizes",
    "held_out",
    "mask_window",
    "row_numbers",
    "volumes_at_once",
]

BoolArray = npt.NDArray[np.bool_]
Volumes = npt.NDArray[np.float32]
_MOST_AT_ONCE, _VOXELS_AT_ONCE = 8, 400_000
Rows = npt.NDArray[np.intp]
Window = tuple[slice, slice, slice]


class VolumeSource(Protocol):
    """Where volumes come from: a :class:`VolumeStore`, or an array."""

    @property
    def mask(self) -> BoolArray:
        """Voxels that count, shape of one volume."""

    @property
    def subjects(self) -> Sequence[str]:
        """Names, one a row."""

    def volumes(self, rows: Any) -> Volumes:
        """Return the volumes of some rows, shape ``(row, *box)``."""


class ArrayVolumes:
    """An array as a :class:`VolumeSource`; subjects are called by their row numbers.

    Parameters
    ----------
    values
        Shape ``(subject, x, y, z)``.
    mask
        Shape ``(x, y, z)``, with one voxel or more.

    Raises
    ------
    ShapeError
        When the shapes do not fit.
    InputError
        When the mask is empty.
    """

    def __init__(self, values: npt.NDArray[Any], mask: npt.ArrayLike) -> None:
        self.mask = np.asarray(mask, dtype=bool)
        if values.ndim != 4 or values.shape[1:] != self.mask.shape:
            raise ShapeError.mismatch("brain", "volumes", ("subject", *self.mask.shape), values.shape)
        if not self.mask.any():
            raise InputError("brain: the mask is empty. Give one with the voxels that count.")
        self.values = values
        self.subjects = tuple(f"row {row}" for row in range(len(values)))

    def volumes(self, rows: Any) -> Volumes:
        """Return float32 copies of some rows."""
        return np.asarray(self.values[rows], dtype=np.float32)


def as_source(X: Any, mask: npt.ArrayLike | None) -> VolumeSource:
    """Return ``X`` as a source: itself if it has ``volumes``, else an array with ``mask`` (None: every voxel counts).

    Raises
    ------
    ShapeError
        When an array is not ``(subject, *shape of the mask)``, or a store's mask has another shape than ``mask``.
    """
    if callable(getattr(X, "volumes", None)):
        source: VolumeSource = X
        if mask is not None and not np.array_equal(np.asarray(mask, bool), source.mask):
            raise ShapeError("brain: the store has another mask. Leave mask out, or give its own.")
        return source
    values = np.asarray(X)
    if values.ndim != 4:
        raise ShapeError.mismatch("brain", "volumes", ("subject", "x", "y", "z"), values.shape)
    return ArrayVolumes(values, np.ones(values.shape[1:], bool) if mask is None else mask)


def mask_window(mask: BoolArray) -> Window:
    """Return the smallest box that holds the mask: what a network needs to see."""
    held = np.nonzero(mask)
    x, y, z = (slice(int(axis.min()), int(axis.max()) + 1) for axis in held)
    return x, y, z


def volumes_at_once(n_voxels: int) -> int:
    """Return how many volumes a network should see at once: 8 small ones, which convolve faster together, or 1."""
    return int(np.clip(_VOXELS_AT_ONCE // n_voxels, 1, _MOST_AT_ONCE))


class WindowInputs:
    """Volumes cut to the mask's box, as the loop asks for inputs: ``(sample, 1, *box)``, 0 outside of the mask.

    Parameters
    ----------
    source
        Where volumes come from.
    rows
        Rows of the source that are the samples, in order.
    """

    def __init__(self, source: VolumeSource, rows: Rows) -> None:
        self._source, self._rows = source, rows
        self._window = mask_window(source.mask)
        self.mask = source.mask[self._window]
        self.shape = (len(rows), 1, *self.mask.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        volumes = self._source.volumes(self._rows[rows.numpy()])[(slice(None), *self._window)]
        return torch.from_numpy(np.where(self.mask, volumes, np.float32(0)))[:, None]

    def subject(self, sample: int) -> str:
        """Return the name of a sample's subject."""
        return self._source.subjects[int(self._rows[sample])]


class MaskedTargets:
    """The same volumes as the loop asks for targets: their voxels in the mask, ``(sample, voxel)``."""

    def __init__(self, inputs: WindowInputs) -> None:
        self._inputs = inputs
        self._mask = torch.tensor(inputs.mask)  # a copy: a store's mask may not be written to
        self.shape = (len(inputs), int(inputs.mask.sum()))

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        return self._inputs[rows][:, 0][:, self._mask]


def row_numbers(source: VolumeSource, rows: Any) -> Rows:
    """Return ``rows``, numbers or a mask of rows, as numbers; None for all rows of the source.

    Raises
    ------
    InputError
        When one is not a row of the source.
    """
    n_subjects = len(source.subjects)
    if rows is None:
        return np.arange(n_subjects)
    given = np.asarray(rows)
    if given.dtype == bool and given.shape == (n_subjects,):
        return np.flatnonzero(given)
    chosen = given.astype(np.intp)
    if given.dtype == bool or chosen.ndim != 1 or ((chosen < 0) | (chosen >= n_subjects)).any():
        raise InputError(f"brain: rows must be numbers from 0 to {n_subjects - 1}, on one axis.")
    return chosen


def brain_sizes(inputs: WindowInputs) -> npt.NDArray[np.float64]:
    """Return the mean of every sample over its voxels in the mask; one volume in memory.

    Raises
    ------
    InputError
        When a volume holds NaN or infinite values in the mask, or is 0 everywhere in it; the sentence names it.
    """
    targets = MaskedTargets(inputs)
    return np.array(
        [_sound(_row(targets, k), inputs.subject(k)).mean(dtype=np.float64) for k in range(len(inputs))], np.float64
    )


def held_out(
    inputs: WindowInputs, groups: Any, fraction: float, seed: int, classes: Rows | None = None
) -> tuple[Rows, Rows]:
    """Return the samples to learn from, and those that decide when to stop.

    Parameters
    ----------
    inputs
        The samples; all are looked through for unsound volumes.
    groups
        Owner of each sample, who is not torn apart; None makes every sample its own.
    fraction
        Share of those that decide when to stop; 0 for none.
    seed
        Of the draw.
    classes
        Class of each sample, from 0; every class then stands on both sides. None spreads both sides over the range of
        brain sizes, so that nothing but the volumes decides.

    Raises
    ------
    InputError
        As :func:`brain_sizes`.
    DesignError
        When there are too few groups to hold any out.
    """
    size = brain_sizes(inputs)
    if fraction == 0:
        return np.arange(len(inputs)), np.arange(0)
    strata, continuous = (size, True) if classes is None else (classes, False)
    fold = hold_out(strata, groups=groups, fraction=fraction, continuous=continuous, random_state=seed)
    return fold.train, fold.test


class BrainStatistics:
    """Mean training brain, how far the training brains are from it, and how large each is; one volume in memory.

    Parameters
    ----------
    targets
        Voxels in the mask.
    index
        The samples to learn from.

    Attributes
    ----------
    mean
        Shape ``(voxel,)``.
    sd
        Root mean square deviation over all voxels and samples of ``index``.
    mean_error
        Mean absolute deviation over the same: the error of answering with the mean brain.

    Raises
    ------
    DesignError
        When all samples of ``index`` are alike.
    """

    def __init__(self, inputs: WindowInputs, index: Rows) -> None:
        targets = MaskedTargets(inputs)
        total = np.zeros(targets.shape[1])
        for sample in index:
            total += _row(targets, sample)
        self.mean: Volumes = (total / len(index)).astype(np.float32)
        squares = error = 0.0
        for sample in index:
            gap = _row(targets, sample) - self.mean
            squares += float(np.square(gap, dtype=np.float64).mean()) / len(index)
            error += float(np.abs(gap).mean(dtype=np.float64)) / len(index)
        self.sd, self.mean_error = squares**0.5, error
        if self.mean_error <= np.finfo(np.float32).eps * float(np.abs(self.mean).mean()):
            raise DesignError(
                "brain: all training volumes are alike, so there is nothing to learn. Give two different ones or more."
            )


def _row(targets: MaskedTargets, sample: int) -> Volumes:
    row: Volumes = targets[torch.tensor([int(sample)])][0].numpy()
    return row


def _sound(values: Volumes, subject: str) -> Volumes:
    if not np.isfinite(values).all():
        raise InputError(f"{subject}: the volume holds NaN or infinite values in the mask. Mend it or leave it out.")
    if not values.any():
        raise InputError(f"{subject}: the volume is 0 everywhere in the mask. Mend it or leave it out.")
    return values
