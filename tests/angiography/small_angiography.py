"""A few tiny runs as the files of a user: DICOM with a patient in it, an npz, a folder of images; a configuration."""

from functools import lru_cache

import numpy as np
import pydicom
import yaml
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset

from kotowari.report.plots import style
from kotowari.studies.angiography.phantom import simulate_run
from kotowari.studies.angiography.phantom_settings import RunSettings

PATIENT = "Yamada^Hanako"
SIDE, N_FRAMES, N_RUNS = 64, 20, 3
SMALL = {
    "enhancer": {"n_steps": 2, "widths": [4, 6]},
    "separation": {"max_steps": 5, "tol": 0.1},
    "trust": {"n_seeds": 2, "implant_attenuations": [0.5], "implant_repeats": 1, "n_bootstraps": 100},
    "workers": 1,
}


@lru_cache(maxsize=8)
def tiny_run(number, n_frames=N_FRAMES):
    """Return a simulated run of a patient."""
    settings = RunSettings(shape=(SIDE, SIDE), n_frames=n_frames, begin=0.4, filled=0.6, emptied=0.8, photons=3000)
    return simulate_run(settings, seed=number)


def write_dicom(path, frames, **told):
    """Write frames as a C-arm does, with the patient's name in every place that has room for it."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.3.4.5"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.PatientName = ds.PatientID = ds.OperatorsName = ds.InstitutionName = PATIENT
    ds.PatientBirthDate = ds.StudyDate = "19560229"
    ds.Modality = "XA"
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.FrameIncrementPointer, ds.FrameTime = 0x00181063, "66.6"
    ds.PixelIntensityRelationship = "LIN"
    ds.add_new("PixelData", "OB", frames.tobytes())
    for keyword, value in told.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def write_runs(folder, n_runs=N_RUNS):
    """Write runs in three formats, the patient's name in the name of the first file, and masks of them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n_runs):
        run = tiny_run(number)
        stem = f"Yamada_Hanako_{number}"
        if number % 3 == 0:
            write_dicom(folder / f"{stem}.dcm", run.intensity)
        elif number % 3 == 1:
            np.savez(folder / f"{stem}.npz", frames=run.intensity, frame_s=run.frame_s)
        else:
            for k, frame in enumerate(run.intensity):
                (folder / stem).mkdir(exist_ok=True)
                Image.fromarray(frame).save(folder / stem / f"frame{k}.png")
        pages = [Image.fromarray(255 * page.astype(np.uint8)) for page in run.mask]
        pages[0].save(folder / f"{stem}_gt.tif", save_all=True, append_images=pages[1:])


def write_files(folder, *, masks=True, **changes):
    """Write a user's runs and their configuration; returns the path of the YAML. ``changes`` lie over the sections."""
    write_runs(folder / "runs")
    data = {"runs": "runs", "scale": "linear"} | ({"mask_suffix": "_gt"} if masks else {})
    if not masks:
        for mask in (folder / "runs").glob("*_gt.tif"):
            mask.unlink()
    config = {"study": "angiography", "data": data, **SMALL}
    for section, values in changes.items():
        config[section] = config.get(section, {}) | values if isinstance(values, dict) else values
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    return folder / "study.yaml"


def quick_runs(patch):
    """Draw pictures with few dots, choose thresholds on few trials, and let the disk write when it likes."""
    patch.setattr(style, "_drawn", _with_few_dots)
    patch.setattr("kotowari.studies.angiography.model.enhancer._N_TRIALS", 4)
    patch.setattr("kotowari.core.files.os.fsync", lambda _handle: None)


def _with_few_dots(canvas, dpi, drawn=style._drawn):
    return drawn(canvas, dpi / 6)
