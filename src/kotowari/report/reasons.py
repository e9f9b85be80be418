"""Evidence as a table of named parts, and its tests as verdicts that cannot be overlooked."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kotowari.core.evidence import Check, Evidence, Verdict
from kotowari.report.numerals import DASH, MINUS, count, decimals_for, fixed, p_value, significant

__all__ = ["MAX_PARTS", "CheckView", "PartRow", "Reason", "all_checks", "reasons"]

MAX_PARTS = 25
_FAINT = 0.01  # below this share of the top score the decimals of the column would show zeros
_VERDICT_ORDER = (Verdict.FAIL, Verdict.PASS, Verdict.NOT_APPLICABLE)


@dataclass(frozen=True)
class CheckView:
    """One test of the evidence, in words.

    Parameters
    ----------
    anchor, reason_anchor
        Where the test and its reason stand in the page.
    target
        Target of the evidence that was tested.
    title
        The same, told apart from other evidence for one target.
    name, value, bound, sentence
        As in :class:`kotowari.core.Check`.
    verdict
        ``pass``, ``fail`` or ``not applicable``.
    """

    anchor: str
    reason_anchor: str
    target: str
    title: str
    name: str
    value: str
    bound: str
    sentence: str
    verdict: str


@dataclass(frozen=True)
class PartRow:
    """One named part with its figures; ``bar`` is the length of its score in percent of the longest shown."""

    rank: int
    name: str
    score: str
    bar: float
    is_against: bool
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """One evidence as the page shows it.

    Parameters
    ----------
    title
        Its target, with its name where several speak of one target.
    headers
        Of the columns after name and score, those that the evidence has.
    rows
        The first :data:`MAX_PARTS` parts by score.
    total
        How many parts the file holds.
    refits
        How many refits stand behind the p values shown; empty where none does.
    """

    anchor: str
    file: str
    title: str
    method: str
    reference: str
    derived_from: tuple[str, ...]
    headers: tuple[str, ...]
    rows: tuple[PartRow, ...]
    total: int
    refits: tuple[int, ...]
    checks: tuple[CheckView, ...]

    @property
    def failed(self) -> tuple[CheckView, ...]:
        """The tests that this evidence did not pass."""
        return tuple(check for check in self.checks if check.verdict == Verdict.FAIL)


def reasons(evidences: Mapping[str, Evidence]) -> tuple[Reason, ...]:
    """Return one view for each evidence, keyed by its name in ``evidence/``."""
    targets = Counter(evidence.target for evidence in evidences.values())
    views = []
    for number, (name, evidence) in enumerate(evidences.items(), 1):
        title = evidence.target if targets[evidence.target] == 1 else f"{evidence.target}: {name.replace('_', ' ')}"
        views.append(_reason(f"reason-{number}", name, title, evidence))
    return tuple(views)


def all_checks(views: Iterable[Reason]) -> tuple[CheckView, ...]:
    """Return every test of every evidence, the failed ones first."""
    checks = [check for view in views for check in view.checks]
    return tuple(sorted(checks, key=lambda check: _VERDICT_ORDER.index(Verdict(check.verdict))))


def _reason(anchor: str, name: str, title: str, evidence: Evidence) -> Reason:
    parts = evidence.to_frame()
    shown = parts.head(MAX_PARTS)
    refits = _refits(shown)
    refits_of_all = refits[0] if refits and shown["n_null"].nunique(dropna=False) == 1 else None
    columns = [column for column in ("sign", "stability", "p", "q", "group", "n_null") if column in shown]
    if refits_of_all is not None:  # said once in the header, not once a row
        columns.remove("n_null")
    scores = shown["score"].to_numpy(float)
    longest = float(np.max(np.abs(scores), where=np.isfinite(scores), initial=0.0)) or 1.0
    return Reason(
        anchor=anchor,
        file=f"evidence/{name}.npz",
        title=title,
        method=evidence.method,
        reference=evidence.reference,
        derived_from=evidence.derived_from,
        headers=tuple(_header(column, refits_of_all) for column in columns),
        rows=tuple(
            _part_row(rank, part, columns, longest=longest)
            for rank, part in enumerate(shown.to_dict(orient="records"), 1)
        ),
        total=len(parts),
        refits=refits,
        checks=tuple(_check_view(i, anchor, title, evidence.target, c) for i, c in enumerate(evidence.checks, 1)),
    )


def _part_row(rank: int, part: Mapping[Any, Any], columns: Iterable[str], *, longest: float) -> PartRow:
    score = float(part["score"])
    return PartRow(
        rank=rank,
        name=str(part["name"]),
        score=fixed(score, decimals_for([], [longest])) if abs(score) > _FAINT * longest else significant(score, 2),
        bar=round(100 * abs(score) / longest, 1) if np.isfinite(score) else 0.0,
        is_against=score < 0 or _sign(part.get("sign", "")) == MINUS,
        cells=tuple(_cell(column, part[column]) for column in columns),
    )


def _check_view(number: int, reason_anchor: str, title: str, target: str, check: Check) -> CheckView:
    return CheckView(
        anchor=f"{reason_anchor}-test-{number}",
        reason_anchor=reason_anchor,
        target=target,
        title=title,
        name=check.name,
        value=significant(check.value),
        bound=significant(check.threshold),
        sentence=check.sentence,
        verdict=str(check.verdict),
    )


def _refits(shown: pd.DataFrame) -> tuple[int, ...]:
    if "n_null" not in shown:
        return ()
    return tuple(sorted({int(n) for n in shown["n_null"].tolist() if np.isfinite(n) and n > 0}))


def _header(column: str, refits: int | None) -> str:
    if column == "p" and refits is not None:
        return f"p ({count(refits)} refits)"
    return "refits" if column == "n_null" else column


def _cell(column: str, value: Any) -> str:
    if column == "sign":
        return _sign(value)
    if isinstance(value, str):
        return value or DASH
    if column in {"p", "q"}:
        return p_value(float(value))
    if column == "stability":
        return fixed(float(value), 2)
    return significant(float(value))


def _sign(value: Any) -> str:
    if isinstance(value, str):
        return value or DASH
    return "+" if value > 0 else MINUS if value < 0 else "0" if value == 0 else DASH
