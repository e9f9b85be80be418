"""Frame after frame as a run is recorded, for networks that see a few frames at once."""

from collections import deque
from collections.abc import Callable
from typing import final

import numpy as np
import numpy.typing as npt

__all__ = ["FrameStream"]

Frames = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@final
class FrameStream:
    """Remembers the last frames of one run, and enhances the newest of them without a delay.

    Parameters
    ----------
    enhance
        ``enhance(frames, field)``, with frames ``(n_frames, height, width)`` and the newest last, gives its map.
    n_frames
        How many it sees.
    field
        Shape ``(height, width)``, True inside the field of view.
    """

    def __init__(self, enhance: Callable[[Frames, Mask], Frames], n_frames: int, field: Mask) -> None:
        self._enhance, self._field = enhance, field
        self._recent: deque[Frames] = deque(maxlen=n_frames)

    def push(self, frame: npt.ArrayLike) -> Frames:
        """Take the next frame, ``(height, width)``, and return its vessel map of the same shape, in [0, 1]."""
        newest = np.asarray(frame, np.float32)
        while len(self._recent) < (self._recent.maxlen or 1) - 1:
            self._recent.append(newest)  # before the first frame stands the first frame
        self._recent.append(newest)
        return self._enhance(np.stack(self._recent), self._field)
