"""Options go out as a commented file, come back as they were, and refuse what does not fit by its key."""

from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import Field

from kotowari.core.errors import InputError
from kotowari.core.options import Options, commented_yaml, read_yaml, validated


class Oven(Options):
    """How it is baked."""

    degrees: float = Field(180.0, gt=0, description="temperature, Celsius")
    steps: tuple[float, ...] = Field((0.25, 1.0), description="shares of the time")
    shape: Literal["round"] | tuple[int, int] = Field("round", description="form")


class Cake(Options):
    """A cake."""

    study: Literal["cake"] = Field("cake", description="which study")
    recipe: Path | Literal["known"] = Field("known", description="where it stands: a path")
    note: str | None = Field(None, description="a word: with #, and colons")
    oven: Oven = Oven()
    sweet: bool = Field(True, description="sugar")


def refusal(content, base=None):
    with pytest.raises(InputError) as raised:
        validated(Cake, content, where="cake.yaml", base=base)
    sentence = str(raised.value)
    assert sentence.startswith("cake.yaml: ")
    assert sentence.endswith("`kotowari init` lists every key.")
    assert "\n" not in sentence
    return sentence


def described(kind):
    for field in kind.model_fields.values():
        default = field.default
        yield from described(type(default)) if isinstance(default, Options) else [field.description]


@pytest.mark.parametrize(
    "cake",
    [
        Cake(),
        Cake(recipe=Path("/a b/é.txt"), note="yes: #1 'no'", sweet=False),
        Cake(oven=Oven(degrees=1e-9, steps=(), shape=(3, 4)), note="null"),
    ],
)
def test_options_written_with_comments_come_back_as_they_were(cake, tmp_path):
    (tmp_path / "cake.yaml").write_text(commented_yaml(cake))
    assert validated(Cake, read_yaml(tmp_path / "cake.yaml"), where="cake.yaml") == cake


def test_every_option_is_written_with_what_it_is():
    text = commented_yaml(Cake())
    assert [words for words in described(Cake) if f"  # {words}\n" not in text] == []
    assert "oven:  # How it is baked\n" in text


def test_options_of_a_preset_stand_commented_out():
    text = commented_yaml(Cake(), set_by_preset={"oven.degrees", "sweet"})
    assert "  # degrees: 180.0  # temperature, Celsius\n" in text
    assert "\n# sweet: true  # sugar\n" in text
    assert set(yaml.safe_load(text)) == {"study", "recipe", "note", "oven"}
    assert set(yaml.safe_load(text)["oven"]) == {"steps", "shape"}


def test_paths_are_relative_to_the_file_they_stand_in(tmp_path):
    def recipe(path):
        return validated(Cake, {"recipe": path}, where="", base=tmp_path / "deep").recipe

    assert recipe("in/a.txt") == tmp_path / "deep" / "in" / "a.txt"
    assert recipe("../a.txt") == tmp_path / "a.txt"
    assert recipe("/a.txt") == Path("/a.txt")
    assert recipe("known") == "known"
    assert validated(Cake, {"recipe": "a.txt"}, where="").recipe == Path("a.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"sugar": 1}, "cake.yaml: sugar: there is no such key."),
        ({"path": 1}, "cake.yaml: path: there is no such key."),
        ({"oven": {"path": 1}}, "cake.yaml: oven.path: there is no such key."),
        ({"oven": {"degrees": "hot"}}, "cake.yaml: oven.degrees: Input should be a valid number"),
        ({"oven": {"degrees": 0}}, "cake.yaml: oven.degrees: Input should be greater than 0."),
        ({"oven": {"steps": [1, "x"]}}, "cake.yaml: oven.steps.1: "),
        ({"oven": 7}, "cake.yaml: oven: Input should be a valid dictionary"),
        ({"recipe": 7}, "cake.yaml: recipe: "),
        ({"study": "pie"}, "cake.yaml: study: Input should be 'cake'."),
    ],
)
def test_a_fault_is_told_by_the_key_that_was_typed(content, words):
    sentence = refusal(content)
    assert sentence.startswith(words)
    assert "not fit either" not in sentence


def test_further_faults_are_counted_by_key():
    assert "(1 more key does not fit either.)" in refusal({"sugar": 1, "recipe": 7})
    assert "(2 more keys do not fit either.)" in refusal({"sugar": 1, "recipe": 7, "sweet": "perhaps"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"study: cake\noven: [", "line 2: is not valid YAML"),
        (b"study: cake\n\tnote: x", "line 2: is not valid YAML"),
        (b"study: \xff", "is not valid YAML"),
        (b"study: !!python/object/apply:os.system ['true']", "is not valid YAML"),
        (b"- study", "names no study"),
        (b"note: x", "names no study"),
        (b"", "names no study"),
    ],
)
def test_a_file_that_holds_no_options_is_refused(content, words, tmp_path):
    path = tmp_path / "cake.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as raised:
        read_yaml(path)
    assert str(raised.value).startswith(f"{path}")


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path)
