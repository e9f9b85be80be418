"""The face of the room names everything once, in order, and brings no torch."""

import subprocess
import sys

from kotowari import trust


def test_all_is_sorted_and_true():
    assert list(trust.__all__) == sorted(set(trust.__all__))
    assert all(hasattr(trust, name) for name in trust.__all__)


def test_the_room_loads_no_torch():
    code = "import sys, kotowari.trust; sys.exit('torch' in sys.modules or 'gseapy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
