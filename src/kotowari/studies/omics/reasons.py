"""Why, in the names of the domain: genes with p, q and stability, pathways, and both as evidence."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.evidence import Check, Evidence, Frame
from kotowari.core.jobs import Arrays, load_arrays
from kotowari.core.page import write_table
from kotowari.studies.omics.fitting import joined_scores
from kotowari.studies.omics.job import OmicsJob
from kotowari.trust.enrichment import over_representation
from kotowari.trust.gsea import preranked_gsea
from kotowari.trust.layout_null import layout_aware_p
from kotowari.trust.permutation import max_t_p, pooled_p, q_values, smallest_p
from kotowari.trust.stability import selection_frequency

__all__ = ["evidence_of", "find_reasons", "null_parts", "painted", "selected_genes", "top_selections"]

FloatArray = npt.NDArray[np.float64]

_LEVEL = 0.05
_FEWEST_SIGNIFICANT = 10  # genes; with fewer, pathways are asked of the highest scores instead


def find_reasons(job: OmicsJob) -> None:
    """Score every gene and pathway; write `work/genes.npz`, `tables/genes.csv` and `tables/pathways-*.csv`."""
    means, strength = joined_scores(job.fit_parts())
    found: Arrays = {"class_means": means, "strength": strength}
    found |= _chance(job, means, strength)
    selections = top_selections(job)
    found["frequency"] = selection_frequency(selections) if len(selections) else np.full(len(strength), np.nan)
    job.keep("genes", found)
    write_table(job.path / "tables" / "genes.csv", _gene_table(job, found))
    if job.gene_sets is not None:
        _pathways(job, found)


def null_parts(job: OmicsJob) -> list[dict[str, Arrays]]:
    """Return, for every refit on permuted labels, what it gave on each fold of the first repeat."""
    home, n_folds = job.shards("null"), len(job.first_folds)
    return [
        {f"fold-{k}": load_arrays(home / f"permutation-{b}-fold-{k}.npz") for k in range(n_folds)}
        for b in range(job.config.trust.n_permutations)
    ]


def top_selections(job: OmicsJob) -> npt.NDArray[np.bool_]:
    """Return which genes each bootstrap selects, shape ``(bootstrap, gene)``: those of the highest strength."""
    return top_mask(bootstrap_strengths(job), job.config.trust.n_selected)


def bootstrap_strengths(job: OmicsJob) -> FloatArray:
    """Return the strength of every gene in every bootstrap, shape ``(bootstrap, gene)``."""
    parts = [load_arrays(job.shards("bootstrap") / f"bootstrap-{b}.npz") for b in range(job.config.trust.n_bootstraps)]
    rows = [joined_scores({"all": part})[1] for part in parts]
    return np.array(rows).reshape(len(rows), len(job.samples.genes))


def top_mask(strength: FloatArray, n_selected: int) -> npt.NDArray[np.bool_]:
    """Mark the ``n_selected`` largest entries of each row; ties by position."""
    order = np.argsort(-strength, axis=-1, kind="stable")[..., :n_selected]
    mask = np.zeros(strength.shape, bool)
    np.put_along_axis(mask, order, True, axis=-1)
    return mask


def selected_genes(job: OmicsJob, found: Arrays) -> tuple[npt.NDArray[np.bool_], str]:
    """Return the genes that pathways are asked of, and how they were chosen."""
    significant = found["q"] < _LEVEL
    if significant.sum() >= _FEWEST_SIGNIFICANT:
        return significant, f"{int(significant.sum())} genes with q < {_LEVEL}"
    n_selected = min(job.config.trust.n_selected, len(found["strength"]))
    return top_mask(
        found["strength"], n_selected
    ), f"the {n_selected} genes of the highest score (few or none have q < {_LEVEL})"


def evidence_of(job: OmicsJob, checks: Iterable[Check]) -> dict[str, Evidence]:
    """Return the evidence by file name: `genes` with every test, and beyond two classes one for each class."""
    found, samples = job.kept("genes"), job.samples
    method = "integrated gradients on samples kept aside"
    whole = (
        f"{method}; absolute mean over the samples of each class, averaged over the classes"
        if samples.classes
        else f"{method}; samples above the mean less those below"
    )
    # the sign of a gene that tells two classes apart is the same for both: towards a sample's own class
    sign = np.sign(found["class_means"][np.abs(found["class_means"]).argmax(0), np.arange(len(samples.genes))])
    evidence = {"genes": _evidence(job, samples.target, found["strength"], sign, found["p"], found["q"], whole, checks)}
    if len(samples.classes) > 2:
        for number, name in enumerate(samples.classes):
            means, p, q = (found[key][number] for key in ("class_means", "class_p", "class_q"))
            own = f"{method} of this class, averaged"
            title = f"{samples.target}: {name}"
            evidence[f"genes-{number}"] = _evidence(job, title, np.abs(means), np.sign(means), p, q, own, ())
    return evidence


def _evidence(  # noqa: PLR0917  (columns of one table)
    job: OmicsJob,
    target: str,
    score: FloatArray,
    sign: FloatArray,
    p: FloatArray,
    q: FloatArray,
    method: str,
    checks: Iterable[Check],
) -> Evidence:
    transformer = job.drawn("final").transformer
    return Evidence(
        target=target,
        parts={
            "name": np.array(job.samples.genes),
            "score": score,
            "sign": sign.astype(np.int64),
            "stability": job.kept("genes")["frequency"],
            "p": p,
            "q": q,
            "group": transformer.groups_,
            "n_null": np.full(len(score), job.config.trust.n_permutations),
        },
        method=method,
        map=painted(sign * score, transformer.pixels_, transformer.shape_),
        frame=Frame(("height", "width"), ("pixel", "pixel"), transformer.shape_),
        checks=tuple(checks),
        reference="the mean image of the training samples",
        derived_from=("table", job.samples.target),
    )


def painted(values: FloatArray, pixels: npt.NDArray[np.int64], shape: tuple[int, int]) -> FloatArray:
    """Return values of genes at their pixels, ``(height, width)``; genes that share a pixel are added up."""
    image = np.zeros(shape)
    np.add.at(image, tuple(pixels.T), values)
    return image


def _chance(job: OmicsJob, means: FloatArray, strength: FloatArray) -> Arrays:
    """Hold scores against those of permuted labels: pooled p and q, and p by the maximum."""
    n_genes, nothing = len(strength), np.full_like(strength, np.nan)
    absent = {"p": nothing, "q": nothing, "p_max": nothing}
    absent |= {"class_p": np.full_like(means, np.nan), "class_q": np.full_like(means, np.nan)}
    parts = null_parts(job)
    if not parts:
        return absent
    joined = [joined_scores(part) for part in parts]
    null_means, null_strength = np.array([m for m, _ in joined]), np.array([s for _, s in joined])
    smallest = smallest_p(len(parts), n_pooled=n_genes)
    p = pooled_p(strength, null_strength)
    class_p = np.array([pooled_p(np.abs(m), np.abs(null_means[:, c])) for c, m in enumerate(means)])
    q = q_values(p, smallest=smallest).q
    class_q = [q_values(row, smallest=smallest).q for row in class_p]
    return {
        "p": p,
        "q": nothing if q is None else q,
        "p_max": max_t_p(strength, null_strength),
        "class_p": class_p,
        "class_q": np.array([nothing if row is None else row for row in class_q]),
    }


def _gene_table(job: OmicsJob, found: Arrays) -> pd.DataFrame:
    table = pd.DataFrame({"gene": job.samples.genes, "score": found["strength"]})
    for number, name in enumerate(job.samples.classes or (job.samples.target,)):
        table[f"relevance for {name}"] = found["class_means"][number]
    if job.samples.classes:
        means = job.samples.X.groupby(job.samples.y).mean()
        table["highest in"] = means.idxmax().to_numpy()
    table["p"], table["q"], table["p (max)"] = found["p"], found["q"], found["p_max"]
    table["selection frequency"] = found["frequency"]
    table["pixel"] = job.drawn("final").transformer.groups_
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _pathways(job: OmicsJob, found: Arrays) -> None:
    """Ask which gene sets are over-represented, by counting, by the layout, and by the whole ranking."""
    trust, genes, sets = job.config.trust, job.samples.genes, job.gene_sets
    if sets is None:
        return
    chosen, _ = selected_genes(job, found)
    counted = over_representation(np.array(genes)[chosen].tolist(), genes, sets)
    if trust.n_layout_null:
        transformer = job.drawn("final").transformer
        mask = np.zeros(transformer.shape_, bool)
        mask[tuple(transformer.pixels_[chosen].T)] = True
        rng = np.random.default_rng(job.seed("layout null"))
        by_layout = layout_aware_p(mask, genes, transformer.pixels_, sets, n_draws=trust.n_layout_null, rng=rng)
        counted = counted.merge(
            by_layout[["set", "p", "q"]].rename(columns={"p": "layout_p", "q": "layout_q"}), on="set"
        )
    described = getattr(sets, "descriptions", {})
    counted.insert(1, "description", [described.get(name, "") for name in counted["set"]])
    write_table(job.path / "tables" / "pathways-over-representation.csv", counted)
    if trust.n_gsea:
        ranked = pd.Series(_signed_score(found), index=genes)
        gsea = preranked_gsea(ranked, sets, n_permutations=trust.n_gsea, random_state=job.seed("gsea"))
        write_table(job.path / "tables" / "pathways-gsea.csv", gsea)


def _signed_score(found: Arrays) -> FloatArray:
    """Strength with a direction where there are two classes (positive: speaks for the second), else strength."""
    means: FloatArray = found["class_means"]
    if len(means) == 2:
        difference: FloatArray = means[1] - means[0]
        return difference
    strength: FloatArray = found["strength"] if len(means) > 2 else means[0]
    return strength
