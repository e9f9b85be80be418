"""Field data of KOTOWARI_DATA, prepared for benchmarks; none of it is part of the package."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError

__all__ = ["tcga11"]

FLOOR = -2.0  # of nine of the eleven cancers; the other two reach -9, which alone would tell them apart


def tcga11(folder: Path) -> tuple[pd.DataFrame, npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the tumours of eleven cancers: 391 samples, 3,556 genes, log2.

    Values are raised to -2 and missing values set to -2, or the preprocessing of COAD and STAD would give them away.

    Parameters
    ----------
    folder
        Holds ``omics/tcga11_expression.npz`` and ``omics/tcga11_samples.csv``.

    Returns
    -------
    DataFrame, array, array
        Expression ``(sample, gene)``, float32; cancer and patient of each sample.
    """
    samples = pd.read_csv(Path(folder) / "omics" / "tcga11_samples.csv")
    with np.load(Path(folder) / "omics" / "tcga11_expression.npz", allow_pickle=False) as arrays:
        X = pd.DataFrame(arrays["X"], index=arrays["barcode"], columns=arrays["genes"])
    if not X.index.equals(pd.Index(samples["barcode"])):
        raise InputError("tcga11: the rows of the expression are not those of tcga11_samples.csv, in this order.")
    tumour = (samples["tissue"] == "tumour").to_numpy()
    X = X.fillna(FLOOR).clip(lower=FLOOR).astype(np.float32)
    return X[tumour], samples["cancer"][tumour].to_numpy(), samples["patient"][tumour].to_numpy()
