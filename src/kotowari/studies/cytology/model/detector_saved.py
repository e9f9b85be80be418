"""A fitted cell detector in a folder: JSON for words and numbers, safetensors for weights. Nothing is unpickled."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from kotowari.core.errors import InputError, RunFolderError
from kotowari.training.by_prior import PriorHistory
from kotowari.training.checkpoint import load_network, save_network
from kotowari.training.saved_folder import read_facts, write_facts

__all__ = ["SavedDetector", "read_detector", "write_detector"]

_KIND = "CellDetector"
_WORDS, _WEIGHTS = "detector.json", "network.safetensors"
_YARDSTICKS = ("optimum", "bound", "share")


@dataclass(frozen=True)
class SavedDetector:
    """What a folder holds.

    Parameters
    ----------
    weights
        File of the network.
    options
        Of the detector, as plain words and numbers.
    n_channels
        Of the images.
    history
        Of the training.
    """

    weights: Path
    options: dict[str, Any]
    n_channels: int
    history: PriorHistory

    def fill(self, network: nn.Module) -> None:
        """Put the saved weights into a network of the same shape.

        Raises
        ------
        InputError
            When they do not fit.
        """
        try:
            load_network(self.weights, network)
        except RunFolderError as error:
            raise InputError(str(error)) from error


def write_detector(
    folder: Path, network: nn.Module, options: Mapping[str, Any], n_channels: int, history: PriorHistory
) -> None:
    """Write a fitted detector.

    Raises
    ------
    RunFolderError
        When the folder cannot be written.
    """
    save_network(folder / _WEIGHTS, network)
    told = asdict(history)
    told |= {name: None if told[name] != told[name] else told[name] for name in _YARDSTICKS}  # JSON has no NaN
    words = {"options": dict(options), "n_channels": n_channels, "history": told}
    write_facts(folder / _WORDS, _KIND, words, [_WEIGHTS])


def read_detector(folder: Path) -> SavedDetector:
    """Read what :func:`write_detector` wrote.

    Raises
    ------
    InputError
        When a file is missing, changed, or of another kind.
    """
    path = folder / _WORDS
    if not path.is_file() or not (folder / _WEIGHTS).is_file():
        raise InputError(f"{folder}: holds no saved cell detector ({_WORDS} and {_WEIGHTS}).")
    facts = read_facts(path, _KIND)
    history = facts["history"] | {name: float("nan") for name in _YARDSTICKS if facts["history"][name] is None}
    return SavedDetector(folder / _WEIGHTS, facts["options"], facts["n_channels"], PriorHistory(**history))
