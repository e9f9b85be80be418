"""Films of frames: MP4 (H.264) and numbered PNG files out, any film that ffmpeg knows in, as grey."""

from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import few, require_extra
from kotowari.core.errors import InputError, MissingExtraError, ShapeError
from kotowari.core.files import write_bytes
from kotowari.formats.memory import require_bytes
from kotowari.formats.png import encode_png, write_png
from kotowari.formats.rows import require_file

__all__ = ["read_frames", "write_mp4", "write_png_sequence"]

_CONSTANT_RATE_FACTOR = 18  # of x264: 0 is lossless, 23 its default; 18 keeps thin vessels
# neither the version of a library nor a date in the file, and one thread, whose number would change the bits
_SAME_BYTES = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-threads", "1"]


def write_mp4(path: Path, frames: npt.NDArray[np.uint8], rate: float) -> None:
    """Replace the file at ``path`` by a film (MP4, H.264, yuv420p) in one step.

    The same frames give the same bytes with the same ffmpeg. A side of odd length grows by one pixel, a copy of its
    last, since H.264 halves the resolution of colour. The film is compressed with loss: for numbers, write DICOM or
    PNG.

    Parameters
    ----------
    path
        A name that ends in .mp4.
    frames
        Shape ``(time, height, width)`` for grey or ``(time, height, width, 3)`` for colour, uint8.
    rate
        Frames a second, above 0.

    Raises
    ------
    ShapeError
        When frames have other axes or no pixel.
    InputError
        When frames are not uint8, the rate is not above 0, or ffmpeg cannot compress them.
    MissingExtraError
        When imageio-ffmpeg or its ffmpeg is missing.
    RunFolderError
        When the file cannot be written.
    """
    path = Path(path)
    grey = frames.ndim == 3
    if not (grey or (frames.ndim == 4 and frames.shape[3] == 3)) or frames.size == 0:
        raise ShapeError.mismatch("write_mp4", "frames", ("time", "height", "width", "3 if in colour"), frames.shape)
    if frames.dtype != np.uint8:
        raise InputError(f"write_mp4: frames must be uint8, got {frames.dtype}. Scale them first.")
    if not 0 < rate < np.inf:
        raise InputError(f"write_mp4: rate must be above 0 frames a second, got {rate}.")
    library = _library(f"Writing {path.name}")
    height, width = (side + side % 2 for side in frames.shape[1:3])
    with TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        writer = library.write_frames(
            str(film),
            (width, height),
            pix_fmt_in="gray" if grey else "rgb24",
            pix_fmt_out="yuv420p",
            fps=rate,
            quality=None,
            codec="libx264",
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-crf", str(_CONSTANT_RATE_FACTOR), "-movflags", "+faststart", *_SAME_BYTES],
        )
        try:
            writer.send(None)
            for frame in frames:
                writer.send(_even(frame))
            writer.close()
            content = film.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: ffmpeg could not make a film ({_last_line(error)}).") from error
    write_bytes(path, content)


def read_frames(path: Path) -> tuple[npt.NDArray[np.uint8], float]:
    """Return the frames of a film (AVI, MP4 and whatever else ffmpeg knows) as grey, and its rate.

    Frames come as they are stored: none is doubled or dropped to hold a rate.

    Returns
    -------
    frames
        Shape ``(time, height, width)``, uint8.
    rate
        Frames a second; of a film whose rate varies, its mean.

    Raises
    ------
    InputError
        When there is no such file, it is no film, is cut short, or needs more than half of the memory.
    MissingExtraError
        When imageio-ffmpeg or its ffmpeg is missing.
    """
    path = Path(path)
    require_file(path)
    program = _library(f"Reading {path.name}").get_ffmpeg_exe()
    # y4m tells size and rate in its first line (yuv4mpeg, MJPEG tools), so nothing is guessed from messages
    asked = ["-i", str(path.resolve()), "-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "yuv4mpegpipe", "-"]
    with TemporaryFile() as said:
        # no shell, and the path is absolute, so that it cannot be taken for an option
        with Popen([program, "-v", "error", "-nostdin", *asked], stdout=PIPE, stderr=said) as running:  # noqa: S603
            try:
                frames, rate = _y4m_frames(path, cast("BinaryIO", running.stdout))
            except InputError:
                running.kill()
                raise
        said.seek(0)
        fault = said.read().decode(errors="replace").strip().splitlines()
    if running.returncode or fault or not frames:
        told = fault[-1].rpartition("] ")[2] if fault else "no frame"
        raise InputError(f"{path}: is no film that ffmpeg can read, or is cut short ({told}). Fetch or convert it.")
    return np.stack(frames), rate


def write_png_sequence(folder: Path, frames: npt.NDArray[Any], *, name: str = "frame") -> tuple[Path, ...]:
    """Write frames as ``name_0001.png``, ``name_0002.png`` and so on, each in one step, and return their paths.

    Parameters
    ----------
    folder
        Made if it is not there.
    frames
        Shape ``(time, height, width)``, uint8 or uint16, or ``(time, height, width, 3)``, uint8.
    name
        What the names of the files begin with.

    Raises
    ------
    ShapeError
        When a frame is no picture.
    InputError
        When frames are of another type, or the folder holds later frames of an earlier sequence of that name.
    RunFolderError
        When a file cannot be written.
    """
    folder = Path(folder)
    if frames.ndim not in (3, 4) or not len(frames):
        raise ShapeError.mismatch("write_png_sequence", "frames", ("time", "height", "width"), frames.shape)
    encode_png(frames[0])  # refuses before anything is written
    digits = max(4, len(str(len(frames))))
    paths = tuple(folder / f"{name}_{number:0{digits}d}.png" for number in range(1, len(frames) + 1))
    left = sorted({path.name for path in folder.glob(f"{name}_*.png")} - {path.name for path in paths})
    if left:
        raise InputError(f"{folder}: holds frames of an earlier sequence ({few(left)}). Choose an empty folder.")
    for path, frame in zip(paths, frames, strict=True):
        write_png(path, frame)
    return paths


def _y4m_frames(path: Path, stream: BinaryIO) -> tuple[list[npt.NDArray[np.uint8]], float]:
    """Return frames and rate of a stream in grey; of an empty one no frame."""
    told = {word[:1]: word[1:] for word in stream.readline().decode("ascii", "replace").split()[1:]}
    if not told:
        return [], 0.0
    width, height = int(told["W"]), int(told["H"])
    above, _, below = told["F"].partition(":")
    frames: list[npt.NDArray[np.uint8]] = []
    while stream.readline().startswith(b"FRAME"):
        content = stream.read(height * width)
        if len(content) < height * width:
            break
        frames.append(np.frombuffer(content, np.uint8).reshape(height, width))
        needed = 2 * len(frames) * height * width
        require_bytes(needed, what=f"{path}: its frames", remedy="Cut the film into shorter ones")
    return frames, int(above) / int(below)


def _library(by: str) -> Any:
    library = require_extra("imageio_ffmpeg", extra="images", by=by)
    try:
        library.get_ffmpeg_exe()
    except RuntimeError as error:
        raise MissingExtraError(
            f"{by} needs the program ffmpeg, which imageio-ffmpeg does not carry here. "
            "Install ffmpeg, or set IMAGEIO_FFMPEG_EXE to where it lies."
        ) from error
    return library


def _even(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    odd = [(0, side % 2) for side in frame.shape[:2]] + [(0, 0)] * (frame.ndim - 2)
    return np.ascontiguousarray(np.pad(frame, odd, mode="edge"))


def _last_line(error: OSError) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
