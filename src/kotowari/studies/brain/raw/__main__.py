"""`python -m kotowari.studies.brain.raw SOURCE OUT` prepares raw T1 heads."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from kotowari.core.errors import KotowariError
from kotowari.core.notes import print_warnings_plainly
from kotowari.studies.brain.raw.pipeline import prepare_heads

_REFUSED, _INTERRUPTED = 1, 130


def main() -> int:
    """Run one preparation: 0 done, 1 refused or a head failed, 2 wrong usage, 130 interrupted."""
    parser = ArgumentParser(
        prog="python -m kotowari.studies.brain.raw",
        description="Make modulated grey matter in MNI space of raw T1 heads: like the outputs of SPM12, not equal.",
    )
    parser.add_argument("source", type=Path, help="BIDS tree, folder, or table with participant_id and path")
    parser.add_argument("out", type=Path, help="folder of the results; the same again goes on where it was")
    parser.add_argument("--template-mm", type=float, default=1.5, help="voxels of the results, mm (default 1.5)")
    parser.add_argument("--registration-mm", type=float, default=2.0, help="voxels of the registration, mm (default 2)")
    parser.add_argument("--workers", type=int, default=1, help="heads at once, about 1.5 GB each (default 1)")
    parser.add_argument("--pattern", help="names of the scans with * and ? (default *T1w.nii*)")
    given = parser.parse_args()
    print_warnings_plainly()
    try:
        done = prepare_heads(
            given.source,
            given.out,
            template_mm=given.template_mm,
            registration_mm=given.registration_mm,
            workers=given.workers,
            pattern=given.pattern,
        )
    except KeyboardInterrupt:
        sys.stderr.write("kotowari: stopped. The same command goes on where it was.\n")
        return _INTERRUPTED
    except (KotowariError, OSError) as error:
        sys.stderr.write(f"kotowari: {error}\n")
        return _REFUSED
    sys.stdout.write(f"{done.sentence()}\n")
    return _REFUSED if done.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
