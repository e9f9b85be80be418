"""Single angiograms: networks that saw no mask beside filters that were tuned on masks."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
import torch

from angiography_data import LESSON, Angiogram, angiograms, cimat_network, halves
from harness import Figures, slug
from kotowari.studies.angiography.filters import VesselFilter, all_filters
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.ranking import ranking_scores
from kotowari.studies.angiography.scores import score_map
from kotowari.trust.intervals import bootstrap_interval
from kotowari.trust.randomisation import randomised_copy
from seeds import by_seed

__all__ = ["single_frames"]

Map = npt.NDArray[np.float32]
Column = list[float]

_N_SEEDS = 1
_SCORES = {"auc": "auc", "dice": "dice", "average_precision": "ap", "cl_dice": "cl_dice"}
_COMPARED = ("auc", "dice", "auc_whole_picture", "dice_whole_picture")
_UNPREFIXED = {*_COMPARED, "auc_auto_scale", "dice_auto_scale"}


def single_frames(quick: bool) -> Figures:
    """Measure ``auc``, ``dice``, ``best_filter_auc`` and ``best_filter_dice`` on CIMAT's 40 angiograms.

    A network of each half is applied to the other one; its threshold is that of :class:`VesselEnhancer`. Filters have
    scales and threshold from the masks of the other half, and ``_all40`` those of all pictures that they are judged on.
    The best filter is chosen after the fact, by its mean. Intervals are over pictures: no file tells their patients.
    """
    networks = [f"network_{seed}" for seed in range(_N_SEEDS)]
    filters = [own.name for own in all_filters()[: 1 if quick else None]]
    names = [*networks, "untrained", *filters]
    kept = by_seed("angiography_cimat", names, lambda name: _columns(name, quick=quick), (quick, LESSON))
    table: dict[str, dict[str, Column]] = dict(zip(names, kept, strict=True))
    ours = {key: np.mean([table[name][key] for name in networks], axis=0) for key in table[networks[0]]}
    figures: Figures = {"cimat_pictures": len(ours["auc"]), "cimat_seeds": _N_SEEDS}
    for key in ("auc", "dice"):
        figures[f"{key}_untrained"] = float(np.mean(table["untrained"][key]))
    figures["cimat_fit_cpu_s"] = float(np.mean([cimat_network(half, 0, quick=quick).cpu_s for half in (0, 1)]))
    for key, values in ours.items():
        figures |= _with_interval(key if key in _UNPREFIXED else f"cimat_{key}", values)
    for name in filters:
        figures |= {f"filter_{slug(name)}_{key}": float(np.mean(column)) for key, column in table[name].items()}
    for key in _COMPARED:
        figures |= _against_best(key, ours[key], {name: table[name][key] for name in filters})
        tuned = {name: table[name][f"{key}_all40"] for name in filters}
        figures |= _against_best(f"{key}_all40", ours[key], tuned)
    return figures


def _with_interval(key: str, values: npt.ArrayLike) -> Figures:
    """Return a mean and the ends of its 95 % bootstrap interval over pictures."""
    found = bootstrap_interval(np.mean, np.asarray(values, np.float64), random_state=0)
    return {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}


def _against_best(key: str, ours: npt.NDArray[np.float64], filters: dict[str, Column]) -> Figures:
    best = max(filters, key=lambda name: float(np.mean(filters[name])))
    metric, _, rest = key.partition("_")
    less = f"{metric}_less_best_filter{f'_{rest}' if rest else ''}"
    return {
        f"best_filter_{key}": float(np.mean(filters[best])),
        f"best_filter_{key}_name": best,
        **_with_interval(less, ours - np.asarray(filters[best])),
    }


def _columns(name: str, *, quick: bool) -> dict[str, Column]:
    """Return the scores of one method, picture by picture."""
    pictures = angiograms(quick=quick)
    if name == "untrained":
        drawn = [_drawn_anew(cimat_network(half, 0, quick=quick).enhancer) for half in (0, 1)]
        return _network_columns(pictures, drawn)
    if name.startswith("network"):
        seed = int(name.rpartition("_")[2])
        taught = [cimat_network(half, seed, quick=quick).enhancer for half in (0, 1)]
        auto = _network_columns(angiograms(quick=quick, is_log=None), taught)
        added = {f"{key}_auto_scale": auto[key] for key in ("auc", "dice")}
        return _network_columns(pictures, taught) | added
    (own,) = (one for one in all_filters() if one.name == name)
    return _filter_columns(pictures, own)


def _network_columns(pictures: Sequence[Angiogram], taught: Sequence[VesselEnhancer]) -> dict[str, Column]:
    """Score networks on the half that they did not learn from."""
    rows = []
    for half, places in enumerate(halves(len(pictures))):
        enhancer = taught[1 - half]
        for place in places:
            run = pictures[place].run
            rows.append(_row(enhancer.enhance_frame(run.frames[0], run.field), pictures[place], enhancer.threshold_))
    return _transposed(rows)


def _filter_columns(pictures: Sequence[Angiogram], own: VesselFilter) -> dict[str, Column]:
    """Score a filter tuned on the other half, on all pictures, and on all of them without a field of view."""
    remembered = VesselFilter(own.name, _Remembered(own), own.grid)
    every, parts = np.arange(len(pictures)), halves(len(pictures))
    everywhere = [_without_field(one) for one in pictures]
    crossed = [row for half in (0, 1) for row in _tuned_rows(remembered, pictures, parts[1 - half], parts[half])]
    columns = _transposed(crossed)
    within = _transposed(_tuned_rows(remembered, pictures, every, every))
    without = _transposed(_tuned_rows(remembered, everywhere, every, every))
    columns |= {f"{key}_all40": within[key] for key in ("auc", "dice")}
    return columns | {f"{key}_all40": without[key] for key in ("auc_whole_picture", "dice_whole_picture")}


def _tuned_rows(
    own: VesselFilter,
    pictures: Sequence[Angiogram],
    train: npt.NDArray[np.intp],
    test: npt.NDArray[np.intp],
) -> list[dict[str, float]]:
    lesson = [pictures[place] for place in train]
    own.fit([one.run.frames[0] for one in lesson], [one.truth for one in lesson], [one.run.field for one in lesson])
    rows = []
    for place in test:
        run = pictures[place].run
        rows.append(_row(own.enhance(run.frames, run.field)[0], pictures[place], own.threshold_))
    return rows


def _row(vesselness: Map, picture: Angiogram, threshold: float) -> dict[str, float]:
    """Score a map inside the field, and over the whole picture, outside of which it is 0."""
    scores = asdict(score_map(vesselness, picture.truth, picture.run.field, threshold))
    found = vesselness > threshold
    return {short: scores[key] for key, short in _SCORES.items()} | {
        "auc_whole_picture": ranking_scores(vesselness[picture.truth], vesselness[~picture.truth])[0],
        "dice_whole_picture": float(2 * (found & picture.truth).sum() / (found.sum() + picture.truth.sum())),
    }


def _transposed(rows: Sequence[dict[str, float]]) -> dict[str, Column]:
    return {key: [float(row[key]) for row in rows] for key in rows[0]}


def _without_field(picture: Angiogram) -> Angiogram:
    return Angiogram(replace(picture.run, field=np.ones_like(picture.run.field)), picture.truth)


def _drawn_anew(enhancer: VesselEnhancer) -> VesselEnhancer:
    """Return a copy with fresh weights."""
    copy = VesselEnhancer(**enhancer.get_params(deep=False))
    copy.network_ = randomised_copy(enhancer.network_, generator=torch.Generator().manual_seed(0)).eval()
    copy.threshold_, copy.scale_ = enhancer.threshold_, enhancer.scale_
    return copy


class _Remembered:
    """A filter's response, which each picture and set of scales asks for once."""

    def __init__(self, own: VesselFilter) -> None:
        self._response = own.response
        self._known: dict[tuple[bytes, tuple[float, ...]], Map] = {}

    def __call__(self, frame: Map, scales: tuple[float, ...]) -> Map:
        key = (frame.tobytes(), scales)
        if key not in self._known:
            self._known[key] = self._response(frame, scales)
        return self._known[key]
