"""One autoencoder for every number of blocks and channels, in one table."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from kotowari.core.errors import DesignError, InputError, RunFolderError
from kotowari.core.files import read_json, write_json, write_text
from kotowari.core.progress import Advance
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.autoencoder_input import (
    VolumeSource,
    WindowInputs,
    as_source,
    brain_sizes,
    row_numbers,
)
from kotowari.studies.brain.model.autoencoder_saved import plain_options

__all__ = ["fit_grid", "grid_folder"]

Rows = npt.NDArray[np.intp]

_ROW = "row.json"


def fit_grid(
    volumes: Any,
    *,
    folder: str | Path,
    blocks: Sequence[int] = (1, 2, 3, 4),
    channels: Sequence[int] = (1, 4, 16, 32),
    model: ConvolutionalAutoencoder | None = None,
    rows: Any = None,
    test_rows: Any = None,
    groups: Any = None,
    advance: Advance | None = None,
) -> pd.DataFrame:
    """Fit one autoencoder a pair of blocks and channels, keep each in a folder of its own, and return one table.

    A model that stands in its folder is not fitted again, and the one under way goes on from its last checkpoint: a
    killed call goes on where it was. All models learn from the same subjects and stop by the same ones.

    The table is no ranking. The study that this follows found that reconstruction and clinical use move in opposite
    directions, so the smallest error names no best model.

    Parameters
    ----------
    volumes
        Array or store, as in :meth:`ConvolutionalAutoencoder.fit`.
    folder
        Where models and ``grid.csv`` go; see :func:`grid_folder`.
    blocks, channels
        The numbers to combine.
    model
        Options of all models; None for the defaults.
    rows, groups
        Rows to learn from, and their owners.
    test_rows
        Rows that no model learns from; without them the table has no test columns.
    advance
        Called with 1 for every finished model.

    Returns
    -------
    DataFrame
        A row a model: ``n_blocks``, ``n_channels``, ``n_parameters``, ``n_features``, ``epochs`` (run), ``best_epoch``
        (from 0), ``train_mae``, ``train_mean_brain_mae``, ``test_mae``, ``test_mean_brain_mae`` (in the mask, in units
        of the volumes), ``mae_over_mean_brain`` (of the test rows, else of the training rows; 1 is the mean brain), and
        ``precision``.

    Raises
    ------
    InputError
        When the model's random state is no number, so that nothing could be gone on with.
    DesignError
        When a row is both learned from and tested on.
    RunFolderError
        When the folder holds models of other volumes or options.
    """
    prototype = ConvolutionalAutoencoder() if model is None else model
    if not isinstance(prototype.random_state, (int, np.integer)):
        raise InputError("fit_grid: random_state must be a number, so that a killed grid can go on.")
    source = as_source(volumes, prototype.mask)
    learned = row_numbers(source, rows)
    tested = row_numbers(source, [] if test_rows is None else test_rows)
    shared = np.intersect1d(learned, tested)
    if len(shared):
        raise DesignError(f"fit_grid: {source.subjects[int(shared[0])]} is both learned from and tested on.")
    data = _fingerprint(source, learned, tested, groups)
    table = []
    for n_blocks, n_channels in itertools.product(blocks, channels):
        own = grid_folder(Path(folder), n_blocks, n_channels)
        one = clone(prototype).set_params(n_blocks=n_blocks, n_channels=n_channels, checkpoint=own)
        table.append(_kept_row(own, data, one) or _fitted_row(own, data, one, (source, learned, tested, groups)))
        if advance is not None:
            advance(1)
    frame = pd.DataFrame(table)
    write_text(Path(folder) / "grid.csv", frame.to_csv(index=False))
    return frame


def grid_folder(folder: Path, n_blocks: int, n_channels: int) -> Path:
    """Return where :func:`fit_grid` keeps a model, for :meth:`ConvolutionalAutoencoder.load`."""
    return folder / f"blocks-{n_blocks}-channels-{n_channels}"


def _kept_row(folder: Path, data: str, model: ConvolutionalAutoencoder) -> dict[str, Any] | None:
    """Return the row of a model that stands in its folder."""
    if not (folder / _ROW).is_file():
        return None
    kept = read_json(folder / _ROW)
    if kept["key"] != _key(data, model):
        raise RunFolderError(f"{folder}: holds a model of other volumes, rows or options. Choose another folder.")
    row: dict[str, Any] = kept["row"]
    return row


def _fitted_row(
    folder: Path,
    data: str,
    model: ConvolutionalAutoencoder,
    task: tuple[VolumeSource, Rows, Rows, Any],
) -> dict[str, Any]:
    source, learned, tested, groups = task
    model.fit(source, rows=learned, groups=groups)
    model.save(folder)
    row: dict[str, Any] = {
        "n_blocks": model.n_blocks,
        "n_channels": model.n_channels,
        "n_parameters": sum(parameter.numel() for parameter in model.reconstruction_.parameters()),
        "n_features": int(np.prod(model.feature_shape_)),
        "epochs": len(model.history_.train_loss),
        "best_epoch": model.history_.best_epoch,
        "train_mae": float(model.mae_.mean()),
        "train_mean_brain_mae": float(model.mean_brain_errors(source, rows=learned).mean()),
    }
    part = "train"
    if len(tested):
        part = "test"
        row["test_mae"] = float(model.errors(source, rows=tested).mean())
        row["test_mean_brain_mae"] = float(model.mean_brain_errors(source, rows=tested).mean())
    row["mae_over_mean_brain"] = row[f"{part}_mae"] / row[f"{part}_mean_brain_mae"]
    row["precision"] = model.precision_.precision
    write_json(folder / _ROW, {"key": _key(data, model), "row": row})
    return row


def _fingerprint(source: VolumeSource, learned: Rows, tested: Rows, groups: Any) -> str:
    """Return a word for mask, rows, owners and the tissue of every subject."""
    digest = hashlib.sha256(np.ascontiguousarray(source.mask).tobytes())
    for rows in (learned, tested):
        digest.update(rows.astype(np.int64).tobytes() + brain_sizes(WindowInputs(source, rows)).tobytes())
    digest.update(json.dumps([str(owner) for owner in ([] if groups is None else groups)]).encode())
    return digest.hexdigest()


def _key(data: str, model: ConvolutionalAutoencoder) -> str:
    options = plain_options(model) | {"seed": int(model.random_state)}
    return hashlib.sha256(json.dumps([data, options], sort_keys=True).encode()).hexdigest()
