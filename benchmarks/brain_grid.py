"""Sixteen autoencoders: reconstruction, dose and age by depth and width, and whether depth does more than pooling."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from brain_planted import REGRESSION, Brains, encoder_of, settings
from harness import Figures
from kotowari.studies.brain.baselines.average_pooling import AveragePooling
from kotowari.studies.brain.model.autoencoder import ConvolutionalAutoencoder
from kotowari.studies.brain.model.autoencoder_grid import fit_grid, grid_folder
from kotowari.studies.brain.model.latent_regression import LatentRegression
from kotowari.studies.brain.model.regression_cv import Arm, cross_validated, external_predictions, model_for
from kotowari.studies.brain.model.regression_scores import correlation
from kotowari.studies.brain.model.regression_targets import target_folds
from kotowari.studies.brain.phantom import simulate_brains
from seeds import by_seed, kept_folder, summary

__all__ = ["grid_of_models"]

_BLOCKS, _CHANNELS = (1, 2, 3, 4), (1, 4, 16, 32)
_N_SEEDS, _N_SUBJECTS, _EPOCHS = 5, 100, 10
_FIGURES = ("mae", "dose_r", "dose_r_site2", "age_r")


def grid_of_models(quick: bool) -> Figures:
    """Measure the grid: one encoder a phantom and size, fitted on site A without labels.

    Reconstruction is that of site B over the error of the mean brain. ``dose_r`` and ``age_r`` are out of fold at site
    A with regressions alone refitted: the encoder has seen these volumes, never their scores. ``dose_r_site2`` is at
    site B, which nothing has seen. Depth is held against average pooling by as much, at 16 channels.
    """
    blocks, channels = ((1, 2), (1, 4)) if quick else (_BLOCKS, _CHANNELS)
    kept = (settings(quick), blocks, channels, _N_SUBJECTS, _EPOCHS)
    measure = partial(_one_phantom, blocks=blocks, channels=channels, kept=kept, quick=quick)
    rows = by_seed("grid", range(1 if quick else _N_SEEDS), measure, kept)
    figures = summary(rows)
    rises = figures["grid_rank_blocks_mae"], figures["grid_rank_channels_mae"]
    return figures | {
        "grid_seeds": len(rows),
        "grid_pattern": f"error {_said(rises[0])} with blocks and {_said(rises[1])} with channels",
    }


def _one_phantom(
    seed: int, *, blocks: Sequence[int], channels: Sequence[int], kept: Any, quick: bool
) -> dict[str, float]:
    brains = Brains.of(simulate_brains(80 if quick else _N_SUBJECTS, seed=seed, voxel_mm=12 if quick else 8))
    here, there = np.flatnonzero(brains.at("A")), np.flatnonzero(brains.at("B"))
    with ExitStack() as stack:
        own = kept_folder("grid", kept)
        folder = Path(stack.enter_context(TemporaryDirectory())) if own is None else own / f"models-{seed}"
        table = fit_grid(
            brains.volumes,
            folder=folder,
            blocks=blocks,
            channels=channels,
            model=encoder_of(seed, quick=quick, mask=brains.mask, **({} if quick else {"max_epochs": _EPOCHS})),
            rows=here,
            test_rows=there,
        )
        models = {}
        for row in table.itertuples():
            encoder = ConvolutionalAutoencoder.load(grid_folder(folder, row.n_blocks, row.n_channels))
            models[row.n_blocks, row.n_channels] = encoder.transform(brains.volumes)
    figures = {}
    frame = []
    for (n_blocks, n_channels), features in models.items():
        line = table[(table["n_blocks"] == n_blocks) & (table["n_channels"] == n_channels)].iloc[0]
        values = {"mae": float(line["mae_over_mean_brain"]), **_predicted(brains, features, seed)}
        figures |= {f"grid_{name}_{n_blocks}_{n_channels}": values[name] for name in _FIGURES}
        frame.append({"blocks": n_blocks, "channels": n_channels, **values})
    figures |= _ranks(pd.DataFrame(frame))
    wide = max(set(channels) & {4, 16})
    for n_blocks in blocks:
        pooled = AveragePooling(n_blocks, mask=brains.mask).fit(brains.volumes[:1]).transform(brains.volumes)
        plain = _predicted(brains, pooled, seed)
        for name in ("dose_r", "dose_r_site2", "age_r"):
            figures[f"grid_{name}_pooling_{n_blocks}"] = plain[name]
            figures[f"grid_{name}_less_pooling_{n_blocks}"] = figures[f"grid_{name}_{n_blocks}_{wide}"] - plain[name]
    return figures


def _predicted(brains: Brains, features: npt.NDArray[Any], seed: int) -> dict[str, float]:
    """Return r of dose (patients) and age (everyone) out of fold, and of the dose at the other site."""
    found = {}
    patients, here = brains.phantom.patients, brains.at("A")
    for score, within in (("dose", patients), ("age", np.ones_like(patients))):
        own = brains.subjects.covariates
        table = own if score == "dose" or own is None else own.drop(columns="age")
        subjects = type(brains.subjects)(covariates=table)
        target = brains.target(score, within & here)
        folds = target_folds(target, random_state=seed)
        arm = Arm(LatentRegression(**REGRESSION), features)
        said = cross_validated({"": arm}, target, folds, subjects)[""]
        found[f"{score}_r"] = float(np.nan_to_num(correlation(said.truth, said.prediction)))
        if score == "dose":
            learning = subjects.rows(target.rows)
            final = model_for(arm.model, target)
            final.fit(features[target.rows], target.values[target.rows], covariates=learning.covariates)
            beyond = external_predictions(final, features, brains.target(score, within & ~here), subjects)
            found["dose_r_site2"] = float(np.nan_to_num(correlation(beyond.truth, beyond.prediction)))
    return found


def _ranks(table: pd.DataFrame) -> dict[str, float]:
    """Return rank correlations of depth and width with every figure over the models."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a figure that is the same in all models has no rank
        return {
            f"grid_rank_{side}_{name}": float(np.nan_to_num(spearmanr(table[side], table[name]).statistic))
            for side in ("blocks", "channels")
            for name in _FIGURES
        }


def _said(correlation_of_ranks: Any) -> str:
    if abs(correlation_of_ranks) < 0.1:
        return "hardly changes"
    return "rises" if correlation_of_ranks > 0 else "falls"
