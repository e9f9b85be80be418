"""What depth and width of the network do to reconstruction and to prediction."""

import warnings

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from kotowari.core.jobs import Arrays
from kotowari.report.numerals import count, fixed
from kotowari.report.plots.style import DIVERGING, INK, WIDE, Sketch, bare, new_canvas, shorten

__all__ = ["grid_picture"]

_MOST_PANELS = 6
FloatArray = npt.NDArray[np.float64]


def grid_picture(arrays: Arrays) -> Sketch | None:
    """Draw error and correlation of every number of blocks and channels; nothing where no model was fitted."""
    mae = arrays["grid_mae"].astype(np.float64)
    if not np.isfinite(mae).any():
        return None
    r, names = arrays["grid_r"].astype(np.float64), [str(name) for name in arrays["grid_targets"]]
    shown = list(zip(names, r, strict=True))[: _MOST_PANELS - 1]
    n_panels = 1 + len(shown)
    columns = 2 if n_panels == 4 else min(n_panels, 3)
    rows = -(-n_panels // columns)
    blocks, channels = (np.unique(arrays[f"grid_{part}"]) for part in ("blocks", "channels"))
    panel = 0.62 + 0.36 * len(blocks)
    canvas = new_canvas((WIDE[0], min(0.35 + rows * panel, WIDE[1])))
    panels = canvas.subplots(rows, columns, squeeze=False).ravel()
    table = _cells(arrays, mae, blocks, channels)
    _heat(panels[0], table, 1.0, -1)
    panels[0].set_title("Error / mean brain's")
    for axes, (name, values) in zip(panels[1:], shown, strict=False):
        _heat(axes, _cells(arrays, values, blocks, channels), 0.0, 1)
        axes.set_title(f"r of {shorten(name, 22)}")
    for axes in panels[n_panels:]:
        axes.set_axis_off()
    for k, axes in enumerate(panels[:n_panels]):
        axes.set_xticks(range(len(channels)), [str(n) for n in channels])
        axes.set_yticks(range(len(blocks)), [str(n) for n in blocks])
        axes.tick_params(length=0)
        axes.set_xlabel("channels")
        if k % columns == 0:
            axes.set_ylabel("blocks")
    seeds = f"The mean of {count(mae.shape[1])} seeds, ± their sd." if mae.shape[1] > 1 else "One seed."
    caption = (
        f"Mean absolute error over that of the mean brain (1 is no better), and out-of-fold r of each target, for "
        f"every number of blocks and channels; blue is better, orange worse than the mean brain or chance. {seeds} "
        "The model with the smallest error need not be the one that predicts best, so the error must not choose it."
    )
    return Sketch("grid", canvas, "Depth and width: reconstruction against prediction", caption, "result")


def _cells(
    arrays: Arrays, values: FloatArray, blocks: npt.NDArray[np.integer], channels: npt.NDArray[np.integer]
) -> tuple[FloatArray, FloatArray]:
    """Return mean and sd over seeds, each of shape ``(block, channel)``; NaN where no model was fitted."""
    mean, spread = (np.full((len(blocks), len(channels)), np.nan) for _ in range(2))
    row, column = np.searchsorted(blocks, arrays["grid_blocks"]), np.searchsorted(channels, arrays["grid_channels"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns of models without a seed, which stay NaN
        mean[row, column] = np.nanmean(values, axis=1)
        if values.shape[1] > 1:
            spread[row, column] = np.nanstd(values, axis=1, ddof=1)
    return mean, spread


def _heat(axes: Axes, table: tuple[FloatArray, FloatArray], middle: float, better: int) -> None:
    mean, spread = table
    reach = float(np.nanmax(np.abs(mean - middle))) if np.isfinite(mean).any() else 0.0
    depth = -better * (mean - middle) / (reach or 1.0)
    axes.imshow(depth, cmap=DIVERGING, norm=Normalize(-1.6, 1.6), aspect="auto")
    bare(axes)
    for (row, column), value in np.ndenumerate(mean):
        if not np.isfinite(value):
            continue
        colour = "white" if abs(depth[row, column]) > 0.92 else INK
        several = np.isfinite(spread[row, column])
        lift = 0.14 if several else 0
        axes.text(column, row - lift, fixed(float(value), 2), ha="center", va="center", color=colour, size=8.5)
        if several:
            words = f"±{fixed(float(spread[row, column]), 2)}"
            axes.text(column, row + 0.27, words, ha="center", va="center", color=colour, size=6.5)
