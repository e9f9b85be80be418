"""The shape of the house, kept by a test."""

import os
import shutil
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import grimp
import pytest

import kotowari
from kotowari.studies import STUDIES

HOUSE = Path(kotowari.__file__).parent
SETTINGS = Path(__file__).parents[1] / "pyproject.toml"
LINTER = Path(sys.executable).with_name("lint-imports")
COMMANDS = {"cli", "testing", "viewer"}  # reached by a command or a test, not through the face
MOST_LINES = 400


def circles(graph):
    """Chains of imports that lead from a module back to itself."""
    return [
        " -> ".join((module, *back))
        for module in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if (back := graph.find_shortest_chain(importer=imported, imported=module)) is not None
    ]


def face_imports(graph):
    """Modules that import a package in which they themselves lie."""
    return [
        f"{module} imports {imported}"
        for module in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if module.startswith(f"{imported}.")
    ]


def small_house(folder, files):
    """Write a package of a few modules; return its name."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / "small_house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return "small_house"


def lint(folder=None):
    """Run the linter on the package that stands here, or on a copy in ``folder``."""
    environment = os.environ if folder is None else os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [LINTER, "--config", SETTINGS, "--no-cache", "--no-logo"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(statement, *libraries):
    """Which of ``libraries`` a fresh interpreter holds after ``statement``."""
    code = f"import sys\n{statement}\nprint(*sorted(set({libraries!r}) & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split()


def packages():
    folders = (path.parent.relative_to(HOUSE.parent) for path in sorted(HOUSE.rglob("__init__.py")))
    return [".".join(folder.parts) for folder in folders]


def by_kind(name):
    """Constants, then classes, then functions, as the linter of the code sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("kotowari", cache_dir=None)


def test_no_module_reaches_itself(graph):
    assert circles(graph) == []


def test_no_module_imports_a_face_of_its_own_package(graph):
    assert face_imports(graph) == []


def test_a_circle_of_imports_is_caught(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    files = {"a.py": "import small_house.b", "b.py": "import small_house.c", "c.py": "import small_house.a"}
    planted = grimp.build_graph(small_house(tmp_path, files), cache_dir=None)
    assert "small_house.a -> small_house.b -> small_house.c -> small_house.a" in circles(planted)


def test_an_import_of_the_own_face_is_caught(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    files = {"room/__init__.py": "", "room/chair.py": "import small_house.room", "room/table.py": "import small_house"}
    planted = grimp.build_graph(small_house(tmp_path, files), cache_dir=None)
    assert face_imports(planted) == [
        "small_house.room.chair imports small_house.room",
        "small_house.room.table imports small_house",
    ]


def test_the_import_contracts_are_kept():
    run = lint()
    assert run.returncode == 0, run.stdout
    assert "0 broken" in run.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("networks/scaling.py", "import kotowari.training.plan", "Floors: import only from below"),
        ("studies/second/__init__.py", "import kotowari.studies.omics", "Studies are strangers to each other"),
        ("core/seeds.py", "import torch", "Presentation knows no numerics"),
        ("formats/png.py", "import sklearn", "Presentation knows no numerics"),
        ("core/errors.py", "import kotowari.report.content", "No knots between rooms"),
    ],
)
def test_a_forbidden_import_is_caught(tmp_path, file, line, contract):
    shutil.copytree(HOUSE, tmp_path / "kotowari", ignore=shutil.ignore_patterns("__pycache__"))
    planted = tmp_path / "kotowari" / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f"{planted.read_text() if planted.exists() else ''}\n{line}\n")
    run = lint(tmp_path)
    assert run.returncode == 1, run.stderr
    assert f"{contract} BROKEN" in run.stdout


@pytest.mark.parametrize("statement", ["import kotowari", "import kotowari.core", "import kotowari.core.errors"])
def test_the_face_the_core_and_the_errors_load_no_libraries(statement):
    assert loaded(statement, "torch", "numpy", "pandas", "pydantic", "sklearn", "scipy", "matplotlib") == []


@pytest.mark.parametrize("room", ["core.evidence", "formats", "datasets", "report"])
def test_rooms_of_presentation_load_neither_torch_nor_sklearn(room):
    assert loaded(f"import kotowari.{room}", "torch", "sklearn") == []


def test_what_is_loaded_is_seen():
    assert loaded("import kotowari.core.evidence, kotowari.networks", "torch", "numpy", "pandas") == [
        "numpy",
        "pandas",
        "torch",
    ]


def test_the_face_names_every_room_and_nothing_else():
    rooms = {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    assert set(kotowari.__all__) == rooms - COMMANDS
    assert dir(kotowari) == sorted([*kotowari.__all__, "__version__"])
    assert kotowari.__version__ == metadata.version("kotowari")
    with pytest.raises(AttributeError, match="has no attribute 'kitchen'"):
        _ = kotowari.kitchen


@pytest.mark.parametrize("name", packages())
def test_the_names_of_a_package_are_sorted_and_there(name):
    package = import_module(name)
    offered = getattr(package, "__all__", [])
    assert len(set(offered)) == len(offered)
    assert list(offered) == sorted(offered, key=by_kind)
    assert [word for word in offered if not hasattr(package, word)] == []


def hidden_by_modules(folder, offered):
    """Names that a lazy package offers and a module of it has too: once imported, the module stands under the name."""
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return sorted(modules & set(offered))


@pytest.mark.parametrize("study", STUDIES.values())
def test_no_study_offers_a_name_that_one_of_its_modules_has(study):
    package = import_module(study)
    assert hidden_by_modules(Path(package.__file__).parent, package.__all__) == []


def test_a_name_hidden_by_a_module_is_caught(tmp_path):
    (tmp_path / "run.py").touch()
    assert hidden_by_modules(tmp_path, ["apply", "run"]) == ["run"]


def test_the_core_refuses_a_name_that_it_does_not_have():
    core = import_module("kotowari.core")
    assert dir(core) == core.__all__
    with pytest.raises(AttributeError, match=r"'kotowari\.core' has no attribute 'Tensor'"):
        _ = core.Tensor


def test_no_file_is_longer_than_a_reader_can_hold():
    lines = {path.relative_to(HOUSE).as_posix(): path.read_text().count("\n") for path in HOUSE.rglob("*.py")}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}
