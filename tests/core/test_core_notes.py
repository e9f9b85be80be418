"""Warnings on the command line."""

import subprocess
import sys

PROGRAM = """
import warnings
from kotowari.core.notes import print_warnings_plainly
print_warnings_plainly()
for _ in range(2):
    warnings.simplefilter("always")
    warnings.warn("the end is thin.", UserWarning)
warnings.warn("soon gone", FutureWarning)
"""
CHILD = """
import warnings
from kotowari.core.notes import print_warnings_plainly
print_warnings_plainly(always=False)
warnings.warn("a thin end.", UserWarning)
"""


def said(program, **more):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=more or None)
    return done.stderr


def test_a_note_is_one_plain_line_and_said_once():
    lines = said(PROGRAM).splitlines()
    assert lines[0] == "kotowari: note: the end is thin."
    assert sum("the end is thin" in line for line in lines) == 1


def test_other_warnings_look_as_ever():
    assert "FutureWarning: soon gone" in said(PROGRAM)


def test_a_process_whose_parent_did_not_ask_is_left_alone():
    assert "UserWarning: a thin end." in said(CHILD)
    assert said(CHILD, KOTOWARI_PLAIN_WARNINGS="1") == "kotowari: note: a thin end.\n"
