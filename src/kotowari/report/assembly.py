"""A run folder laid out as one page that needs nothing but itself."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kotowari.core.errors import InputError
from kotowari.core.evidence import Evidence
from kotowari.core.files import write_text
from kotowari.core.page import Page
from kotowari.core.runfolder import RunFolder
from kotowari.report.content import Block, Content, Section
from kotowari.report.numerals import count, size
from kotowari.report.pictures import Picture, embed
from kotowari.report.provenance import pending_stages, provenance
from kotowari.report.reasons import Reason, all_checks, reasons
from kotowari.report.scores import ScoreGroup, score_groups
from kotowari.report.tables import TableView, read_table

__all__ = ["MAX_BYTES", "page_environment", "read_content", "render", "write"]

MAX_BYTES = 5_000_000
_BYTES_AROUND_A_PICTURE = 300  # its tag is longer than the sentence that stands where one is left out
_TEMPLATES = Path(__file__).parent / "templates"
_SECTION_TITLES = {
    "result": "The result in detail",
    "reason": "The reasons in detail",
    "trust": "How far to trust it",
    "pathways": "Pathways",
    "patients": "Patients",
}


def write(folder: RunFolder) -> Path:
    """Lay out what a run folder holds as ``report.html``, one file of at most :data:`MAX_BYTES`.

    Reads what is there and says what is not; changes nothing else in the folder. Figures that would make the page too
    large are left out by name.

    Parameters
    ----------
    folder
        A run at any stage.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        When a file of the run is not valid JSON, or words and tables alone exceed the size.
    """
    environment = page_environment()
    content = read_content(folder, MAX_BYTES)
    html = render(content, environment)
    if len(html.encode()) > MAX_BYTES:
        pictures = [picture for section in content.sections for picture in section.pictures]
        words = len(html.encode()) - sum(len(picture.uri) for picture in pictures)
        room = MAX_BYTES - words - _BYTES_AROUND_A_PICTURE * len(pictures)
        if room < 0:
            raise InputError(
                f"{folder.path / 'page.json'}: words and tables alone would make a page of {size(words)}, more than "
                f"{size(MAX_BYTES)}. Name fewer tables, or fewer rows of them."
            )
        html = render(read_content(folder, room), environment)
    path = folder.path / "report.html"
    write_text(path, html)
    return path


def page_environment() -> Environment:
    """Return the templates of the page; every string put into them is escaped, and an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(content: Content, environment: Environment) -> str:
    """Return the page as text."""
    return environment.get_template("report.html.j2").render(content=content)


def read_content(folder: RunFolder, room: int) -> Content:
    """Read everything that the page shows, with pictures of at most ``room`` characters in all."""
    page = Page.load(folder.path) if (folder.path / "page.json").is_file() else None
    names = sorted(path.stem for path in (folder.path / "evidence").glob("*.json"))
    views = reasons({name: Evidence.load(folder.path / "evidence", name) for name in names})
    groups = score_groups(folder.metrics())
    return Content(
        study=str(folder.record["study"]),
        page=page,
        pending=pending_stages(folder.record),
        facts=_facts(folder, page, groups, views),
        groups=groups,
        reasons=views,
        checks=all_checks(views),
        sections=_sections(page, folder.path, room) if page else (),
        provenance=provenance(folder.record, folder.path),
    )


def _facts(
    folder: RunFolder, page: Page | None, groups: Iterable[ScoreGroup], views: Iterable[Reason]
) -> tuple[tuple[str, str], ...]:
    """Return the facts that the study gave, and those that the run folder tells by itself."""
    facts = [(str(name), str(value)) for name, value in page.data] if page else []
    if "preset" in folder.record["config"]:
        facts.append(("Preset", str(folder.record["config"]["preset"])))
    folds = {fold for group in groups for fold in group.folds}
    if folds:
        facts.append(("Outer folds", count(len(folds))))
    refits = {n for group in groups for n in group.refits} | {n for view in views for n in view.refits}
    if refits:
        facts.append(("Refits behind p", " and ".join(count(n) for n in sorted(refits))))
    return tuple(facts)


def _sections(page: Page, folder: Path, room: int) -> tuple[Section, ...]:
    pictures = embed(sorted(page.figures, key=lambda figure: _place(figure.section)), folder / "figures", room)
    tables = [read_table(table, folder / "tables") for table in page.tables]
    names = sorted({p.section for p in pictures} | {t.section for t in tables}, key=_place)
    return tuple(
        _section(
            f"section-{number}",
            name,
            [picture for picture in pictures if picture.section == name],
            [table for table in tables if table.section == name],
        )
        for number, name in enumerate(names, 1)
    )


def _section(anchor: str, name: str, pictures: Sequence[Picture], tables: Sequence[TableView]) -> Section:
    title = _SECTION_TITLES.get(name, name.replace("_", " ").capitalize())
    if name != "patients":
        return Section(anchor, title, (Block("", tuple(pictures), tuple(tables)),))
    blocks = (
        Block(
            heading,
            tuple(picture for picture in pictures if picture.title == heading),
            tuple(table for table in tables if table.title == heading),
        )
        for heading in dict.fromkeys([p.title for p in pictures] + [t.title for t in tables])
    )
    return Section(anchor, title, tuple(blocks))


def _place(section: str) -> tuple[int, str]:
    """Return where a section stands; those that a study named itself come last, by name."""
    known = list(_SECTION_TITLES)
    return (known.index(section), "") if section in known else (len(known), section)
