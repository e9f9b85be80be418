"""Colours and places of the models of a table: ours, untrained, trivial null, comparator, chance."""

from matplotlib.axes import Axes

from kotowari.report.plots.style import AGAINST, OTHER, OURS, SOFT

__all__ = ["ROLE_COLOURS", "in_order_of_role", "name_roles", "role_colour"]

ROLE_COLOURS = {"ours": OURS, "untrained": "#7a9cc6", "trivial null": AGAINST, "comparator": SOFT, "chance": OTHER}


def role_colour(role: str) -> str:
    """Return the colour of a role; that of a comparator where it is not known."""
    return ROLE_COLOURS.get(role, SOFT)


def in_order_of_role(roles: list[str]) -> list[int]:
    """Return positions with ours first; equal roles keep their order.

    Examples
    --------
    >>> in_order_of_role(["comparator", "ours", "comparator"])
    [1, 0, 2]
    """
    place = {role: k for k, role in enumerate(ROLE_COLOURS)}
    return sorted(range(len(roles)), key=lambda k: place.get(roles[k], len(place)))


def name_roles(axes: Axes, roles: list[str]) -> None:
    """Write every role once, in its colour, in a line above the axes."""
    for k, role in enumerate(dict.fromkeys(roles)):
        axes.annotate(
            f"● {role}",
            (0, 1),
            (66 * k, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            color=role_colour(role),
            size=8,
        )
