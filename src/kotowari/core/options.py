"""Options of a study as a commented YAML file and back, with one sentence for whatever does not fit."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator

from kotowari.core.errors import InputError

__all__ = ["Options", "PresetOptions", "commented_yaml", "read_yaml", "validated"]


class Options(BaseModel):
    """A section of a configuration: unknown keys are refused, paths are relative to the file they stand in."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    @field_validator("*", mode="after")
    @classmethod
    def _paths_from_file(cls, value: Any, info: ValidationInfo) -> Any:
        base = (info.context or {}).get("base")
        return Path(os.path.normpath(base / value)) if isinstance(value, Path) and base is not None else value


class PresetOptions(Options):
    """Options of a whole run, in sections; the sizes of its ``preset`` lie under whatever a user sets.

    Attributes
    ----------
    presets
        Name of a preset to sections to sizes; each study has its own.
    """

    presets: ClassVar[Mapping[Any, Mapping[str, Mapping[str, Any]]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        sizes = next((own for name, own in cls.presets.items() if name == given.get("preset")), {})
        # a section of which every line is commented out reads as null
        merged = {name: {} if value is None and cls._is_section(name) else value for name, value in given.items()}
        for section, values in sizes.items():
            own = merged.get(section, {})
            own = own.model_dump(exclude_unset=True) if isinstance(own, Options) else own
            merged[section] = {**values, **own} if isinstance(own, dict) else own
        return merged

    @classmethod
    def set_by_preset(cls) -> set[str]:
        """Return the dotted names of the options that follow the preset."""
        return {f"{section}.{key}" for sizes in cls.presets.values() for section in sizes for key in sizes[section]}

    @classmethod
    def _is_section(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        return field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, Options)


OptionsT = TypeVar("OptionsT", bound=Options)


def commented_yaml(options: Options, *, set_by_preset: Collection[str] = ()) -> str:
    """Return every option with its default, and what it is, as YAML that :func:`read_yaml` reads back.

    Options of ``set_by_preset`` (dotted names) stand commented out, so that they follow the preset until a user sets
    them.
    """
    return "\n".join(_lines(options, "", set_by_preset)) + "\n"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds options by name.

    Raises
    ------
    InputError
        When it cannot be read, is no YAML, or holds anything but named options.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise InputError(f"{path}{line}: is not valid YAML. Begin from `kotowari init STUDY`.") from error
    if not isinstance(content, dict) or "study" not in content:
        raise InputError(f"{path}: names no study. Its first line should be `study: omics` or the like.")
    return content


def validated(kind: type[OptionsT], content: Mapping[str, Any], *, where: str, base: Path | None = None) -> OptionsT:
    """Return checked options, or say in one sentence which key does not fit and why.

    Parameters
    ----------
    kind
        Class of the options.
    content
        Options by name.
    where
        Name of the file for the sentence.
    base
        Folder that paths are relative to; None leaves them as they are.
    """
    try:
        return kind.model_validate(content, context={"base": None if base is None else base.resolve()})
    except ValidationError as error:
        # the branches of a union each complain of the same key
        keys = list(dict.fromkeys(_typed_key(fault) for fault in error.errors()))
        first, more = error.errors()[0], len(keys) - 1
        unknown = first["type"] == "extra_forbidden"
        words = "there is no such key" if unknown else first["msg"].removeprefix("Value error, ").rstrip(".")
        place = f"{where}: {keys[0]}" if keys[0] else where
        others = f" ({more} more {'key does' if more == 1 else 'keys do'} not fit either.)" if more else ""
        raise InputError(f"{place}: {words}.{others} `kotowari init` lists every key.") from error


def _typed_key(fault: Any) -> str:
    """Return the key that a user typed, without the branches of a union that pydantic names behind it."""
    unknown = fault["type"] == "extra_forbidden"
    return ".".join(str(part) for part in fault["loc"] if unknown or not _is_type_name(part))


def _is_type_name(part: object) -> bool:
    """Whether pydantic named a branch of a union here, which no user typed."""
    return isinstance(part, str) and ("[" in part or part in {"path", "function-after"})


def _lines(options: BaseModel, section: str, set_by_preset: Collection[str]) -> Iterator[str]:
    indent = "  " * section.count(".")
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if isinstance(value, BaseModel):
            yield ""
            yield f"{indent}{name}:  # {(type(value).__doc__ or '').strip().rstrip('.')}"
            yield from _lines(value, f"{section}{name}.", set_by_preset)
        else:
            out = "# " if section + name in set_by_preset else ""
            yield f"{indent}{out}{name}: {_scalar(value)}  # {field.description or ''}"


def _scalar(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    dumped: str = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return dumped.removesuffix("...\n").strip()
