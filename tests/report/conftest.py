"""Run folders for the tests of the report."""

import shutil
from pathlib import Path

import pytest
from report_run import build_run

from kotowari.core import RunFolder


@pytest.fixture(scope="session")
def built_run(tmp_path_factory):
    return build_run(tmp_path_factory.mktemp("built") / "omics-1").path


@pytest.fixture
def msi_run(built_run, tmp_path):
    """A finished run of its own for each test."""
    return RunFolder(Path(shutil.copytree(built_run, tmp_path / "omics-1")))
