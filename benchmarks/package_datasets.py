"""Make the data files that the package carries from the files of KOTOWARI_DATA; run again, it gives the same bytes."""

import csv
import gzip
import os
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError
from kotowari.core.files import write_bytes

HOME = Path(__file__).parents[1] / "src" / "kotowari" / "datasets"

# packaged name -> column of the source
ANNOTATIONS = {
    "msi_status": "MSI_status_TCGAPaper_twogroup",
    "site": "Cancer",
    "gender": "gender",
    "age": "age_at_initial_pathologic_diagnosis",
    "stage": "tumor_stage",
}


def tcga_colorectal(source: Path) -> dict[str, npt.NDArray[Any]]:
    """Return hundredths by sample and gene, names, and the chosen annotations; text that is missing is empty."""
    with gzip.open(source / "omics" / "tcga_colorectal_expression.csv.gz", "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    barcodes = header[1:]
    hundredths = np.array([[_hundredths(cell) for cell in row[1:]] for row in rows], dtype=np.uint16)
    with gzip.open(source / "omics" / "tcga_colorectal_annotation.csv.gz", "rt", encoding="utf-8", newline="") as file:
        annotated = {row["Barcode"]: row for row in csv.DictReader(file)}
    arrays: dict[str, npt.NDArray[Any]] = {
        "hundredths": hundredths.T,
        "genes": np.array([row[0] for row in rows]),
        "patient": np.array(barcodes),
    }
    for name, column in ANNOTATIONS.items():
        cells = [annotated[barcode][column] for barcode in barcodes]
        arrays[name] = np.array(["" if cell == "NA" else cell for cell in cells])
    arrays["age"] = arrays["age"].astype(np.uint8)
    return arrays


def reactome(source: Path) -> bytes:
    """Return the lines of the source; a line that repeats an earlier one in full is left out."""
    lines = (source / "omics" / "gene_sets" / "reactome_2019-03.gmt").read_bytes().splitlines(keepends=True)
    return b"".join(dict.fromkeys(lines))


def packed(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Return an npz of the arrays, as small as deflate makes it and with no date in it."""
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), member.getvalue(), ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def _hundredths(cell: str) -> int:
    whole, _, part = cell.partition(".")
    if len(part) > 2:
        raise InputError(f"expression: {cell!r} has more than two decimals, which would be lost.")
    return int(whole) * 100 + int(part.ljust(2, "0"))


def main() -> None:
    """Write both files into the package."""
    if "KOTOWARI_DATA" not in os.environ:
        sys.exit("KOTOWARI_DATA is not set. Let it name the folder that holds omics/tcga_colorectal_expression.csv.gz.")
    source = Path(os.environ["KOTOWARI_DATA"])
    files = {
        HOME / "tcga_colorectal" / "tcga_colorectal.npz": packed(tcga_colorectal(source)),
        HOME / "reactome" / "reactome_2019-03.gmt.gz": gzip.compress(reactome(source), mtime=0),
    }
    for path, content in files.items():
        write_bytes(path, content)
        print(f"{path.relative_to(HOME)}: {len(content)} bytes")


if __name__ == "__main__":
    main()
