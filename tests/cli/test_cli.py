"""The words a user types: what they answer, what they load, and the code they leave."""

import subprocess
import sys

import pytest
import yaml

from kotowari.cli import doctor
from kotowari.cli import main as commands
from kotowari.core.errors import InputError
from kotowari.core.options import read_yaml, validated
from kotowari.studies import STUDIES, study_named
from kotowari.studies.omics.config import Config
from typed_words import typed

WORDS = ("demo", "studies", "init", "run", "resume", "apply", "report", "doctor")
LOADED = """
import sys
from kotowari.cli.main import main
sys.argv = ["kotowari", *sys.argv[1:]]
code = main()
heavy = "torch numpy pandas scipy sklearn matplotlib anndata yaml".split()
print("LOADED", [name for name in heavy if name in sys.modules])
raise SystemExit(code)
"""


@pytest.fixture
def kotowari(monkeypatch, capsys):
    """Type words; returns the exit code, and what stood on the two streams."""

    def type_words(*words):
        code = typed(monkeypatch, *words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return type_words


def in_a_process(*words):
    return subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=False)


def stand_in(monkeypatch, fault):
    """Put a study in place of the real one, that stumbles over ``fault`` when it is asked for."""

    def study(_name):
        raise fault

    monkeypatch.setattr(commands, "_study", study)


@pytest.mark.parametrize("word", WORDS)
def test_every_command_tells_what_it_does(word, kotowari):
    code, told, _ = kotowari(word, "--help")
    assert code == 0
    assert f"Usage: kotowari {word}" in told


def test_the_help_lists_every_command(kotowari):
    code, told, _ = kotowari("--help")
    assert code == 0
    assert [word for word in WORDS if f" {word} " not in told] == []


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["demo", "--help"]])
def test_help_loads_no_libraries(words):
    done = in_a_process(*words)
    assert done.returncode == 0, done.stderr
    assert "Usage: kotowari" in done.stdout
    assert done.stdout.endswith("LOADED []\n")


def test_a_list_and_a_template_load_no_numbers_and_a_loaded_library_is_seen():
    assert in_a_process("studies").stdout.endswith("LOADED []\n")
    assert in_a_process("init", "omics").stdout.endswith("LOADED ['yaml']\n")


def test_the_module_answers_as_the_command_does():
    done = subprocess.run([sys.executable, "-m", "kotowari", "runn"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: kotowari ")


def test_every_study_is_listed_with_what_it_answers(kotowari):
    code, told, _ = kotowari("studies")
    assert code == 0
    assert [line.split()[0] for line in told.splitlines()] == list(STUDIES)
    assert study_named("omics").SUMMARY in told


def test_the_template_is_read_back_as_the_example(kotowari, tmp_path):
    code, text, _ = kotowari("init", "omics")
    assert code == 0
    assert text.startswith("study: omics  # ")
    (tmp_path / "s.yaml").write_text(text)
    assert validated(Config, read_yaml(tmp_path / "s.yaml"), where="s.yaml", base=tmp_path) == Config.demo()


def test_every_option_of_the_template_has_a_comment(kotowari):
    _, text, _ = kotowari("init", "omics")
    lines = [line for line in text.splitlines() if line]
    assert [line for line in lines if len(line.partition("  # ")[2]) < 3] == []
    assert len(lines) > 40


def test_the_template_follows_a_preset_and_keeps_what_the_user_sets(kotowari, tmp_path):
    _, text, _ = kotowari("init", "omics")
    text = text.replace("preset: quick", "preset: full").replace("  # n_members: 1", "  n_members: 2")
    (tmp_path / "s.yaml").write_text(text)
    config = validated(Config, yaml.safe_load(text), where="s.yaml", base=tmp_path)
    assert config.network.n_members == 2
    assert (config.network.tune, config.trust.n_permutations, config.layout.n_maps) == (20, 999, 3)


def test_words_on_the_command_line_go_over_the_file(kotowari, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(commands, "_start", lambda _face, config, out, until: seen.append((config, out, until)))
    monkeypatch.setattr(commands, "_finished", lambda _folder: None)
    (tmp_path / "s.yaml").write_text("study: omics\nseed: 1\npreset: quick\ndevice: cpu\ntrust: {n_bootstraps: 7}\n")
    words = ["--seed", 5, "--preset", "standard", "--device", "auto", "--out", tmp_path / "r", "--until", "fit"]
    assert kotowari("run", tmp_path / "s.yaml", *words)[0] == 0
    ((config, out, until),) = seen
    assert (config.seed, config.preset, config.device) == (5, "standard", "auto")
    assert (config.trust.n_bootstraps, config.trust.n_permutations) == (7, 199)
    assert (out, until) == (tmp_path / "r", "fit")


def test_a_demo_is_the_embedded_example_of_the_preset(kotowari, monkeypatch):
    seen = []
    monkeypatch.setattr(commands, "_start", lambda _face, config, _out, _until: seen.append(config))
    monkeypatch.setattr(commands, "_finished", lambda _folder: None)
    assert kotowari("demo")[0] == kotowari("demo", "omics", "--preset", "standard")[0] == 0
    assert seen == [Config.demo("quick"), Config.demo("standard")]


def test_a_refusal_is_one_sentence_and_code_one(kotowari, monkeypatch):
    stand_in(monkeypatch, InputError("flour.csv: is empty. Fill it."))
    assert kotowari("init", "omics") == (1, "", "kotowari: flour.csv: is empty. Fill it.\n")


def test_an_unknown_study_is_refused_with_those_there_are(kotowari):
    for words in (["demo", "weather"], ["init", "weather"]):
        assert kotowari(*words) == (
            1,
            "",
            "kotowari: There is no study 'weather'. There are: angiography, brain, cytology, genenet, omics.\n",
        )


@pytest.mark.parametrize("words", [["bake"], ["run"], ["run", "--nope", "x"], ["demo", "--preset", "huge"]])
def test_wrong_usage_is_code_two(words, kotowari):
    code, _, told = kotowari(*words)
    assert code == 2
    assert told.startswith("Usage: kotowari")


def test_an_interruption_is_code_130(kotowari, monkeypatch):
    stand_in(monkeypatch, KeyboardInterrupt())
    code, told, complaint = kotowari("init", "omics")
    assert (code, told) == (130, "")
    assert complaint.splitlines()[-1] == "kotowari: stopped."


def test_a_fault_of_ours_is_not_hidden(kotowari, monkeypatch):
    stand_in(monkeypatch, ZeroDivisionError("a fault of ours"))
    with pytest.raises(ZeroDivisionError):
        kotowari("init", "omics")


def test_the_doctor_names_version_extras_and_devices(kotowari):
    code, told, _ = kotowari("doctor")
    assert code == 0
    assert told.startswith("kotowari 0.")
    assert "extra omics: complete\n" in told
    assert "devices: cpu" in told


def test_the_doctor_names_what_is_missing(monkeypatch):
    real, whole = doctor.find_spec, doctor._is_installed
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in ("torch", "umap") else real(name))
    monkeypatch.setattr(doctor, "_is_installed", lambda name: name != "torch" and whole(name))
    told = list(doctor.lines())
    for study in STUDIES:
        assert f"extra {study}: lacks torch: pip install 'kotowari[{study}]'" in told
    assert told[-1] == "devices: torch is not installed"
    assert any(line.startswith("optional umap: not installed") for line in told)
