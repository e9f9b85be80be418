"""The whole page: complete, self-contained, escaped, small, and honest about what is missing."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from parsed_html import ParsedPage, faults
from report_run import STAGES

from kotowari.core import Check, Evidence, Figure, InputError, Metric, Page, RunFolder, Table
from kotowari.core.files import read_json, write_bytes, write_json, write_text
from kotowari.report import write
from kotowari.report.assembly import MAX_BYTES, page_environment, read_content, render

EVIL = "\"'><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)> & {{ 7919*7919 }}"


def page_of(run):
    return ParsedPage(write(run).read_text(encoding="utf-8"))


def noise_png(width, height, rng):
    """A picture that no compression makes small."""
    rows = rng.integers(0, 256, (height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] = 0
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@pytest.fixture
def hostile_run(tmp_path):
    """A run in which every word that a user could choose is an attack."""
    run = RunFolder.create(
        tmp_path / "hostile",
        study=EVIL,
        config={EVIL: {"list": [EVIL]}, "preset": EVIL},
        seed=0,
        command=["kotowari", EVIL],
        stages=["read", EVIL],
    )
    run.note_inputs([{"name": EVIL, "sha256": EVIL, "bytes": 1}])
    rows = [
        Metric(EVIL, EVIL, EVIL, role, 0.5, low=0.4, high=0.6, p=0.5, n=1) for role in ("ours", "comparator", "chance")
    ]
    run.write_metrics("compare", [*rows, replace(rows[0], fold=0)])
    checks = (Check.at_most(EVIL, 2.0, 1.0, EVIL), Check.not_applicable(EVIL, EVIL))
    parts = {"name": np.array([EVIL]), "score": np.array([1.0]), "sign": np.array([EVIL]), "group": np.array([EVIL])}
    evidence = Evidence(EVIL, parts, EVIL, checks=checks, reference=EVIL, derived_from=(EVIL,))
    evidence.save(run.path / "evidence", "one")
    evidence.save(run.path / "evidence", "two")
    sections = ("result", "patients", EVIL)
    words = Page(
        EVIL,
        EVIL,
        [EVIL, EVIL],
        [(EVIL, EVIL)],
        [EVIL],
        [EVIL],
        [Figure(file, EVIL, EVIL, s) for s in sections for file in ("good.png", EVIL)],
        [Table(file, EVIL, EVIL, s) for s in sections for file in ("good.csv", EVIL)],
    )
    words.save(run.path)
    write_bytes(run.path / "figures" / "good.png", noise_png(4, 4, np.random.default_rng(0)))
    quoted = '"' + EVIL.replace('"', '""') + '"'
    write_text(run.path / "tables" / "good.csv", f"{quoted},b\n{quoted},1\n")
    return run


def test_the_page_is_one_file_that_reaches_for_nothing(msi_run):
    path = write(msi_run)
    html = path.read_text(encoding="utf-8")
    assert path == msi_run.path / "report.html"
    assert faults(html) == []
    assert "http:" not in html
    assert "https:" not in html
    assert html.startswith("<!DOCTYPE html>")
    policy = next(meta["content"] for meta in ParsedPage(html).named("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_string_is_escaped(hostile_run):
    html = write(hostile_run).read_text(encoding="utf-8")
    assert faults(html) == []
    assert " ".join(EVIL.split()) in ParsedPage(html).text
    assert str(7919 * 7919) not in ParsedPage(html).text


def test_a_template_without_escaping_is_caught(hostile_run):
    careless = page_environment().overlay(autoescape=False)
    found = faults(render(read_content(hostile_run, MAX_BYTES), careless))
    assert "<script>" in found
    assert "img.onerror" in found


def test_the_same_folder_gives_the_same_bytes(msi_run):
    assert write(msi_run).read_bytes() == write(msi_run).read_bytes()


def test_every_link_leads_to_a_place_that_exists_once(msi_run):
    page = page_of(msi_run)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in page.named("a")} <= set(ids)


def test_sections_stand_in_the_order_of_reading(msi_run):
    headings = [attrs["id"] for attrs in page_of(msi_run).named("h2")]
    assert headings[:5] == ["h-answers", "h-data", "h-scores", "h-reasons", "h-tests"]
    assert headings[-3:] == ["h-limits", "h-reading", "h-provenance"]
    text = page_of(msi_run).text
    places = [text.rindex(title) for title in ("The result in detail", "The reasons in detail", "Pathways", "Patients")]
    assert places == sorted(places)


def test_failed_tests_stand_on_top_and_beside_their_result(msi_run):
    html = write(msi_run).read_text(encoding="utf-8")
    top = ParsedPage(html.split("<nav")[0])
    assert "3 tests of the evidence failed." in top.text
    scores = html.split('<section id="scores"')[1].split("<section")[0]
    assert 'class="alarm one"' in scores
    assert "stability" in ParsedPage(scores).text
    genes, maps = html.split('<article id="reason-1"')[1].split('<article id="reason-2"')
    assert 'class="alarm"' in genes
    assert "about half of the chosen genes change" in genes
    assert 'class="alarm"' in maps.split("<section")[0]
    assert "about half" not in maps.split('<section id="tests"')[0]


def test_a_run_that_passes_everything_raises_no_alarm(msi_run):
    for name in ("genes", "maps"):
        path = msi_run.path / "evidence" / f"{name}.json"
        words = read_json(path)
        words["checks"] = [check for check in words["checks"] if check["verdict"] == "pass"]
        write_json(path, words)
    html = write(msi_run).read_text(encoding="utf-8")
    assert 'class="alarm' not in html
    assert "tests passed" in html


def test_a_failure_stays_off_the_scores_of_another_target(msi_run):
    msi_run.write_metrics(
        "other", [Metric("MSI", "auc", "net", "ours", 0.7), Metric("stage", "auc", "net", "ours", 0.6)]
    )
    content = read_content(msi_run, MAX_BYTES)
    assert {target: len(content.failed_on(target)) for target in content.targets} == {
        "MSI status": 0,
        "MSI": 3,
        "stage": 0,
    }


def test_the_page_tells_command_seed_versions_inputs_and_settings(msi_run):
    text = page_of(msi_run).text
    for words in (
        "kotowari run 'msi study.yaml' --preset quick",
        "Seed 7",
        "9f" * 32,
        "398 kB",
        "splits.json",
        "method: tsne",
    ):
        assert words in text
    assert msi_run.record["versions"]["numpy"] in text
    assert "Refits behind p 20" in text
    assert "Outer folds 5" in text
    assert "3 min 34 s" in text


def test_writing_the_page_is_not_itself_unfinished(msi_run):
    assert msi_run.stage_state("report") == "running"
    assert "not finished" not in page_of(msi_run).text


def test_an_unfinished_run_says_what_is_missing(msi_run):
    msi_run.mark_stage("null", "running")
    msi_run.mark_stage("reasons", "waiting")
    text = page_of(msi_run).text
    assert "This run is not finished. Not yet computed: null, reasons." in text


def test_a_run_that_only_began_has_a_page(tmp_path):
    run = RunFolder.create(tmp_path / "new", study="omics", config={}, seed=0, command=["kotowari"], stages=STAGES)
    html = write(run).read_text(encoding="utf-8")
    text = ParsedPage(html).text
    assert faults(html) == []
    assert "Not yet computed: read, split, fit, compare, null, reasons, trust." in text
    assert "No scores yet." in text
    assert "No evidence yet." in text


def test_what_cannot_be_shown_is_named(msi_run):
    write_text(msi_run.path / "figures" / "roc.png", "not a picture")
    (msi_run.path / "tables" / "pathways.csv").write_bytes(b"gene,\xff\xfe\n")
    (msi_run.path / "tables" / "genes.csv").unlink()
    text = page_of(msi_run).text
    for file in ("figures/missing.png", "figures/roc.png", "tables/pathways.csv", "tables/genes.csv"):
        assert f"Left out: {file}" in text


def test_a_file_outside_the_run_is_not_taken_in(msi_run):
    write_bytes(msi_run.path.parent / "secret.png", noise_png(4, 4, np.random.default_rng(0)))
    write_text(msi_run.path.parent / "secret.csv", "name\nsomebody\n")
    page = Page.load(msi_run.path)
    figures = [Figure("../../secret.png", "", "", "result")]
    replace(page, figures=figures, tables=[Table("../../secret.csv", "", "", "result")]).save(msi_run.path)
    read_back = page_of(msi_run)
    assert read_back.named("img") == []
    assert "somebody" not in read_back.text
    assert "leads out of the run folder" in read_back.text


def test_large_pictures_lose_colours_then_their_place_but_the_page_stays_small(msi_run):
    rng = np.random.default_rng(0)
    page = Page.load(msi_run.path)
    names = [f"noise{i}.png" for i in range(6)]
    for name in names:
        write_bytes(msi_run.path / "figures" / name, noise_png(1000, 900, rng))
    half = (msi_run.path / "figures" / "roc.png").read_bytes()[:2000]
    write_bytes(msi_run.path / "figures" / "half.png", half)
    names.insert(0, "half.png")
    listed = [Figure(name, name, "", "result") for name in (*names, "gone.png")]
    replace(page, figures=listed).save(msi_run.path)
    path = write(msi_run)
    read_back = ParsedPage(path.read_text(encoding="utf-8"))
    assert 0.6 * MAX_BYTES < path.stat().st_size <= MAX_BYTES
    assert [attrs["alt"] for attrs in read_back.named("img")] == names[: len(read_back.named("img"))]
    assert 4 <= len(read_back.named("img")) < 7
    assert "Left out: figures/gone.png" in read_back.text
    assert "shown with 256 colours" in read_back.text
    assert "Left out: figures/noise5.png" in read_back.text


def test_pictures_make_room_for_words(msi_run):
    rng = np.random.default_rng(0)
    names = ["noise0.png", "noise1.png"]
    for name in names:
        write_bytes(msi_run.path / "figures" / name, noise_png(700, 600, rng))
    listed = [Figure(name, name, "", "result") for name in names]
    page = replace(Page.load(msi_run.path), figures=listed, limits=["x" * 2_000_000])
    page.save(msi_run.path)
    path = write(msi_run)
    assert path.stat().st_size <= MAX_BYTES
    read_back = ParsedPage(path.read_text(encoding="utf-8"))
    assert [attrs["alt"] for attrs in read_back.named("img")] == names
    assert "shown with 256 colours" in read_back.text


def test_words_too_many_for_a_page_are_refused(msi_run):
    replace(Page.load(msi_run.path), limits=["x" * MAX_BYTES]).save(msi_run.path)
    with pytest.raises(InputError, match="words and tables alone"):
        write(msi_run)


def test_patients_are_folded_one_by_one_with_picture_and_table_together(msi_run):
    (patients,) = [s for s in read_content(msi_run, MAX_BYTES).sections if s.title == "Patients"]
    assert [(len(block.pictures), len(block.tables)) for block in patients.blocks] == [(1, 1), (0, 1)]


def test_every_picture_has_words_and_every_header_a_scope(msi_run):
    page = page_of(msi_run)
    assert page.named("img")
    assert all(attrs["alt"] for attrs in page.named("img"))
    assert all(attrs.get("scope") in {"row", "col"} for attrs in page.named("th"))
    assert page.named("html") == [{"lang": "en"}]


def test_verdicts_are_told_in_words_and_signs_not_by_colour_alone(msi_run):
    text = page_of(msi_run).text
    assert all(words in text for words in ("✕ fail", "✓ pass", "\N{EN DASH} not applicable"))
