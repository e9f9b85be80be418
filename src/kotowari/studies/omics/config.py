"""Every option of the omics study, with unit and default. Loads no torch, so that `init` answers at once."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from kotowari.core.options import Options, PresetOptions

__all__ = ["Config", "Preset"]

Preset = Literal["quick", "standard", "full"]


class Data(Options):
    """What goes in."""

    table: Path | Literal["tcga_colorectal"] = Field(
        "tcga_colorectal",
        description="log-scale csv, tsv, parquet or h5ad; or tcga_colorectal, which the package holds",
    )
    orientation: Literal["samples", "genes"] = Field("samples", description="what the rows of the table are")
    labels: Path | None = Field(
        None, description="table of annotations, first column = sample names; none for h5ad and the packaged table"
    )
    target: str = Field("msi_status", description="column to predict")
    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: text or up to 20 whole numbers are classes"
    )
    group: str | None = Field(
        "patient", description="column of who owns a sample (patient); samples of one owner are never split"
    )
    gene_sets: Path | Literal["reactome"] | None = Field(
        "reactome", description="GMT file; reactome = Reactome of March 2019, which the package holds; null for none"
    )
    missing: Literal["refuse", "zero"] = Field(
        "refuse",
        description="what a missing value is: refused with its row and column, or the lowest value of its gene",
    )


class Layout(Options):
    """How genes become pixels."""

    method: Literal["tsne", "pca", "kernel_pca", "umap"] = Field("tsne", description="two-dimensional map of the genes")
    metric: Literal["cosine", "euclidean", "correlation"] = Field(
        "cosine", description="distance between genes (t-SNE)"
    )
    scaling: Literal["norm1", "norm2"] = Field(
        "norm2", description="norm-1: per gene to 0..1; norm-2: log, then global"
    )
    shape: Literal["auto", "spaced"] | tuple[int, int] = Field(
        "auto", description="height and width in pixels; auto = a square that just holds every gene alone"
    )
    assignment: Literal["bisect", "lsa", "bin"] = Field(
        "bisect", description="genes to pixels: bisect and lsa without collisions, bin = mean of the genes of a pixel"
    )
    n_maps: int = Field(1, ge=1, le=20, description="different maps of the same genes, averaged")
    blur: float = Field(0.0, ge=0, description="Gaussian blur of the images, pixels")


class Network(Options):
    """What learns from the images."""

    name: Literal["residual", "two_branch", "squeeze"] = Field(
        "residual", description="residual: ours; two_branch: DeepInsight; squeeze: DeepFeature"
    )
    n_members: int = Field(1, ge=1, description="networks a map, each with its own hold-out; averaged")
    n_pairs: int = Field(0, ge=0, description="most pairs of genes offered as products; finds genes that act together")
    shrink: bool = Field(True, description="shrink genes without an effect of their own (James-Stein)")
    validation_fraction: float = Field(
        0.0, ge=0, le=0.5, description="share of the training owners that decides when to stop; 0 = run all epochs"
    )
    max_epochs: int = Field(10, ge=1, description="passes over the training samples at most")
    patience: int = Field(10, ge=1, description="epochs without gain after which training stops")
    batch_size: int = Field(32, ge=1, description="samples a step")
    learning_rate: float = Field(1e-3, gt=0, description="largest step of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    mixup: float = Field(0.0, ge=0, description="mixing of pairs of samples, shape of the beta distribution; 0 = none")
    interpolation: float = Field(0.0, ge=0, le=1, description="share of samples moved towards one of their class")
    noise: float = Field(0.0, ge=0, description="standard deviation of added noise, image units")
    tune: int = Field(0, ge=0, description="trials of a search over settings inside every training fold; 0 = none")


class Validation(Options):
    """How it is judged."""

    n_splits: int = Field(5, ge=2, description="outer folds")
    n_repeats: int = Field(1, ge=1, description="repeats of the folds with another shuffle")
    tune_comparators: bool = Field(False, description="search the comparators' settings by inner folds")


class Trust(Options):
    """How the reasons are tested."""

    n_permutations: int = Field(20, ge=0, description="refits of all folds with permuted labels")
    n_bootstraps: int = Field(10, ge=0, description="patient bootstraps for the stability of the selection")
    n_layouts: int = Field(1, ge=1, description="layouts that the bootstraps take turns in")
    n_selected: int = Field(100, ge=1, description="genes called selected: the highest scores")
    implant_shifts: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75, 1.0), description="graded effects planted into the table, standard deviations of each gene"
    )
    implant_genes: int = Field(20, ge=1, description="genes of a planted module")
    implant_repeats: int = Field(3, ge=0, description="modules planted at every grade; 0 = none")
    n_layout_null: int = Field(199, ge=0, description="random regions for the layout-aware pathway test")
    n_gsea: int = Field(1000, ge=0, description="gene permutations of preranked GSEA")


_PRESETS: dict[Preset, dict[str, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "network": {"n_members": 3, "n_pairs": 64, "validation_fraction": 0.2, "max_epochs": 60},
        "validation": {"n_repeats": 2},
        "trust": {"n_permutations": 199, "n_bootstraps": 20, "n_layouts": 3, "implant_repeats": 10},
    },
    "full": {
        "layout": {"n_maps": 3},
        "network": {"n_members": 3, "n_pairs": 64, "validation_fraction": 0.2, "max_epochs": 60, "tune": 20},
        "validation": {"n_repeats": 5, "tune_comparators": True},
        "trust": {
            "n_permutations": 999,
            "n_bootstraps": 100,
            "n_layouts": 5,
            "implant_repeats": 20,
            "implant_shifts": (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0, 1.5),
            "n_layout_null": 999,
            "n_gsea": 10000,
        },
    },
}


class Config(PresetOptions):
    """Options of one run of the omics study."""

    presets = _PRESETS

    study: Literal["omics"] = Field("omics", description="which study this file configures")
    preset: Preset = Field(
        "quick", description="sizes of everything that is not set below: quick (minutes), standard (hours), full (days)"
    )
    data: Data = Data()
    layout: Layout = Layout()
    network: Network = Network()
    validation: Validation = Validation()
    trust: Trust = Trust()
    seed: int = Field(0, ge=0, description="seed of the whole run")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("cpu", description="where networks are trained")
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = Field("32-true", description="number format of training")
    workers: int = Field(2, ge=1, description="processes for independent fits, one thread each")

    @model_validator(mode="after")
    def _labels_belong_to_table(self) -> Self:
        if self.data.table != "tcga_colorectal" and self.data.labels is None and not _holds_labels(self.data.table):
            raise ValueError("data.labels: name the table of annotations (only h5ad holds its own).")
        return self

    @classmethod
    def demo(cls, preset: Preset = "quick") -> Self:
        """Microsatellite instability of the packaged 90 colorectal tumours."""
        return cls(preset=preset)


def _holds_labels(table: Path | str) -> bool:
    return str(table).endswith(".h5ad")
