"""How much vessel is seen over time."""

from kotowari.core.jobs import Arrays
from kotowari.report.plots.style import AGAINST, FAINT, OURS, Sketch, new_canvas, shorten
from kotowari.studies.angiography.figures.arrays import MOST_SHOWN

__all__ = ["course_picture"]

_WIDTH, _HEIGHT = 7.2, 2.4
_FEWEST = 3


def course_picture(arrays: Arrays) -> Sketch | None:
    """Draw the share of the field called vessel by time; nothing where there are single frames only."""
    shown = [k for k in range(MOST_SHOWN) if len(arrays.get(f"shown_{k}_times", ())) >= _FEWEST]
    if not shown:
        return None
    canvas = new_canvas((_WIDTH, _HEIGHT))
    grid = canvas.subplots(1, len(shown), squeeze=False)[0]
    for axes, k in zip(grid, shown, strict=True):
        times, free = arrays[f"shown_{k}_times"], arrays[f"shown_{k}_free"].astype(bool)
        if free.any():
            axes.axvspan(times[free].min(), times[free].max(), color=FAINT)
        axes.plot(times, 100 * arrays[f"shown_{k}_share"], color=OURS, lw=1.4)
        axes.axvline(times[int(arrays[f"shown_{k}_course"].argmax())], color=AGAINST, lw=1)
        axes.set(xlabel="s, or frame", title=shorten(arrays["shown_words"][k], 28), ylim=(0, None))
    grid[0].set_ylabel("field called vessel, %")
    caption = (
        "Grey: frames taken as free of contrast, by which a threshold is set and into which vessels are put. Orange: "
        "the frame that shows most vessel. Vessel found in the grey part is a device, or false."
    )
    return Sketch("course", canvas, "Vessels over time", caption, "trust")
