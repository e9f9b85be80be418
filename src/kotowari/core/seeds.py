"""One seed a run; every part of the run draws its own from it, by name."""

import hashlib

__all__ = ["derive_seed"]


def derive_seed(seed: int, *path: str | int) -> int:
    """Return a seed for one named part of a run.

    Parts do not share a stream, so adding, skipping or resuming one leaves the numbers of the others as they were.

    Parameters
    ----------
    seed
        The seed of the run, 0 or more.
    path
        Names and numbers that lead to the part, such as ``"null", 17, "fold", 2``.

    Returns
    -------
    int
        0 up to ``2**31 - 1``, which every library here accepts.

    Examples
    --------
    >>> derive_seed(0, "fold", 1) == derive_seed(0, "fold", 1) != derive_seed(0, "fold", 2)
    True
    """
    words = "\x1f".join(str(part) for part in (seed, *path)).encode()
    return int.from_bytes(hashlib.blake2b(words, digest_size=4).digest(), "big") & 0x7FFFFFFF
