# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every scenario script needs: cases, and where the built programs are."""

import os
import sys
import traceback

BUILD = os.environ["ZM_BUILDDIR"]
SOURCE = os.environ["ZM_SRCDIR"]
ZMANAGERD = os.path.join(BUILD, "zmanagerd")
ZMANAGERCTL = os.path.join(BUILD, "zmanagerctl")
LONG = os.environ.get("ZM_TEST_LONG") == "1"

_cases = []


class Skip(Exception):
    """Raised by a case that cannot run here; its text says why."""


def case(function):
    """Marks a function as a test case; its name becomes the case's."""
    _cases.append(function)
    return function


def run():
    """Runs all cases in order, one line each, and exits 1 if any failed, 77 if all were skipped."""
    failed = skipped = 0
    for function in _cases:
        name = function.__name__
        try:
            function()
            print(f"ok - {name}", flush=True)
        except Skip as why:
            skipped += 1
            print(f"ok - {name} # SKIP {why}", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"not ok - {name}", flush=True)
    if failed or not _cases:
        sys.exit(1)
    sys.exit(77 if skipped == len(_cases) else 0)
