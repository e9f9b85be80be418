"""Films come back near what was written, the same frames give the same bytes, and what is no film is refused."""

import imageio_ffmpeg
import numpy as np
import pytest

from kotowari.core import checks
from kotowari.core.errors import InputError, MissingExtraError, ShapeError
from kotowari.formats import read_png
from kotowari.formats.video import read_frames, write_mp4, write_png_sequence


def moving(count=9, height=46, width=58):
    """A bright disc that crosses a ramp."""
    rows, columns = np.ogrid[:height, :width]
    frames = [
        60 + columns + 0 * rows + 90 * (np.hypot(rows - height / 2, columns - 5 * number) < 9)
        for number in range(count)
    ]
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(46, 58), (45, 57)])
def test_a_film_in_grey_comes_back_near_what_was_written(height, width, tmp_path):
    frames = moving(height=height, width=width)
    write_mp4(tmp_path / "a.mp4", frames, 30.0)
    back, rate = read_frames(tmp_path / "a.mp4")
    assert (back.shape, back.dtype, rate) == ((9, 46, 58), np.uint8, 30.0)
    difference = np.abs(back[:, :height, :width].astype(int) - frames)
    assert difference.mean() < 2.5
    assert np.abs(np.roll(back, 1, axis=0)[:, :height, :width].astype(int) - frames).mean() > 2 * difference.mean()


def test_a_film_in_colour_keeps_its_brightness(tmp_path):
    colour = np.repeat(moving()[..., None], 3, axis=3)
    write_mp4(tmp_path / "a.mp4", colour, 12.5)
    back, rate = read_frames(tmp_path / "a.mp4")
    assert rate == 12.5
    assert np.abs(back.astype(int) - colour[..., 0]).mean() < 2.5


def test_the_same_frames_give_the_same_bytes_without_a_library_or_date(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, moving(), 25)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content == (tmp_path / "b.mp4").read_bytes()
    assert b"Lavf" not in content
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_an_avi_of_another_codec_is_read_frame_by_frame(tmp_path):
    frames = moving(count=14)
    writer = imageio_ffmpeg.write_frames(
        str(tmp_path / "a.avi"), (58, 46), pix_fmt_in="gray", pix_fmt_out="gray", fps=15, quality=None, codec="ffv1",
        macro_block_size=1, ffmpeg_log_level="error",
    )  # fmt: skip
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    back, rate = read_frames(tmp_path / "a.avi")
    np.testing.assert_array_equal(back, frames)  # ffv1 keeps every value
    assert rate == 15


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"frames must have shape \(time, height, width, 3 if in colour\)"):
        write_mp4(tmp_path / "a.mp4", np.zeros((4, 4), np.uint8), 10)
    with pytest.raises(ShapeError, match="frames must have shape"):
        write_mp4(tmp_path / "a.mp4", np.zeros((0, 4, 4), np.uint8), 10)
    with pytest.raises(InputError, match="frames must be uint8, got float64"):
        write_mp4(tmp_path / "a.mp4", np.zeros((2, 4, 4)), 10)
    with pytest.raises(InputError, match="rate must be above 0"):
        write_mp4(tmp_path / "a.mp4", np.zeros((2, 4, 4), np.uint8), 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no film at all" * 100])
def test_what_is_no_film_is_refused(content, tmp_path):
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.avi: is no film that ffmpeg can read"):
        read_frames(tmp_path / "a.avi")
    with pytest.raises(InputError, match=r"none\.avi: is not there"):
        read_frames(tmp_path / "none.avi")


def test_a_film_cut_short_is_refused(tmp_path):
    write_mp4(tmp_path / "a.mp4", moving(), 25)
    whole = (tmp_path / "a.mp4").read_bytes()
    for share in (0.1, 0.7):
        (tmp_path / "a.mp4").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match="or is cut short"):
            read_frames(tmp_path / "a.mp4")


def test_a_missing_library_or_program_is_told(tmp_path, monkeypatch):
    def no_program():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", no_program)
    with pytest.raises(MissingExtraError, match=r"Writing a\.mp4 needs the program ffmpeg.*IMAGEIO_FFMPEG_EXE"):
        write_mp4(tmp_path / "a.mp4", moving(), 25)

    def gone(module):
        raise ImportError(module)

    monkeypatch.setattr(checks, "import_module", gone)
    with pytest.raises(MissingExtraError, match=r"needs imageio_ffmpeg, .* pip install 'kotowari\[images\]'"):
        write_mp4(tmp_path / "a.mp4", moving(), 25)


def test_numbered_pictures_come_back_and_an_earlier_sequence_is_not_mixed_in(tmp_path):
    frames = moving(count=5)
    paths = write_png_sequence(tmp_path / "out", frames, name="vessel")
    assert [path.name for path in paths[:2]] == ["vessel_0001.png", "vessel_0002.png"]
    for path, frame in zip(paths, frames, strict=True):
        np.testing.assert_array_equal(read_png(path), frame)
    write_png_sequence(tmp_path / "out", frames, name="vessel")
    with pytest.raises(InputError, match=r"holds frames of an earlier sequence \(vessel_0005\.png\)"):
        write_png_sequence(tmp_path / "out", frames[:4], name="vessel")
    with pytest.raises(InputError, match="cannot be written"):
        write_png_sequence(tmp_path / "other", frames.astype(float))
    assert not (tmp_path / "other").exists()
    with pytest.raises(ShapeError, match="frames must have shape"):
        write_png_sequence(tmp_path / "other", frames[0])
