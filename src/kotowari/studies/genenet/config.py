"""Every option of the genenet study, with unit and default. Loads no torch, so that `init` answers at once."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kotowari.core.options import Options, PresetOptions

__all__ = ["Config", "Preset", "ResponseKind"]

Preset = Literal["quick", "standard", "full"]
ResponseKind = Literal["classification", "regression", "survival"]


class Data(Options):
    """What goes in."""

    table: Path | Literal["tcga_colorectal"] = Field(
        "tcga_colorectal",
        description="log-scale csv, tsv, parquet or h5ad; or tcga_colorectal, which the package holds",
    )
    orientation: Literal["samples", "genes"] = Field("samples", description="what the rows of the table are")
    annotations: Path | None = Field(
        None, description="table of annotations, first column = sample names; none for h5ad and the packaged table"
    )
    group: str | None = Field(
        "patient", description="column of who owns a sample (patient); samples of one owner are never split"
    )
    adjust: tuple[str, ...] = Field(
        (), description="columns of the annotations that are regressed out of every gene inside the fold (cancer type)"
    )
    regulators: Path | Literal["reactome"] = Field(
        "reactome",
        description="text file, one gene a line; or reactome = transcription factors that Reactome's pathways name",
    )
    targets: Path | Literal["variable"] = Field(
        "variable", description="text file, one gene a line; or variable = the genes of largest variance"
    )
    n_targets: int = Field(100, ge=2, description="how many genes variable means, chosen inside the fold")
    missing: Literal["refuse", "lowest"] = Field(
        "refuse",
        description="what a missing value is: refused with its row and column, or the lowest value of its gene",
    )


class Modulator(Options):
    """The axis along which networks change."""

    column: str | None = Field(
        None, description="column of the annotations, such as a drug response; null = score of the signature"
    )
    signature: Path | Literal["emt_markers"] = Field(
        "emt_markers",
        description="csv with the columns gene and direction (up, down); or emt_markers, which the package holds",
    )
    method: Literal["first_component", "mean_z", "ks"] = Field(
        "first_component", description="how the signature becomes a number, fitted inside the fold"
    )
    coherent: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="null = all genes of the signature; 0.05 = those that move together, more than 95 % of others do",
    )
    second: str | None = Field(
        None, description="column of a second modulator, such as tumour purity or share of stroma"
    )


class Network(Options):
    """How the networks are estimated."""

    kernel: Literal["gaussian", "knn"] = Field(
        "knn", description="knn: as wide as the nearest samples lie; gaussian: one width everywhere, as in the paper"
    )
    bandwidth: Literal["effective", "cv"] | float = Field(
        "effective", description="effective: by effective_samples; cv: by prediction of a random half; or h itself"
    )
    effective_samples: float = Field(
        0.5, gt=0, description="effective samples behind the median network; below 1: as a share of the samples"
    )
    criterion: Literal["waicc", "paper", "bic", "cv"] = Field("waicc", description="what chooses the penalty")
    n_lambdas: int = Field(30, ge=2, description="penalties on a path")
    ridges: tuple[float, ...] = Field((0.01,), description="quadratic penalties tried")
    max_rounds: int = Field(1, ge=1, description="most rounds of adaptive weights; 1 = plain elastic net")
    pooling: Literal["cv"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "cv", description="share of one network for all samples in every network, 0 to 1; cv: as predicts best"
    )
    n_nodes: int | None = Field(None, ge=2, description="solve at so many modulator values; null = at every sample")
    path_length: Literal[1, 2] = Field(2, description="longest path of a regulatory effect")
    block_size: int = Field(32, ge=1, description="targets in one block of work")
    numbered_blocks: bool = Field(
        False, description="true = the networks of all samples wait for blocks that `kotowari block` computes elsewhere"
    )


class Prediction(Options):
    """What is predicted from the networks, and how."""

    response: str | None = Field(
        "msi_status", description="column to predict; modulator = the score itself, under guard; null = networks only"
    )
    task: Literal["auto", "classification", "regression"] = Field(
        "auto", description="auto: text or up to 20 whole numbers are classes"
    )
    survival: str | None = Field(
        None,
        description="in place of response: two columns as time:event; event is 1, true or dead, or 0, false or alive",
    )
    core: int = Field(4, ge=1, description="directions kept of regulators, and of targets")
    head: Literal["perceptron", "linear"] = Field("perceptron", description="what reads the projected networks")
    n_members: int = Field(1, ge=1, description="models averaged, each with its own hold-out")
    starts: tuple[Literal["hosvd", "pls", "kernel", "random"], ...] = Field(
        ("hosvd", "pls"), min_length=1, description="where the search for directions begins; the best one is kept"
    )
    reconstruction_weight: float = Field(0.01, ge=0, description="weight of keeping the networks as they are")
    max_edges: int = Field(2000, ge=1, description="edges of largest variance that are handed on, chosen in the fold")

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        if self.survival is None:
            return self
        if self.survival_columns is None:
            raise ValueError(f"survival {self.survival!r} should name two columns, as time:event.")
        if "response" in self.model_fields_set and self.response is not None:
            raise ValueError(
                f"survival {self.survival} stands beside response {self.response}, and a run predicts one outcome. "
                "Set one of them to null."
            )
        if self.task != "auto":
            raise ValueError(f"task {self.task} does not go with survival. Leave it at auto.")
        self.response = None
        return self

    @property
    def outcome(self) -> str | None:
        """What is predicted, in a word or two; None for networks alone."""
        return self.response if self.survival_columns is None else f"survival ({self.survival_columns[0]})"

    @property
    def survival_columns(self) -> tuple[str, str] | None:
        """Columns of time and event; None where survival is not asked for, or not by two different columns."""
        time, _, event = (self.survival or "").partition(":")
        return (time, event) if time and event and ":" not in event and time != event else None


class Validation(Options):
    """How it is judged."""

    n_splits: int = Field(5, ge=2, description="outer folds")
    n_repeats: int = Field(1, ge=1, description="repeats of the folds with another shuffle")


class Trust(Options):
    """How edges are tested."""

    n_permutations: int = Field(20, ge=0, description="refits of the prediction with permuted responses")
    n_edge_permutations: int = Field(20, ge=0, description="refits of all networks with genes permuted within bins")
    n_constant_refits: int = Field(
        20, ge=0, description="refits of all networks on targets whose coefficients are constant"
    )
    n_subsamples: int = Field(10, ge=0, description="pairs of half samples for the selection frequency of edges")
    n_bootstraps: int = Field(25, ge=0, description="bootstraps for the intervals of coefficients")
    n_top: int = Field(100, ge=1, description="edges called selected, and knocked out: the highest scores")
    implant_strengths: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75, 1.0), description="graded edges planted into the table, standard deviations"
    )
    implant_edges: int = Field(10, ge=1, description="edges planted at once")
    implant_repeats: int = Field(2, ge=0, description="plantings at every grade; 0 = none")


_PRESETS: dict[Preset, dict[str, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "data": {"n_targets": 1000},
        "prediction": {"n_members": 5, "starts": ("hosvd", "pls", "kernel", "random"), "max_edges": 20_000},
        "validation": {"n_repeats": 2},
        "trust": {
            "n_permutations": 199,
            "n_edge_permutations": 99,
            "n_constant_refits": 99,
            "n_subsamples": 50,
            "n_bootstraps": 50,
            "implant_repeats": 5,
        },
    },
    "full": {
        "data": {"n_targets": 4000},
        "network": {"ridges": (0.001, 0.01, 0.1), "bandwidth": "cv"},
        "prediction": {"n_members": 5, "starts": ("hosvd", "pls", "kernel", "random"), "max_edges": 20_000},
        "validation": {"n_repeats": 5},
        "trust": {
            "n_permutations": 999,
            "n_edge_permutations": 199,
            "n_constant_refits": 199,
            "n_subsamples": 100,
            "n_bootstraps": 200,
            "implant_repeats": 20,
            "implant_strengths": (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0, 1.5),
        },
    },
}


class Config(PresetOptions):
    """Options of one run of the genenet study."""

    presets = _PRESETS

    study: Literal["genenet"] = Field("genenet", description="which study this file configures")
    preset: Preset = Field(
        "quick", description="sizes of everything that is not set below: quick (minutes), standard (hours), full (days)"
    )
    data: Data = Data()
    modulator: Modulator = Modulator()
    network: Network = Network()
    prediction: Prediction = Prediction()
    validation: Validation = Validation()
    trust: Trust = Trust()
    seed: int = Field(0, ge=0, description="seed of the whole run")
    workers: int = Field(2, ge=1, description="processes for independent fits, one thread each")
    cluster: str | None = Field(
        None,
        description="null = this machine; else who does the fits: the address of a Dask scheduler, such as "
        "tcp://head:8786; or local = a Dask cluster of workers processes here",
    )

    @model_validator(mode="after")
    def _columns_have_a_table(self) -> Self:
        needed = [self.modulator.column, self.modulator.second, *self.data.adjust]
        if self.prediction.response != "modulator":
            needed.append(self.prediction.response)
        needed += self.prediction.survival_columns or ()
        table = self.data.table
        asked = [name for name in needed if name is not None]
        if table != "tcga_colorectal" and self.data.annotations is None and asked and not str(table).endswith(".h5ad"):
            raise ValueError(f"data.annotations: name the table that holds {asked[0]} (only h5ad holds its own).")
        return self

    @classmethod
    def demo(cls, preset: Preset = "quick") -> Self:
        """Networks of the packaged 90 colorectal tumours along epithelial-mesenchymal transition."""
        return cls(preset=preset)
