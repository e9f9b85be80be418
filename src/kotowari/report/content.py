"""What the page is made of, ready to print."""

from dataclasses import dataclass

from kotowari.core.evidence import Verdict
from kotowari.core.page import Page
from kotowari.report.pictures import Picture
from kotowari.report.provenance import Provenance
from kotowari.report.reasons import CheckView, Reason
from kotowari.report.scores import ScoreGroup
from kotowari.report.tables import TableView

__all__ = ["Block", "Content", "Section"]


@dataclass(frozen=True)
class Block:
    """Figures and tables under one heading, which is empty where the section's own is enough."""

    title: str
    pictures: tuple[Picture, ...]
    tables: tuple[TableView, ...]


@dataclass(frozen=True)
class Section:
    """All figures and tables of one section; blocks with a heading are folded."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Every picture of the section."""
        return tuple(picture for block in self.blocks for picture in block.pictures)


@dataclass(frozen=True)
class Content:
    """Everything that the page shows.

    Parameters
    ----------
    page
        The words of the study; None as long as it has written none.
    pending
        Stages that have not run.
    facts
        What was done and on what, as pairs of name and value.
    checks
        The tests of all evidence, failed ones first.
    """

    study: str
    page: Page | None
    pending: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    groups: tuple[ScoreGroup, ...]
    reasons: tuple[Reason, ...]
    checks: tuple[CheckView, ...]
    sections: tuple[Section, ...]
    provenance: Provenance

    @property
    def failed(self) -> tuple[CheckView, ...]:
        """The tests that were not passed."""
        return self.checks_with(Verdict.FAIL)

    def checks_with(self, verdict: str) -> tuple[CheckView, ...]:
        """Return the tests that came out as ``verdict``."""
        return tuple(check for check in self.checks if check.verdict == verdict)

    @property
    def targets(self) -> tuple[str, ...]:
        """What was predicted, in the order of the scores."""
        return tuple(dict.fromkeys(group.target for group in self.groups))

    def groups_of(self, target: str) -> tuple[ScoreGroup, ...]:
        """Return the scores on one target, a group for each metric."""
        return tuple(group for group in self.groups if group.target == target)

    def failed_on(self, target: str) -> tuple[CheckView, ...]:
        """Return the failed tests that belong beside the scores on ``target``.

        Those of the evidence for that target; where the run has one target alone, those of all evidence.
        """
        return tuple(check for check in self.failed if check.target == target or len(self.targets) == 1)
