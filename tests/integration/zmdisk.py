# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that fail: one whose writes and syncs end as a file says, and one with little room."""

import os
import shutil
import subprocess
import tempfile

from zmcase import SOURCE, Skip
from zmtest import sanitizer


class FailingDisk:
    """The library that makes a disk fail for one process (tests/faults/shim.c). env goes to the daemon; say() tells what fails."""

    def __init__(self):
        if sanitizer():
            raise Skip("a sanitizer wants to be loaded first")
        self.folder = tempfile.mkdtemp(prefix="zm-shim-")
        library = os.path.join(self.folder, "shim.so")
        subprocess.run([*os.environ.get("CC", "cc").split(), "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror",
                        os.path.join(SOURCE, "tests", "faults", "shim.c"), "-o", library, "-ldl", "-lpthread"], check=True, timeout=120)
        self.rules = os.path.join(self.folder, "rules")
        self.env = {"LD_PRELOAD": library, "ZM_FAULTS": self.rules}

    def say(self, text):
        with open(self.rules + ".part", "w") as out:
            out.write(text)
        os.rename(self.rules + ".part", self.rules)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        shutil.rmtree(self.folder)


class SmallDisk:
    """A file system of its own with little room, which only root can have."""

    def __init__(self, size):
        self.path = tempfile.mkdtemp(prefix="zm-disk-")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", self.path], capture_output=True, text=True)
        if done.returncode != 0:
            os.rmdir(self.path)
            raise Skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def fill(self):
        with open(os.path.join(self.path, "filler"), "ab", buffering=0) as out:
            try:
                while True:
                    out.write(b"x" * 4096)
            except OSError:
                pass

    def make_room(self):
        os.unlink(os.path.join(self.path, "filler"))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        subprocess.run(["umount", self.path], check=True)
        os.rmdir(self.path)
