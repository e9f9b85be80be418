"""A small table along a signature, with one edge that is switched on along it, as the files of a user."""

import numpy as np
import pandas as pd
import yaml

from kotowari.report.plots import style
from kotowari.studies.genenet import job, target_scores
from kotowari.studies.genenet.fitting import make_trip
from kotowari.trust import comparators
from kotowari.trust.intervals import bootstrap_interval

UP, DOWN = ["UP0", "UP1", "UP2"], ["DOWN0", "DOWN1", "DOWN2"]
REGULATORS = [f"TF{number}" for number in range(8)]
TARGETS = [f"T{number}" for number in range(10)]
OTHERS = [f"OTHER{number}" for number in range(6)]
STEADY, SWITCHED = ("TF0", "T0"), ("TF1", "T1")
SMALL = {
    "network": {"n_lambdas": 8, "pooling": 0.0},
    "prediction": {"response": "status", "core": 2, "starts": ["hosvd"], "max_edges": 60},
    "validation": {"n_splits": 2},
    "trust": {
        "n_permutations": 2,
        "n_edge_permutations": 2,
        "n_constant_refits": 2,
        "n_subsamples": 2,
        "n_bootstraps": 3,
        "n_top": 5,
        "implant_strengths": [1.0],
        "implant_edges": 2,
        "implant_repeats": 1,
    },
    "workers": 1,
}
NO_REFITS = dict.fromkeys(
    ["n_permutations", "n_edge_permutations", "n_constant_refits", "n_subsamples", "n_bootstraps"], 0
)
NETWORKS_ONLY = {"prediction": {"response": None}, "trust": NO_REFITS | {"implant_repeats": 0}}


def make_table(n_samples=40, seed=0):
    """Return a table on a log scale. One edge holds everywhere, one at the upper end of the signature alone."""
    rng = np.random.default_rng(seed)
    axis = rng.permutation(np.linspace(-1.5, 1.5, n_samples))
    table = pd.DataFrame(
        rng.normal(8, 1, (n_samples, 30)),
        index=[f"sample{number}" for number in range(n_samples)],
        columns=[*UP, *DOWN, *REGULATORS, *TARGETS, *OTHERS],
    )
    table[UP] = table[UP] + 1.5 * axis[:, None]
    table[DOWN] = table[DOWN] - 1.5 * axis[:, None]
    for (regulator, target), share in {STEADY: 1.0, SWITCHED: axis > 0}.items():
        table[target] += 2 * share * (table[regulator] - 8)
    return table.round(4)


def with_one_steady_regulator(table):
    """Return a table in which every target goes along with one regulator, alike everywhere along the signature."""
    noise = np.random.default_rng(3).normal(0, 0.5, (len(table), len(TARGETS)))
    return table.assign(**{gene: table["TF0"] + noise[:, number] for number, gene in enumerate(TARGETS)})


def with_unrelated_targets(table):
    """Return a table in which no gene tells anything of any target."""
    noise = np.random.default_rng(5).normal(8, 1, (len(table), len(TARGETS)))
    return table.assign(**{gene: noise[:, number] for number, gene in enumerate(TARGETS)})


def make_annotations(table, seed=1):
    """Return what is known of each sample beside its genes: a class that a regulator makes, values, and an owner."""
    rng = np.random.default_rng(seed)
    n_samples = len(table)
    return pd.DataFrame(
        {
            "status": np.where(table["TF0"] > table["TF0"].median(), "case", "control"),
            "dose": (table["TF0"] - table["T1"] + rng.normal(0, 0.5, n_samples)).round(4),
            "purity": rng.uniform(0.2, 1, n_samples).round(4),
            "cancer": (["lung", "liver"] * n_samples)[:n_samples],
            "patient": [f"owner{number}" for number in range(n_samples)],
        },
        index=table.index,
    )


def signature_text():
    """Return the signature as the text of a csv file."""
    return "gene,direction\n" + "".join(f"{gene},up\n" for gene in UP) + "".join(f"{gene},down\n" for gene in DOWN)


def sound_files():
    """Return every file of a user by its name."""
    table = make_table()
    return {
        "table.csv": table,
        "annotations.csv": make_annotations(table),
        "regulators.txt": "\n".join(REGULATORS) + "\n",
        "targets.txt": "\n".join(TARGETS) + "\n",
        "signature.csv": signature_text(),
    }


def write_files(folder, files=None, **changes):
    """Write a user's files and their configuration; returns the path of the YAML.

    ``files`` are put over the sound ones: frames are written as csv, text as it is, and None leaves the file away.
    ``changes`` are put over the sections.
    """
    folder.mkdir(exist_ok=True)
    for name, content in (sound_files() | (files or {})).items():
        if isinstance(content, pd.DataFrame):
            content.to_csv(folder / name)
        elif content is not None:
            (folder / name).write_text(content)
    data = {
        "table": "table.csv",
        "annotations": "annotations.csv",
        "regulators": "regulators.txt",
        "targets": "targets.txt",
    }
    config = {"study": "genenet", "data": data, "modulator": {"signature": "signature.csv"}, **SMALL}
    for section, values in changes.items():
        config[section] = config.get(section, {}) | values if isinstance(values, dict) else values
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    return folder / "study.yaml"


def quick_fits(patch):
    """Rest intervals on few draws and predictions on few steps, draw with few dots, let the disk write when it likes.

    Each of these has tests of its own, and they take the longest.
    """
    for module in (comparators, target_scores):
        patch.setattr(module, "bootstrap_interval", _with_few_draws)
    patch.setattr(job, "make_trip", _with_few_steps)
    patch.setattr(style, "_drawn", _with_few_dots)
    patch.setattr("kotowari.core.files.os.fsync", lambda _handle: None)


def _with_few_steps(config, task, seed, **options):
    return make_trip(config, task, seed, **({"head_steps": 100, "max_steps": 50} | options))


def _with_few_draws(statistic, *arrays, **options):
    return bootstrap_interval(statistic, *arrays, **(options | {"n_draws": 30}))


def _with_few_dots(canvas, dpi, drawn=style._drawn):
    return drawn(canvas, dpi / 6)
