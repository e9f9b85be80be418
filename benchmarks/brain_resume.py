"""A run that is killed and resumed gives the bytes of one that was not."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from harness import Figures, NotMeasured
from kotowari.studies import STUDIES

__all__ = ["killed_and_resumed"]

_WHAT = ("tables", "maps", "model", "metrics.json", "splits.json")
_WAIT_S = 1800


def killed_and_resumed(quick: bool) -> Figures:
    """Measure ``resume_equal``: tables, maps, models, metrics and splits of a small run, byte by byte.

    The second run is killed once some fits stand and others are missing, then resumed.
    """
    if "brain" not in STUDIES:
        raise NotMeasured("resume not measured: the command line does not know the study brain yet.")
    if os.name != "posix":
        raise NotMeasured("resume not measured: this system does not kill by signal.")
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "brain.yaml"
        config.write_text(yaml.safe_dump(_small(quick=quick)), encoding="utf-8")
        _told("run", config, "--out", folder / "whole").check_returncode()
        killed = _killed(config, folder / "killed", _n_shards(folder / "whole") // 3)
        _told("resume", folder / "killed").check_returncode()
        whole, again = (_hashes(folder / run) for run in ("whole", "killed"))
    differing = sorted(path for path in whole.keys() | again.keys() if whole.get(path) != again.get(path))
    return {
        "resume_equal": killed and bool(whole) and not differing,
        "resume_killed_midway": killed,
        "resume_files": len(whole),
        "resume_differing": " ".join(differing[:5]),
    }


def _small(*, quick: bool) -> dict[str, object]:
    return {
        "study": "brain",
        "phantom": {"n_subjects": 60 if quick else 100, "voxel_mm": 12.0 if quick else 10.0},
        "features": {"n_channels": 4, "max_epochs": 1, "grid_blocks": [1], "grid_channels": [4]},
        "validation": {"n_splits": 2 if quick else 3},
        "trust": {"n_permutations": 5, "n_map_shuffles": 5, "n_glm_permutations": 5, "implant_repeats": 0},
        "workers": 1,
    }


def _killed(config: Path, run: Path, n_shards: int) -> bool:
    """Start a run and kill it when so many shards stand; whether it was killed before its end."""
    process = subprocess.Popen([*_command(), "run", str(config), "--out", str(run)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + _WAIT_S
    while process.poll() is None and time.monotonic() < end:
        if _n_shards(run) >= max(1, n_shards):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.05)
    return process.wait() == -signal.SIGKILL


def _n_shards(run: Path) -> int:
    return sum(1 for _ in run.rglob("*.npz"))


def _told(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*_command(), *map(str, arguments)], check=False, stdout=subprocess.DEVNULL)


def _command() -> list[str]:
    return [sys.executable, "-m", "kotowari"]


def _hashes(run: Path) -> dict[str, str]:
    files = [path for word in _WHAT for path in ([run / word] if (run / word).is_file() else (run / word).rglob("*"))]
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()
    }
