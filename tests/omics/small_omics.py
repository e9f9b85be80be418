"""A small table with ten genes that tell two classes apart, as the files of a user."""

import numpy as np
import pandas as pd
import yaml

from kotowari.report.plots import style
from kotowari.studies.omics import study
from kotowari.trust.intervals import bootstrap_interval

PLANTED = [f"PLANT{number}" for number in range(10)]
SMALL = {
    "layout": {"method": "pca"},
    "network": {"max_epochs": 5, "patience": 3},
    "validation": {"n_splits": 2},
    "trust": {
        "n_permutations": 2,
        "n_bootstraps": 2,
        "n_selected": 10,
        "implant_shifts": [1.5],
        "implant_genes": 5,
        "implant_repeats": 1,
        "n_layout_null": 19,
        "n_gsea": 10,
    },
    "workers": 1,
}


def make_table(n_samples=40, n_genes=60, n_classes=2, seed=0):
    """Return a table on a log scale, and the number of each sample's class, which moves the planted genes."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n_samples) % n_classes
    values = rng.normal(8, 1, (n_samples, n_genes))
    values[:, : len(PLANTED)] += 2.5 * codes[:, None]
    genes = [*PLANTED, *(f"GENE{number}" for number in range(len(PLANTED), n_genes))]
    return pd.DataFrame(values, index=[f"sample{number}" for number in range(n_samples)], columns=genes), codes


def make_labels(table, codes):
    """Return the annotations of a table: class, a value, and an owner for each sample."""
    words = np.array(["control", "case", "other"])[codes]
    owners = [f"owner{number}" for number in range(len(codes))]
    return pd.DataFrame({"status": words, "age": 40.5 + 10 * codes, "patient": owners}, index=table.index)


def make_sets(table):
    """Return two gene sets as the text of a GMT file; the first holds the planted genes."""
    genes = list(table.columns)
    return "PLANTED_SET\tby hand\t" + "\t".join(genes[:10]) + "\nOTHER_SET\tby hand\t" + "\t".join(genes[10:25]) + "\n"


def write_files(folder, table, labels, sets, **changes):
    """Write a user's files and their configuration; returns the path of the YAML.

    ``changes`` are put over the sections; frames are written as csv, text as it is, and None leaves the file away.
    """
    folder.mkdir(exist_ok=True)
    for name, content in {"table.csv": table, "labels.csv": labels, "sets.gmt": sets}.items():
        if isinstance(content, pd.DataFrame):
            content.to_csv(folder / name)
        elif content is not None:
            (folder / name).write_text(content)
    data = {"table": "table.csv", "labels": "labels.csv", "target": "status", "gene_sets": "sets.gmt"}
    config = {"study": "omics", "data": data, **SMALL}
    for section, values in changes.items():
        config[section] = config.get(section, {}) | values if isinstance(values, dict) else values
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    return folder / "study.yaml"


def quick_runs(patch):
    """Rest intervals on few draws, have one comparator, draw with few dots, and let the disk write when it likes.

    Intervals, comparators and pictures have tests of their own, and take longer than all the rest.
    """
    patch.setattr("kotowari.trust.comparators.bootstrap_interval", _with_few_draws)
    patch.setattr(study, "comparators", _one_comparator)
    patch.setattr(style, "_drawn", _with_few_dots)
    patch.setattr("kotowari.core.files.os.fsync", lambda _handle: None)


def _with_few_draws(statistic, *arrays, **options):
    return bootstrap_interval(statistic, *arrays, **(options | {"n_draws": 30}))


def _one_comparator(*task, every=study.comparators, **options):
    return dict(list(every(*task, **options).items())[:1])


def _with_few_dots(canvas, dpi, drawn=style._drawn):
    return drawn(canvas, dpi / 6)
