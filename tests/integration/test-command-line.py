# SPDX-License-Identifier: LGPL-2.1-or-later
"""Command lines, good and bad, of both programs: an answer or a usage error, never a crash."""

import subprocess

from zmcase import ZMANAGERCTL, ZMANAGERD, case, run

PROGRAMS = {"zmanagerd": ZMANAGERD, "zmanagerctl": ZMANAGERCTL}


def call(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


@case
def version_names_the_program():
    for name, program in PROGRAMS.items():
        done = call(program, "--version")
        assert done.returncode == 0, done
        assert done.stdout.startswith(name + " "), done


@case
def unknown_option_is_a_usage_error():
    for name, program in PROGRAMS.items():
        done = call(program, "--no-such-option")
        assert done.returncode == 2, done
        assert done.stderr.startswith(name + ": ") and "--help" in done.stderr, done


@case
def wrong_words_are_usage_errors():
    for arguments in (["--log-level", "foo"], ["--log-format", "foo"], ["--json"], ["--check", "--dump"], ["word"]):
        done = call(ZMANAGERD, *arguments)
        assert done.returncode == 2 and not done.stdout, done
        assert done.stderr.startswith("zmanagerd: ") and "--help" in done.stderr, done


run()
