"""Why, in the names of the domain: edges that change along the modulator, and edges that make the prediction."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.core.page import write_table
from kotowari.core.progress import Progress
from kotowari.datasets.packaged import load_reactome
from kotowari.studies.genenet.chance import (
    coefficients_against_constant,
    edges_against_chance,
    may_permute_genes,
    null_parts,
)
from kotowari.studies.genenet.fitting import effect_changes
from kotowari.studies.genenet.job import GenenetJob
from kotowari.studies.genenet.model.edges.bootstrap import bootstrap_edges
from kotowari.studies.genenet.model.edges.selection_frequency import SelectionFrequency, selection_frequency
from kotowari.studies.genenet.network_files import write_edge_graph, write_networks
from kotowari.studies.genenet.preparation import columns_of, modulator_columns
from kotowari.trust.permutation import max_t_p, pooled_p, q_values, smallest_p

__all__ = ["CONTRIBUTIONS", "EDGES", "export_networks", "find_reasons", "half_samples"]

FloatArray = npt.NDArray[np.float64]
Pair = tuple[str, str]

EDGES, CONTRIBUTIONS = "edges", "contributions"
_SHOWN_SAMPLES = (0.05, 0.5, 0.95)  # shares of the samples below, by modulator
_COURSES = 6


def find_reasons(job: GenenetJob, progress: Progress) -> None:
    """Rank all edges; write ``tables/edges.csv``, ``hubs.csv``, enrichment, and the parts of the prediction."""
    table = _edge_table(job, progress)
    write_table(job.path / "tables" / "edges.csv", table)
    write_edge_graph(table, job.path / "networks" / "tested.graphml")
    stack = job.networks
    write_table(job.path / "tables" / "hubs.csv", stack.hubs())
    sets = load_reactome()
    for side in ("regulators", "targets"):
        try:
            # every gene with an edge may be every gene; the hubs are a quarter of them
            found = stack.enrichment(sets, side, top=max(1, len(getattr(stack, side)) // 4))
        except InputError:  # genes that Reactome names otherwise, or too few: the report says so
            continue
        write_table(job.path / "tables" / f"pathways-{side}.csv", found)
    if job.config.trust.n_bootstraps and len(table):
        _courses(job, table, progress)
    if job.predicts:
        _contributions(job)


def export_networks(job: GenenetJob) -> None:
    """Write the networks of all samples for other programs into ``networks/``, and the modulator into a table.

    Beside the files of :func:`write_networks` there are ``low``, ``middle`` and ``high``, the networks of three samples
    along the modulator, for Cytoscape and others.
    """
    stack, folder = job.networks, job.path / "networks"
    write_networks(stack, folder)
    table = pd.DataFrame({"sample": job.X.index} | modulator_columns(job.axis))
    table["effective samples"] = np.median(job.profiler.effective_samples_, axis=1)
    write_table(job.path / "tables" / "modulator.csv", table)
    for name, row in zip(("low", "middle", "high"), shown_samples(job), strict=True):
        sample = stack.samples[row]
        stack.to_graphml(folder / f"{name}.graphml", sample)
        stack.to_cytoscape(folder / f"{name}.cyjs", sample)


def shown_samples(job: GenenetJob) -> list[int]:
    """Return three samples from the low end, the middle and the high end of the modulator."""
    order = np.argsort(columns_of(job.axis)[:, 0], kind="stable")
    return [int(order[round(share * (len(order) - 1))]) for share in _SHOWN_SAMPLES]


def half_samples(job: GenenetJob, progress: Progress) -> SelectionFrequency | None:
    """Return how often edges are among the strongest in half of the samples; refits that are kept are not repeated."""
    trust = job.config.trust
    if not trust.n_subsamples:
        return None
    return job.refit(
        "half samples",
        "Networks of half samples",
        2 * trust.n_subsamples,
        progress,
        selection_frequency,
        n_pairs=trust.n_subsamples,
        statistic="change",
        n_top=trust.n_top,
        path_length=job.config.network.path_length,
        groups=job.samples.groups,
    )


def _edge_table(job: GenenetJob, progress: Progress) -> pd.DataFrame:
    """Return every edge with its change, its place in chance and how often half of the samples select it."""
    table = effect_changes(job.networks, job.X, job.config.network.path_length)
    keys = ["regulator", "target"]
    table = table.merge(_coefficients(job), on=keys, how="left")
    columns = ["mean coefficient", "coefficient low", "coefficient high"]
    table[columns] = table[columns].fillna(0.0)  # an edge over a path alone has none
    if may_permute_genes(job):
        against = edges_against_chance(job, Progress(shown=False)).to_frame()
        table = table.merge(against[[*keys, "p", "pooled_p", "q", "n_refits"]], on=keys, how="left")
        # an edge that does not change has no place among those that do: every refit reaches it
        table = table.fillna({"p": 1.0, "pooled_p": 1.0, "n_refits": against["n_refits"].max()})
    else:
        table[["p", "pooled_p", "q"]] = np.nan
    changes = _coefficient_changes(job)
    table = table.merge(changes, on=keys, how="left")
    if len(changes):  # a coefficient that does not change has no place among those that do
        table = table.fillna({"coefficient change": 0.0, "p of coefficient change": 1.0})
    halves = half_samples(job, progress)
    if halves is None:
        table["frequency"] = np.nan
    else:
        table = table.merge(halves.to_frame()[[*keys, "frequency"]], on=keys, how="left")
        table["frequency"] = table["frequency"].fillna(0.0)
    return table.sort_values("change", ascending=False, kind="stable", ignore_index=True)


def _coefficient_changes(job: GenenetJob) -> pd.DataFrame:
    """Return how much each coefficient changes, and its place among coefficients that are constant."""
    found = coefficients_against_constant(job, Progress(shown=False))
    names = ["coefficient change", "p of coefficient change", "q of coefficient change"]
    if isinstance(found, str):
        empty = dict.fromkeys(["regulator", "target"], np.empty(0, dtype=object)) | dict.fromkeys(names, np.empty(0))
        return pd.DataFrame(empty)
    table = found.to_frame().rename(columns=dict(zip(["change", "p", "q"], names, strict=True)))
    return table[["regulator", "target", *names]]


def _coefficients(job: GenenetJob) -> pd.DataFrame:
    """Return mean and range of every edge's coefficient over the samples, in sd of the target for one sd."""
    stack, unit = job.networks, job.X.std(ddof=0)
    table = stack.change_along_modulator("percentile")
    listed = stack.edge_list()
    mean = pd.DataFrame(
        {
            "regulator": np.array(stack.regulators, dtype=object)[listed.regulator],
            "target": np.array(stack.targets, dtype=object)[listed.target],
            "mean coefficient": np.asarray(listed.values.mean(axis=0)).ravel(),
        }
    )
    table = table.rename(columns={"low": "coefficient low", "high": "coefficient high"})
    table = table.merge(mean, on=["regulator", "target"]).drop(columns=["change", "share"])
    scale = unit[table["regulator"]].to_numpy() / unit[table["target"]].to_numpy()
    for column in ("mean coefficient", "coefficient low", "coefficient high"):
        table[column] = table[column] * scale
    return table


