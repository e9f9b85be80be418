"""The words to type; each parses, calls one function, prints, and leaves an exit code."""

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kotowari.core.errors import KotowariError
from kotowari.core.notes import print_warnings_plainly

_INTERRUPTED = 130

app = typer.Typer(
    help="Known mathematics in deep networks for small biomedical data, with reasons that are tested.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class Preset(StrEnum):
    """How much is run."""

    quick = "quick"
    standard = "standard"
    full = "full"


RunPath = Annotated[Path, typer.Argument(help="A run folder, such as runs/omics-1.", metavar="RUN")]
NetworkPath = Annotated[
    Path, typer.Argument(help="Prepared blocks, such as runs/genenet-1/model/networks.", metavar="FOLDER")
]
Out = Annotated[Path | None, typer.Option(help="New folder for the run; runs/<study>-<n> if left out.")]


@app.command()
def demo(
    study: Annotated[str, typer.Argument(help="A study; `kotowari studies` lists them.")] = "omics",
    out: Out = None,
    preset: Annotated[Preset, typer.Option(help="quick: minutes; standard: hours; full: days.")] = Preset.quick,
) -> None:
    """Run a study's embedded example and write its report."""
    face = _study(study)
    _finished(_start(face, face.Config.demo(preset.value), out, None))


@app.command()
def studies() -> None:
    """List the studies, a line each."""
    from kotowari.studies import STUDIES

    for name in STUDIES:
        print(f"{name:<10} {_study(name).SUMMARY}")


@app.command()
def init(study: Annotated[str, typer.Argument(help="A study; `kotowari studies` lists them.")]) -> None:
    """Print a commented configuration: every option, what it is, and its default."""
    from kotowari.core.options import commented_yaml

    kind = _study(study).Config
    print(commented_yaml(kind.demo(), set_by_preset=kind.set_by_preset()), end="")


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A configuration, begun from `kotowari init`.", metavar="CONFIG.yaml")],
    out: Out = None,
    preset: Annotated[Preset | None, typer.Option(help="In place of the one in the file.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps, in place of the one in the file.")] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the one in the file.")] = None,
    until: Annotated[str | None, typer.Option(help="Last stage to run; `kotowari resume` goes on.")] = None,
) -> None:
    """Run a study on your data."""
    from kotowari.core.options import read_yaml, validated

    content = read_yaml(config)
    given = {"preset": preset and preset.value, "device": device, "seed": seed}
    content |= {name: value for name, value in given.items() if value is not None}
    face = _study(str(content["study"]))
    _finished(_start(face, validated(face.Config, content, where=str(config), base=config.parent), out, until))


@app.command()
def resume(run: RunPath, until: Annotated[str | None, typer.Option(help="Last stage to run.")] = None) -> None:
    """Go on with a run that was stopped; finished stages are skipped."""
    from kotowari.core.runfolder import RunFolder
    from kotowari.core.study import resume_study

    folder = RunFolder(run)
    _finished(resume_study(_study(folder.record["study"]), folder, until=until))


@app.command()
def apply(
    run: RunPath,
    table: Annotated[Path, typer.Argument(help="New samples, laid out as the table of the run.", metavar="INPUT")],
    out: Annotated[Path, typer.Option(help="Folder for the predictions and the reasons.")],
    annotations: Annotated[
        Path | None, typer.Option(help="Table of the columns that the run has beside its genes, for the new samples.")
    ] = None,
) -> None:
    """Use a finished model on new data."""
    from kotowari.core.runfolder import RunFolder

    folder = RunFolder(run)
    print(_study(folder.record["study"]).apply(folder, table, out, annotations))


@app.command()
def block(
    folder: NetworkPath,
    number: Annotated[int | None, typer.Argument(help="From 0; an array job's own number if left out.")] = None,
    threads: Annotated[int, typer.Option(help="Threads of this block.", min=1)] = 1,
) -> None:
    """Compute one numbered block of gene networks, as an array job of a scheduler does (genenet)."""
    from kotowari.core.study import load_part

    numbered = load_part("kotowari.studies.genenet", "cluster.numbered")
    index = numbered.array_index(os.environ) if number is None else number
    print(numbered.fit_numbered_block(folder, index, n_jobs=threads, verbose=True))


@app.command()
def merge(
    folder: NetworkPath,
    out: Annotated[Path, typer.Option(help="Folder for the networks of all samples.")],
) -> None:
    """Join the numbered blocks of gene networks, once all are there (genenet)."""
    from kotowari.core.study import load_part

    stack = load_part("kotowari.studies.genenet", "model.profile.profiler").NetworkProfiler.load(folder).networks()
    stack.save(out)
    stack.to_graphml(out / "networks.graphml")
    print(f"{out}: {len(stack.samples)} networks, {stack.n_edges} edges in all")


@app.command()
def report(run: RunPath) -> None:
    """Write report.html again from what the run folder holds."""
    from kotowari.core.runfolder import RunFolder
    from kotowari.report import write

    print(write(RunFolder(run)))


@app.command()
def doctor() -> None:
    """Say what this installation can do, and what is missing."""
    from kotowari.cli.doctor import lines

    for line in lines():
        print(line)


def main() -> int:
    """Run one command: 0 done, 1 refused with one sentence, 2 wrong usage, 130 interrupted."""
    print_warnings_plainly()
    # a queue ends its jobs so: what is under way is given up as by Ctrl-C, and no worker is left behind
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = int(app(prog_name="kotowari", standalone_mode=False) or 0)
    except typer.TyperException as error:  # wrong usage; what the parser raises can show itself, its base cannot
        shown: Any = error
        shown.show()
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except KotowariError as error:
        print(f"kotowari: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # the disk or a permission failed inside a library
        place = f"{error.filename}: " if error.filename else ""
        print(f"kotowari: {place}{error.strerror or error}. Free space, or choose another folder.", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    if code == _INTERRUPTED:  # the library may have caught Ctrl-C itself
        print("kotowari: stopped.", file=sys.stderr)
    return code


def _study(name: str) -> Any:
    from kotowari.studies import study_named

    return study_named(name)


def _start(face: Any, config: Any, out: Path | None, until: str | None) -> Any:
    from kotowari.core.study import run_study

    return run_study(face, config, out, command=["kotowari", *sys.argv[1:]], until=until)


def _finished(folder: Any) -> None:
    """Print the answers of a finished run and where its report is, or how to go on."""
    from kotowari.core.page import Page

    if any(stage["state"] != "done" for stage in folder.record["stages"]):
        print(f"{folder.path}: stopped as asked. `kotowari resume {folder.path}` goes on.")
        return
    for answer in Page.load(folder.path).answers:
        print(f"- {answer}")
    print(f"Report: {folder.path / 'report.html'}")


if __name__ == "__main__":
    raise SystemExit(main())
