"""What the formats load, and what they say when an extra is missing."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from kotowari.core import checks
from kotowari.core.errors import MissingExtraError
from kotowari.formats import encode_png, read_h5ad, read_table, write_h5ad, write_table

FRAME = pd.DataFrame({"TP53": [1.0]}, index=["S1"])


def test_the_face_loads_no_library_of_an_extra():
    code = (
        "import sys, pandas; before = set(sys.modules); import kotowari.formats, kotowari.datasets; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kotowari" in done.stdout.split()
    assert not set(done.stdout.split()) & {"pyarrow", "anndata", "h5py", "PIL", "torch", "sklearn", "scipy"}


@pytest.mark.parametrize(
    ("library", "verb"),
    [
        ("pyarrow", lambda path: read_table(path / "a.parquet")),
        ("pyarrow", lambda path: write_table(path / "a.parquet", FRAME)),
        ("h5py", lambda path: read_h5ad(path / "a.h5ad")),
        ("h5py", lambda path: write_h5ad(path / "a.h5ad", FRAME, FRAME)),
        ("PIL", lambda _: encode_png(np.zeros((1, 1), dtype=np.uint8))),
    ],
)
def test_a_missing_extra_is_told_with_the_line_that_installs_it(library, verb, tmp_path, monkeypatch):
    def gone(module):
        raise ImportError(module)

    monkeypatch.setattr(checks, "import_module", gone)
    with pytest.raises(MissingExtraError, match=rf"needs {library}, .* pip install 'kotowari\[omics\]'"):
        verb(tmp_path)
