# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secrets put into every place where one may stand come out nowhere: not in dumps, checks, replies, summaries of reloads, problems or the log at its finest."""

import contextlib
import os
import subprocess

from zmcase import ZMANAGERCTL, ZMANAGERD, case, run
from zmtest import Daemon, Refused

CANARY = "Kanarienvogel"

PLUGIN = r"""
#include <zmanager/plugin.h>
#include <string.h>
static const zm_host *plugin_host;
static int init (const zm_host *host, void **state)
{
  *state = NULL;
  plugin_host = host;
  return ZM_OK;
}
/* Who asks may have it: it is the plugin's. */
ZM_ACTION (length)
{
  char text[32];
  (void) snprintf (text, sizeof text, "%u", (unsigned) strlen (plugin_host->config (plugin_host, "word", 0)));
  return zm_reply_text (call, text);
}
static const zm_option_desc options[] = {
  { "word", ZM_OPTION_STRING, ZM_OPTION_SECRET, NULL, "A secret" },
  { "many", ZM_OPTION_STRING, ZM_OPTION_SECRET | ZM_OPTION_LIST, NULL, "Secrets" },
  { "number", ZM_OPTION_INTEGER, ZM_OPTION_SECRET, NULL, "A secret number" },
  { "from-file", ZM_OPTION_STRING, 0, NULL, "Read from elsewhere" },
  { "from-env", ZM_OPTION_STRING, 0, NULL, "Read from elsewhere" },
  { "from-credential", ZM_OPTION_STRING, 0, NULL, "Read from elsewhere" },
  { "uri", ZM_OPTION_STRING, 0, NULL, "Has a password in it" },
  { "uris", ZM_OPTION_STRING, ZM_OPTION_LIST, NULL, "Have passwords in them" },
  { "delay", ZM_OPTION_INTEGER, 0, "1", "No secret" },
  { NULL, 0, 0, NULL, NULL },
};
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "keeper", .version = "1.0", .licence = "LGPL-2.1-or-later", .summary = "Keeps secrets", .options = options, .init = init };
ZM_PLUGIN_FULL ("keeper", "1.0", "LGPL-2.1-or-later", "Keeps secrets", "kind=component\n", &descriptor);
""".replace("#include <string.h>", "#include <stdio.h>\n#include <string.h>")

GOOD = """[zmanager]
log-level = debug
watch = no
[worker w]
exec = /bin/sh -c "exec sleep 1000" w --password=@1 --token @2 --to amqp://me:@3@there/ --and amqp://me:@4@there/
[plugin keeper]
word = @5
many = @6 @7
number = 12
from-file = file:secret
from-env = env:ZM_TEST_SECRET
from-credential = credential:secret
uri = amqp://me:@8@there:5672/vhost
uris = amqp://me:@9@there/ amqp://you:@10@there/
"""

# Wrong lines, each of which is complained of.
WRONG = [
    "[plugin keeper]\nnumber = @11\n",
    "[plugin keeper]\nword = \"@12\nmany = \"@13\n",
    "[plugin keeper]\npassword @14\n",
    "[plugin keeper]\npassword: @15\n",
    "[plugin keeper]\nno-such-password = @16\n",
    "[plugin keeper]\nword = @17\nword = @18\n",
    "[plugin keeper]\ndelay = amqp://me:@19@there/\n",
    "[subject]\nconnect = tcp://me:@20@somewhere:1\n",
    "[call]\nconnect = nonsense://me:@21@there\n",
    "[worker w]\nbind = tcp://me:@22@there\n",
    "[zmanager]\nworkers = amqp://me:@23@there\n",
    "[worker v]\nexec = /no/such/program --password=@24\n",
    "[worker v]\nexec = /bin/sh \"--password=@25\n",
    "[source s]\nplugin = keeper\nuri = amqp://me:@26@there/\n",
]
# The same by --set, with what is no setting at all.
SETTINGS = ["plugin keeper.word=@27", "plugin keeper.number=@28", "plugin keeper.password@29", "plugin keeper.[password=@30", "subject.connect=tcp://me:@31@there"]
FOUND = []
READING = ["config", "explain", "flows", "instances", "log-recent", "metrics", "plugins", "routes", "running", "services", "sources", "status", "workers"]


def filled(text):
    """Each @N becomes a canary of its own."""
    out = text
    for number in range(60, 0, -1):
        out = out.replace(f"@{number}", f"{CANARY}{number}x")
    return out


def clean(what, text):
    """No canary sings here."""
    if isinstance(text, bytes):
        text = text.decode()
    at = text.find(CANARY)
    if at >= 0:
        FOUND.append((what, text[max(at - 200, 0):at + 60]))


def program(*args, env):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False, env=env)
    return done.stdout + done.stderr


def look_everywhere(daemon, env, *more):
    for form in ([], ["--json"]):
        for what in "--dump", "--check":
            clean((what, form, more), program(ZMANAGERD, "--dir", daemon.directory, what, *form, *more, env=env))
    if more:
        return
    for command in READING:
        with contextlib.suppress(Refused):
            clean(command, str(daemon.control(command, **({"key": "?Good?One"} if command == "explain" else {}))))
    for words in (["config"], ["plugin", "ls"], ["plugin", "inspect", "keeper"], ["status"], ["worker", "ls"], ["running"], ["explain", "?Good?One"], ["check"]):
        for form in ([], ["--json"]):
            clean(words, program(ZMANAGERCTL, "--dir", daemon.directory, *form, *words, env=env))
    clean("log", daemon.log_text())


@case
def no_secret_comes_out_anywhere():
    daemon = Daemon(config=filled(GOOD), plugins={"keeper": PLUGIN}, actions={"a.ini": "[actionmapping]\n?Good?One = keeper.length\n"}, expect=["."])
    with open(daemon.path("secret"), "w", encoding="utf-8") as file:
        file.write(filled("@40\n"))
    os.chmod(daemon.path("secret"), 0o600)
    daemon.env.update(ZM_TEST_SECRET=filled("@41"), CREDENTIALS_DIRECTORY=daemon.directory)
    env = {**os.environ, **daemon.env}
    with daemon:
        assert daemon.call("?Good?One") == ("OK", str(len(filled("@5"))).encode())
        look_everywhere(daemon, env)
        # Each of them changes, which the reply and the log tell.
        with open(daemon.path("secret"), "w", encoding="utf-8") as file:
            file.write(filled("@42\n"))
        changed = GOOD
        for number in range(10, 0, -1):
            changed = changed.replace(f"@{number}", f"@{number + 42}")
        daemon.write("zmanager.conf", filled(changed))
        reply = daemon.control("reload")
        assert "plugin keeper.word" in str(reply) and "worker w.exec" in str(reply), reply
        clean("reload", str(reply))
        look_everywhere(daemon, env)
        for wrong in WRONG:
            daemon.write("conf.d/wrong.conf", filled(wrong))
            try:
                clean(wrong, str(daemon.control("reload")))
            except Refused as refused:
                clean(wrong, str(refused.reply))
            look_everywhere(daemon, env)
        os.remove(daemon.path("conf.d", "wrong.conf"))
        for setting in SETTINGS:
            look_everywhere(daemon, env, "--set", filled(setting))
        daemon.control("reload")
        daemon.control("plugin-reload", name="keeper")
        clean("log", daemon.log_text())
    assert not FOUND, "\n".join(map(str, FOUND))


run()
