# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs what README.md says: its blocks marked sh, in order and in one shell, and compares what they print with the block
marked text that follows. There, … stands for anything."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

from zmcase import BUILD, SOURCE, case, run

MARK = "=== the end of block"
PATIENCE = 300


def blocks():
    """(line, commands, expected text or None) of each sh block."""
    text = open(os.path.join(SOURCE, "README.md")).read()
    fences = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S))
    for i, fence in enumerate(fences):
        following = fences[i + 1] if i + 1 < len(fences) else None
        if fence[1] != "sh":
            assert fence[1] == "text", f"a block marked {fence[1]!r} is not run: mark it sh or text"
            continue
        near = following and following[1] == "text" and not text[fence.end():following.start()].strip()
        yield text.count("\n", 0, fence.start()) + 1, fence[2], following[2] if near else None


def script(found):
    parts = [". \"$ZM_SRCDIR/tests/integration/built-tree.sh\"", "built_tree \"$PWD/tree\"", "set -e"]
    for number, (_, commands, _) in enumerate(found):
        parts.append(commands + f"printf '\\n{MARK} {number}\\n'")
    return "\n".join(parts)


def as_pattern(text):
    """… is anything, also several lines where it stands alone."""
    return ".*?".join(re.escape(part) for part in text.strip().split("…"))


@case
def readme():
    found = list(blocks())
    assert len(found) >= 6, "README.md has lost its commands"
    with tempfile.TemporaryDirectory(prefix="zm-") as folder:
        shutil.copytree(os.path.join(SOURCE, "data", "examples"), os.path.join(folder, "data", "examples"))
        python = os.path.join(folder, "tree", "bin", "python3")
        os.makedirs(os.path.dirname(python))
        os.symlink(os.environ["PYTHON"], python)
        environment = dict(os.environ, ZM_BUILDDIR=BUILD, ZM_SRCDIR=SOURCE)
        shell = subprocess.Popen(["sh"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            output, _ = shell.communicate(script(found), timeout=PATIENCE)
        finally:
            # Whatever the commands left running.
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        rest = output
        for number, (line, commands, expected) in enumerate(found):
            printed, mark, rest = rest.partition(f"\n{MARK} {number}\n")
            assert mark, f"README.md:{line}: these commands failed:\n{commands}\nthey printed:\n{printed}"
            if expected is not None:
                assert re.search(r"\A" + as_pattern(expected), printed.strip(), re.S), (
                    f"README.md:{line}: printed\n{printed}\nand not\n{expected}")


run()
