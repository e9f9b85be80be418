"""Survival of the samples out of two columns of the annotations: a time, and whether the event was seen."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from kotowari.core.errors import DesignError, InputError
from kotowari.formats.labelled import numbers_of

__all__ = ["FEWEST_EVENTS", "survival_of"]

FEWEST_EVENTS = 10

_SEEN = ("1", "1.0", "true", "yes", "event", "dead", "deceased", "died", "recurred", "relapsed", "progressed")
_NOT_SEEN = ("0", "0.0", "false", "no", "censored", "alive", "living")
_REMEDY = "Mend it, or leave it empty, which leaves the sample out."


def survival_of(time: pd.Series, event: pd.Series, *, where: str) -> npt.NDArray[np.float64]:
    """Return times and events as numbers, shape ``(sample, 2)``; an event is 1 where it was seen, else 0.

    Events are 0 or 1, true or false, or words such as dead and alive, whatever their case; of ``1:DECEASED`` the number
    counts.

    Parameters
    ----------
    time, event
        Columns without gaps, named.
    where
        Name of the table, for the sentences.

    Raises
    ------
    InputError
        When a time is no number above 0, or an event is none of the words; names the sample.
    DesignError
        When all times are the same, or fewer than 10 events were seen.
    """
    word = f"time {time.name}"
    times = numbers_of(time, where=where, word=word, remedy=_REMEDY, useless="no sample outlives another")
    if (times <= 0).any():
        row = int(np.flatnonzero(times <= 0)[0])
        raise InputError(
            f"{where}: sample {time.index[row]!r} has the {time.name} {times[row]:g}; times lie above 0. {_REMEDY}"
        )
    words = event.astype(str).str.strip().str.lower()
    coded = words.str.extract(r"^([01]):", expand=False)  # as cBioPortal writes it
    words = words.where(coded.isna(), coded)
    seen = words.isin(_SEEN)
    unknown = ~(seen | words.isin(_NOT_SEEN))
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise InputError(
            f"{where}: sample {event.index[row]!r} has the {event.name} {str(event.iloc[row])!r}. An event that was "
            f"seen is called {', '.join(_SEEN[2:])} or 1, one that was not {', '.join(_NOT_SEEN[2:])} or 0. {_REMEDY}"
        )
    if int(seen.sum()) < FEWEST_EVENTS:
        raise DesignError(
            f"{where}: {event.name} tells of {int(seen.sum())} events in {len(seen)} samples; survival is predicted "
            f"from {FEWEST_EVENTS} or more. Bring more samples, or a longer observation."
        )
    return np.column_stack([times, seen.to_numpy(np.float64)])
