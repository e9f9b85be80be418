"""The functions that every study's package shows, which load the numerics only when they are called."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kotowari.core.options import Options
    from kotowari.core.runfolder import RunFolder
    from kotowari.core.stages import Stage

__all__ = ["StudyPackage"]


class StudyPackage:
    """A study's package from outside: what it offers by name, and how it is run; see ``kotowari.core.study.StudyFace``.

    Parameters
    ----------
    package
        Its dotted name.
    homes
        Name that it offers to the module, inside the package, that defines it; ``config`` needs no extra.
    """

    def __init__(self, package: str, homes: Mapping[str, str]) -> None:
        self._package = package
        self._homes = homes

    def run(
        self,
        config: "Options | str | Path",
        out: str | Path | None = None,
        *,
        command: Sequence[str] = (),
        until: str | None = None,
        shown: bool = True,
    ) -> "RunFolder":
        """Run the study.

        Parameters
        ----------
        config
            Options, or the path of a YAML file with them.
        out
            New run folder; None for ``runs/<study>-<n>``.
        command
            The words typed, for the record.
        until
            Last stage to run.
        shown
            Whether progress is shown on stderr.
        """
        from kotowari.core.study import run_configured

        face: Any = import_module(self._package)
        return run_configured(face, config, out, command=command, until=until, shown=shown)

    def demo(self, out: str | Path | None = None, *, preset: str = "quick") -> "RunFolder":
        """Run the study's embedded example."""
        return self.run(self.load("Config").demo(preset), out)

    def stages(self) -> "Sequence[Stage[Any]]":
        """Return the job's stages in order."""
        found: Sequence[Stage[Any]] = self._numerical("study").STAGES
        return found

    def open_job(self, folder: "RunFolder") -> Any:
        """Return the job of a run folder."""
        return self._numerical("job").open_job(folder)

    def apply(
        self,
        folder: "RunFolder | str | Path",
        table: str | Path,
        out: str | Path,
        annotations: str | Path | None = None,
    ) -> Path:
        """Use a finished run on the new samples of ``table``; returns the file of the predictions in ``out``.

        ``annotations`` holds what the run reads of a sample beside its table, where it reads something; ``out`` is a
        new folder.
        """
        from kotowari.core.files import require_new_folder
        from kotowari.core.runfolder import RunFolder

        require_new_folder(Path(out))
        run_folder = folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))
        more = None if annotations is None else Path(annotations)
        written: Path = self._numerical("study").apply(run_folder, Path(table), Path(out), more)
        return written

    def load(self, name: str) -> Any:
        """Return what the package offers under ``name``; a module's ``__getattr__``."""
        if name not in self._homes:
            raise AttributeError(f"module {self._package!r} has no attribute {name!r}")
        home = self._homes[name]
        module = import_module(f"{self._package}.{home}") if home == "config" else self._numerical(home)
        return getattr(module, name)

    def _numerical(self, module: str) -> Any:
        from kotowari.core.study import load_part

        return load_part(self._package, module)
