"""What a result rests on: scored parts, a map, and the tests that the reason passed or failed."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import read_json, write_bytes, write_json

__all__ = ["Check", "Evidence", "Frame", "Verdict"]

PART_COLUMNS = ("name", "score", "sign", "stability", "p", "q", "group", "n_null")


class Verdict(StrEnum):
    """Outcome of one test of the evidence."""

    PASS = "pass"  # noqa: S105  (a verdict, not a password)
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Check:
    """One test of the evidence, told in one sentence.

    Parameters
    ----------
    name
        What was tested, such as ``"completeness"``.
    value, threshold
        The figure and the bound it was held against; None where there is none.
    verdict
        Pass, fail or not applicable. A failed check stays beside its result.
    sentence
        What the verdict means for the reader.
    """

    name: str
    value: float | None
    threshold: float | None
    verdict: Verdict
    sentence: str

    @classmethod
    def at_most(cls, name: str, value: float, threshold: float, sentence: str) -> "Check":
        """Pass when ``value <= threshold``; a value that is not a number fails."""
        return cls(name, value, threshold, Verdict.PASS if value <= threshold else Verdict.FAIL, sentence)

    @classmethod
    def at_least(cls, name: str, value: float, threshold: float, sentence: str) -> "Check":
        """Pass when ``value >= threshold``; a value that is not a number fails."""
        return cls(name, value, threshold, Verdict.PASS if value >= threshold else Verdict.FAIL, sentence)

    @classmethod
    def not_applicable(cls, name: str, sentence: str) -> "Check":
        """Say why the test could not be made."""
        return cls(name, None, None, Verdict.NOT_APPLICABLE, sentence)


@dataclass(frozen=True)
class Frame:
    """How a map lies in the measurement.

    Parameters
    ----------
    axes
        Names of the axes in order, such as ``("height", "width")``.
    units
        Unit of one step along each axis, such as ``("pixel", "pixel")``.
    shape
        Length of each axis.
    affine
        Index to position, shape ``(n_axes + 1, n_axes + 1)``; None where the axes have no place in the world.
    """

    axes: tuple[str, ...]
    units: tuple[str, ...]
    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True)
class Evidence:
    """Scores of named parts, where they lie, and how they were tested.

    Parameters
    ----------
    target
        What is explained, such as a class.
    parts
        Columns of equal length: ``name`` and ``score`` always, ``sign``, ``stability``, ``p``, ``q``, ``group`` and
        ``n_null`` (how many refits stand behind p) where they were computed.
    method
        How the scores were made, in a phrase.
    map
        Array in the measurement's own axes; None where parts have no place.
    frame
        How ``map`` lies in the measurement; needed when there is a map.
    checks
        The tests of this evidence.
    reference
        What zero relevance means, such as the mean training image.
    derived_from
        Blocks of data that the scores were computed from; the guard against circular reasoning reads it.
    """

    target: str
    parts: Mapping[str, npt.NDArray[Any]]
    method: str
    map: npt.NDArray[Any] | None = None
    frame: Frame | None = None
    checks: tuple[Check, ...] = ()
    reference: str = ""
    derived_from: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        missing = {"name", "score"} - set(self.parts)
        unknown = set(self.parts) - set(PART_COLUMNS)
        if missing or unknown:
            raise InputError(
                f"Evidence for {self.target}: parts need the columns name and score and may hold "
                f"{', '.join(PART_COLUMNS[2:])}; missing {sorted(missing)}, unknown {sorted(unknown)}."
            )
        lengths = {name: len(column) for name, column in self.parts.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"Evidence for {self.target}: columns of parts differ in length: {lengths}.")
        if self.map is not None and (self.frame is None or self.map.shape != self.frame.shape):
            shape = self.frame.shape if self.frame else ("a frame",)
            raise ShapeError.mismatch("Evidence", "map", shape, self.map.shape)

    def to_frame(self) -> pd.DataFrame:
        """Return the parts as a table, highest score first."""
        table = pd.DataFrame({name: self.parts[name] for name in PART_COLUMNS if name in self.parts})
        return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)

    def save(self, folder: Path, name: str) -> None:
        """Write ``<name>.json`` and ``<name>.npz`` (columns and map, no pickles) into ``folder``."""
        arrays = {f"part_{key}": np.asarray(column) for key, column in self.parts.items()}
        arrays = {key: a.astype(str) if a.dtype == object else a for key, a in arrays.items()}
        if self.map is not None:
            arrays["map"] = self.map
        buffer = BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_bytes(folder / f"{name}.npz", buffer.getvalue())
        words = {key: getattr(self, key) for key in ("target", "method", "reference", "derived_from")}
        checks = [
            asdict(check) | {"value": _json_number(check.value), "threshold": _json_number(check.threshold)}
            for check in self.checks
        ]
        frame = asdict(self.frame) if self.frame else None
        write_json(folder / f"{name}.json", {"schema": 1, **words, "checks": checks, "frame": frame})

    @classmethod
    def load(cls, folder: Path, name: str) -> "Evidence":
        """Read back what :meth:`save` wrote; a number of a check that was not finite comes back as None."""
        words = read_json(folder / f"{name}.json")
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            parts = {key.removeprefix("part_"): arrays[key] for key in arrays.files if key.startswith("part_")}
            map_ = arrays["map"] if "map" in arrays.files else None
        frame = words["frame"]
        if frame is not None:
            affine = frame["affine"] and tuple(tuple(row) for row in frame["affine"])
            frame = Frame(tuple(frame["axes"]), tuple(frame["units"]), tuple(frame["shape"]), affine)
        checks = tuple(Check(**{**check, "verdict": Verdict(check["verdict"])}) for check in words["checks"])
        return cls(
            target=words["target"],
            parts=parts,
            method=words["method"],
            map=map_,
            frame=frame,
            checks=checks,
            reference=words["reference"],
            derived_from=tuple(words["derived_from"]),
        )


def _json_number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
