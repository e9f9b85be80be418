"""The examples are run by ``tests/examples``, each in a process of its own; none is imported to look for doctests."""

collect_ignore_glob = ["plot_*.py"]
