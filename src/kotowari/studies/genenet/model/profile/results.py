"""Blocks of fitted targets as networks of samples, and as a table of what was chosen in every fit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.jobs import Arrays
from kotowari.formats.memory import require_bytes
from kotowari.studies.genenet.model.profile.blocks import Spread, spread_block
from kotowari.studies.genenet.model.profile.paths import COLUMNS, CONSTANT_TARGET, FITTED, TOO_FEW_NEIGHBOURS
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["STATUS", "NetworkNames", "fit_table", "join_networks"]

Floats = npt.NDArray[np.float64]

STATUS = {FITTED: "fitted", TOO_FEW_NEIGHBOURS: "too few neighbours", CONSTANT_TARGET: "constant target"}

_ROW_BYTES = 120


@dataclass(frozen=True)
class NetworkNames:
    """Names of samples, regulators and targets, and the modulator of the samples, ``(sample,)`` or two columns."""

    samples: tuple[str, ...]
    regulators: tuple[str, ...]
    targets: tuple[str, ...]
    modulator: Floats


def join_networks(
    blocks: Iterable[Arrays], spread: Spread, names: NetworkNames, *, inside: npt.NDArray[np.bool_], description: str
) -> NetworkStack:
    """Return the networks of all samples.

    Parameters
    ----------
    blocks
        Results of :func:`kotowari.studies.genenet.model.profile.task.fit_block`; taken one at a time.
    spread
        From places to the samples that lie inside the modulator's range.
    names
        Of all samples, regulators and targets.
    inside
        Which samples lie inside, shape ``(sample,)``; the others are marked as not fitted.
    description
        How the networks were made.
    """
    rows, parts = np.flatnonzero(inside), []
    for arrays in blocks:
        sample, regulator, target, coefficient, intercepts, fitted = spread_block(arrays, spread, len(names.regulators))
        all_intercepts = np.full((len(inside), len(arrays["block"])), np.nan)
        all_fitted = np.zeros(all_intercepts.shape, dtype=np.bool_)
        all_intercepts[rows], all_fitted[rows] = intercepts, fitted
        parts.append(
            NetworkStack.from_arrays(
                rows[sample],
                regulator,
                target,
                coefficient,
                samples=names.samples,
                regulators=names.regulators,
                targets=[names.targets[k] for k in arrays["block"]],
                modulator=names.modulator,
                intercepts=all_intercepts,
                fitted=all_fitted,
                description=description,
            )
        )
    joined = NetworkStack.join(parts) if len(parts) > 1 else parts[0]
    in_order = joined.targets == tuple(name for name in names.targets if name in set(joined.targets))
    return joined if in_order else joined.select(targets=[name for name in names.targets if name in joined.targets])


def fit_table(blocks: Iterable[Arrays], places: Floats, targets: Sequence[str]) -> pd.DataFrame:
    """Return one row a place and target: where, what was chosen, and how sure the solver is.

    Columns: ``modulator`` (``modulator_0``, ``modulator_1`` for two), ``target``, ``status`` (one of :data:`STATUS`),
    ``effective_samples`` (Kish), ``n_edges``, ``df``, ``penalty`` (lambda) and ``ridge`` (gamma) for genes of weighted
    standard deviation 1 and weights that sum to 1, ``criterion``, ``rounds`` of adaptive weights, ``mean_square``
    (residual, as a share of the target's weighted variance), ``gap`` (relative duality gap), ``intercept``. With
    pooling, ``n_edges`` and ``intercept`` are those of the mixed network, ``gap`` is the larger one of the two that are
    mixed, and the others are those of the place's own network.

    Raises
    ------
    InputError
        When it would need more than half of this machine's memory.
    """
    require_bytes(
        len(places) * len(targets) * _ROW_BYTES, what="The rows of all fits", remedy="Read the blocks one at a time"
    )
    names = ["modulator"] if places.shape[1] == 1 else [f"modulator_{k}" for k in range(places.shape[1])]
    tables = []
    for arrays in blocks:
        n_places, n_targets = arrays["intercept"].shape
        column = np.searchsorted(arrays["block"], arrays["target"])
        cell = arrays["place"].astype(np.int64) * n_targets + column
        content: dict[str, npt.NDArray[Any]] = {
            name: np.repeat(places[:, k], n_targets) for k, name in enumerate(names)
        }
        content["target"] = np.tile(np.array(targets, dtype=object)[arrays["block"]], n_places)
        content["status"] = np.array([STATUS[code] for code in range(len(STATUS))], dtype=object)[
            arrays["status"].ravel()
        ]
        content["effective_samples"] = np.repeat(arrays["effective_samples"], n_targets)
        content["n_edges"] = np.bincount(cell, minlength=n_places * n_targets)
        content |= {name: arrays[name].ravel() for name in (*COLUMNS[1:], "intercept")}
        tables.append(pd.DataFrame(content))
    return pd.concat(tables, ignore_index=True)
