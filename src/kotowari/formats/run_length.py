"""Run lengths of COCO: a mask as the lengths of its runs down the columns, and these as a short string."""

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError

__all__ = ["decode_runs", "encode_runs", "runs_from_text", "runs_to_text"]

_BITS, _MORE, _SIGN = 5, 0x20, 0x10  # of one character: its payload, whether another follows, the sign of the last
_FIRST_CHARACTER = 48


def encode_runs(places: npt.NDArray[np.integer], size: int) -> list[int]:
    """Return the lengths of runs of 0 and 1 in turn, beginning with 0.

    Parameters
    ----------
    places
        Where the mask is 1 in column-major order, ascending, shape ``(pixel,)``.
    size
        Number of pixels of the image.

    Examples
    --------
    >>> encode_runs(np.array([0, 1, 4]), 6)
    [0, 2, 2, 1, 1]
    """
    breaks = np.flatnonzero(np.diff(places) > 1)
    starts = places[np.concatenate([[0], breaks + 1])] if places.size else places
    ends = places[np.concatenate([breaks, [-1]])] + 1 if places.size else places
    edges = np.concatenate([[0], np.column_stack([starts, ends]).ravel(), [size]])
    lengths: list[int] = np.diff(edges).tolist()
    return lengths if lengths[-1] or len(lengths) == 1 else lengths[:-1]


def decode_runs(lengths: list[int], size: int, where: str) -> npt.NDArray[np.bool_]:
    """Return the mask in column-major order, shape ``(size,)``.

    Raises
    ------
    InputError
        When a length is below 0 or they do not add up to ``size``.
    """
    if min(lengths, default=0) < 0 or sum(lengths) != size:
        raise InputError(f"{where}: its runs add up to {sum(lengths):,} pixels, where the image has {size:,}.")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def runs_to_text(lengths: list[int]) -> str:
    """Return run lengths as the string of COCO.

    From the fourth on each length is told by its difference from the one two before; a number is cut into groups of
    5 bits, lowest first, each a character from ``0`` (48), with a bit that says whether another follows.

    Source: Lin et al. 2014, Microsoft COCO, as its reference implementation stores masks.
    """
    text = []
    for place, length in enumerate(lengths):
        left = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            group = left & (_MORE - 1)
            left >>= _BITS
            # done when what is left is the sign that the group shows already
            more = left != (-1 if group & _SIGN else 0)
            text.append(chr((group | _MORE if more else group) + _FIRST_CHARACTER))
    return "".join(text)


def runs_from_text(text: str, where: str) -> list[int]:
    """Return the run lengths of a string; see :func:`runs_to_text`.

    Raises
    ------
    InputError
        When the string holds other characters or ends within a number.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - _FIRST_CHARACTER
        if not 0 <= group < 2 * _MORE:
            raise InputError(f"{where}: its run lengths hold the character {character!r}, which none of COCO's is.")
        value |= (group & (_MORE - 1)) << shift
        shift += _BITS
        if group & _MORE:
            continue
        if group & _SIGN:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    if shift:
        raise InputError(f"{where}: its run lengths end within a number. The file may be cut short.")
    return lengths