def _courses(job: GenenetJob, table: pd.DataFrame, progress: Progress) -> None:
    """Bootstrap the coefficients of the first edges along the modulator."""
    first = list(table[["regulator", "target"]].head(_COURSES).itertuples(index=False, name=None))
    n_bootstraps = job.config.trust.n_bootstraps
    found = job.refit(
        "bootstraps",
        "Bootstraps of the courses",
        n_bootstraps,
        progress,
        bootstrap_edges,
        targets=sorted({target for _, target in first}),
        edges=first,
        n_bootstraps=n_bootstraps,
        groups=job.samples.groups,
    )
    write_table(job.path / "tables" / "courses.csv", found.to_frame())


def _contributions(job: GenenetJob) -> None:
    """Join the parts that edges had in the held-out predictions of all folds, and hold them against chance."""
    parts = list(job.fit_parts().values())
    names = [_edge_names(job, k) for k in range(len(parts))]
    union = sorted({pair for own in names for pair in own})
    place = {pair: number for number, pair in enumerate(union)}
    spots = [np.array([place[pair] for pair in own], dtype=np.intp) for own in names]
    values = np.zeros((len(job.samples.X), len(union)))
    for fold, part, spot in zip(job.first_folds, parts, spots, strict=True):
        values[np.ix_(fold.test, spot)] = part["contributions"]
    importance = _mean_importance(parts, spots, len(union))
    nulls = np.array([_mean_importance(list(null.values()), spots, len(union)) for null in null_parts(job)])
    pooled, family_wise, q = _against_chance(importance, nulls)
    order = np.argsort(-importance, kind="stable")
    kept: Arrays = {
        "regulator": np.array([union[k][0] for k in order]),
        "target": np.array([union[k][1] for k in order]),
        "importance": importance[order],
        "mean": values.mean(0)[order],
        "p": family_wise[order],
        "pooled_p": pooled[order],
        "q": q[order],
        "values": values[:, order[: job.config.trust.n_top]].astype(np.float32),
        "gap": np.concatenate([part["gap"] for part in parts]),
    }
    job.keep(CONTRIBUTIONS, kept)
    columns = ("regulator", "target", "importance", "mean", "pooled_p", "p", "q")
    write_table(job.path / "tables" / "contributions.csv", pd.DataFrame({name: kept[name] for name in columns}))


def _edge_names(job: GenenetJob, number: int) -> list[Pair]:
    arrays = job.fold_networks(number)
    regulators, targets = arrays["regulators"], arrays["targets"]
    return [(str(regulators[j]), str(targets[k])) for j, k in arrays["edges"]]


def _mean_importance(parts: list[Arrays], spots: list[npt.NDArray[np.intp]], n_edges: int) -> FloatArray:
    """Return the mean over folds of each edge's share in a fold's prediction; 0 where a fold has not the edge."""
    total = np.zeros(n_edges)
    for part, spot in zip(parts, spots, strict=True):
        total[spot] += part["importance"]
    return total / len(parts)


def _against_chance(importance: FloatArray, nulls: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return pooled p, p by the maximum, and q; NaN where nothing was refitted or the refits are too few."""
    nothing = np.full_like(importance, np.nan)
    if not len(nulls):
        return nothing, nothing, nothing
    p = pooled_p(importance, nulls)
    q = q_values(p, smallest=smallest_p(len(nulls), n_pooled=len(importance))).q
    return p, max_t_p(importance, nulls), nothing if q is None else q
