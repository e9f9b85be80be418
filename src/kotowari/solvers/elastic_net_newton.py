"""The elastic net on a small working set, solved to the last digits: sweeps find the signs, Newton steps the rest."""

import numpy as np

from kotowari.solvers.elastic_net_workspace import ACTIVE, FACTORED, Floats, Workspace, inlined

__all__ = ["append_row", "settle"]

_SWEEPS = 2
_MOST_STEPS = 60
_QUICK_STEPS = 4
_FLAT = 1e-10  # of a column's variance, what the active columns leave unexplained: below, they are dependent
_EPS = 2.3e-16


@inlined
def settle(size: int, tol: float, work: Workspace) -> None:
    """Solve on the working set: sweeps of coordinate descent find the signs, Newton steps the values."""
    largest = 0.0
    for i in range(size):
        largest = max(largest, abs(work.slope[i]) + abs(work.value[i]) * work.curvature[i * size + i])
    for step in range(_MOST_STEPS):
        for _ in range(_SWEEPS):
            _sweep(size, work.value, work.slope, work.price, work.curvature)
        whole, tries = False, 0
        # a sweep mends a few wrong signs faster; only a minimum at fixed signs, each below the last, proves an end
        while not whole and (tries == 0 or step >= _QUICK_STEPS):
            _list_active(size, work)
            _factorise(size, work)
            whole = _newton_step(size, work)
            tries += 1
        if whole and _is_stationary(size, tol, largest, work):
            return
    _list_active(size, work)


@inlined
def _sweep(size: int, value: Floats, slope: Floats, price: Floats, curvature: Floats) -> None:
    for j in range(size):
        start = j * size
        bend = curvature[start + j]
        old = value[j]
        aim = slope[j] + bend * old
        new = 0.0
        if aim > price[j]:
            new = (aim - price[j]) / bend
        elif aim < -price[j]:
            new = (aim + price[j]) / bend
        move = new - old
        if move != 0.0:
            value[j] = new
            for k in range(size):
                slope[k] -= move * curvature[start + k]


@inlined
def _list_active(size: int, work: Workspace) -> None:
    """Keep the order of what stays active, so that the factor stays; new ones come last."""
    order, listed = work.order, work.listed
    kept, factored = 0, work.counts[FACTORED]
    for place in range(work.counts[ACTIVE]):
        i = order[place]
        if work.value[i] != 0.0:
            order[kept] = i
            listed[i] = True
            kept += 1
        else:
            factored = min(factored, kept)
    old = kept
    for i in range(size):
        if work.value[i] != 0.0 and not listed[i]:
            order[kept] = i
            kept += 1
    for place in range(old):
        listed[order[place]] = False
    work.counts[ACTIVE], work.counts[FACTORED] = kept, factored


@inlined
def _factorise(size: int, work: Workspace) -> None:
    """Bring the factor up to all active regulators; move along flat directions until none is left."""
    while work.counts[FACTORED] < work.counts[ACTIVE]:
        place = work.counts[FACTORED]
        i = work.order[place]
        for k in range(place):
            work.newton[k] = work.curvature[i * size + work.order[k]]
        if append_row(place, work.curvature[i * size + i], work.inverse, work.newton, work.image):
            work.counts[FACTORED] += 1
        else:
            _move_along_flat(place, work)
            _list_active(size, work)


@inlined
def append_row(place: int, diagonal: float, inverse: Floats, newton: Floats, image: Floats) -> bool:
    """Write row ``place`` of the inverse from the row of gram + l2 in newton; False when it depends on those before."""
    end, left = place * (place + 1) // 2, diagonal
    for k in range(place):
        inverse[end + k] = 0.0
    for k in range(place):
        start, total = k * (k + 1) // 2, 0.0
        for h in range(k + 1):
            total += inverse[start + h] * newton[h]
        image[k] = total
        left -= total * total
        for h in range(k + 1):
            inverse[end + h] -= total * inverse[start + h]
    if left <= _FLAT * diagonal:
        return False
    scale = 1.0 / np.sqrt(left)
    for k in range(place):
        inverse[end + k] *= scale
    inverse[end + place] = scale
    return True


@inlined
def _multiply(rows: int, inverse: Floats, newton: Floats, image: Floats) -> None:
    """Set image to inverse times newton."""
    for k in range(rows):
        start, total = k * (k + 1) // 2, 0.0
        for h in range(k + 1):
            total += inverse[start + h] * newton[h]
        image[k] = total


@inlined
def _multiply_transposed(rows: int, inverse: Floats, newton: Floats, image: Floats) -> None:
    """Set newton to the transposed inverse times image."""
    for k in range(rows):
        newton[k] = 0.0
    for k in range(rows):
        start, share = k * (k + 1) // 2, image[k]
        for h in range(k + 1):
            newton[h] += share * inverse[start + h]


@inlined
def _move_along_flat(place: int, work: Workspace) -> None:
    """Column ``order[place]`` depends on those before: move where the fit stays and the price falls, until one is 0."""
    order, value = work.order, work.value
    last = order[place]
    _multiply_transposed(place, work.inverse, work.newton, work.image)  # newton <- the columns' shares in the last one
    sign = 1.0 if value[last] > 0.0 else -1.0
    rise = sign * work.price[last] - work.slope[last]
    for k in range(place):
        i = order[k]
        rise -= work.newton[k] * (np.sign(value[i]) * work.price[i] - work.slope[i])
    direction = -sign if rise * sign >= 0.0 else sign
    length, first = np.inf, place
    for k in range(place):
        change = -direction * work.newton[k]
        if change * value[order[k]] < 0.0 and -value[order[k]] / change < length:
            length, first = -value[order[k]] / change, k
    if (direction != sign and abs(value[last]) < length) or length == np.inf:
        length, first, direction = abs(value[last]), place, -sign
    for k in range(place):
        value[order[k]] -= length * direction * work.newton[k]
    value[last] += length * direction
    value[order[first]] = 0.0


@inlined
def _newton_step(size: int, work: Workspace) -> bool:
    """Go to the minimum over the active regulators at the signs they have, or until one is 0; False then.

    The right-hand side is the slope left over, so that a step also corrects the rounding of the step before.
    """
    order, value, slope = work.order, work.value, work.slope
    active = work.counts[ACTIVE]
    for k in range(active):
        i = order[k]
        work.newton[k] = slope[i] - (work.price[i] if value[i] > 0.0 else -work.price[i])
    _multiply(active, work.inverse, work.newton, work.image)
    _multiply_transposed(active, work.inverse, work.newton, work.image)
    share, first = 1.0, -1
    for k in range(active):
        old, move = value[order[k]], work.newton[k]
        if old * (old + share * move) <= 0.0:
            share, first = -old / move, k
    for k in range(active):
        i = order[k]
        move = share * work.newton[k]
        if k == first:
            move = -value[i]
        value[i] += move
        start = i * size
        for h in range(size):
            slope[h] -= move * work.curvature[start + h]
    if first >= 0:
        value[order[first]] = 0.0
    return first < 0


@inlined
def _is_stationary(size: int, tol: float, largest: float, work: Workspace) -> bool:
    for i in range(size):
        price, slope = work.price[i], work.slope[i]
        bar = 0.01 * tol * price + 4.0 * _EPS * largest
        if work.value[i] > 0.0:
            excess = abs(slope - price)
        elif work.value[i] < 0.0:
            excess = abs(slope + price)
        else:
            excess = abs(slope) - price
        if excess > bar:
            return False
    return True
