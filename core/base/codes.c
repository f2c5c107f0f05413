/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each problem code means, with an example and its cure: `zmanagerctl explain ZM1234`. Sorted by number. */
#include "config.h"

#include "base/zm-base.h"
#include "base/zm-codes.h"

#include <stdlib.h>

static const ZmCodeInfo codes[] = {
  /* lines and configuration */
  { ZM_CODE_UNKNOWN_SECTION, "Unknown section",
    "No part of the runtime reads a section of this name, so what stands in it would have no effect.\n"
    "Example: [subjects] instead of [subject].\n"
    "Cure: correct the name, or remove the section; the manual page zmanager.conf(5) lists them all." },
  { ZM_CODE_UNKNOWN_KEY, "Unknown key",
    "The section is known, the key in it is not; nothing would read its value.\n"
    "Example: in [workers], time-out=30s instead of timeout=30s.\n"
    "Cure: correct the name, or remove the line." },
  { ZM_CODE_BAD_VALUE, "Value of the wrong kind",
    "The key's value cannot be read as what the key takes.\n"
    "Example: timeout=soon, where a duration such as 30s is wanted.\n"
    "Cure: write a value of the kind that the message names." },
  { ZM_CODE_OUT_OF_RANGE, "Value out of range",
    "The value is of the right kind, but outside the bounds of this key.\n"
    "Example: workers=5000.\n"
    "Cure: write a value within the bounds that the message names." },
  { ZM_CODE_NOT_A_LINE, "Line that is neither section, assignment nor comment",
    "A line must be [section], key = value, or a comment that begins with # or ;.\n"
    "Example: timeout 30s\n"
    "Cure: add the missing '=', or put a # in front." },
  { ZM_CODE_BAD_SECTION_LINE, "Section line that does not end",
    "A section's line is its name in square brackets with nothing behind them.\n"
    "Example: [subject\n"
    "Cure: close the bracket and put what follows on a line of its own." },
  { ZM_CODE_KEY_WITHOUT_SECTION, "Assignment before the first section",
    "It is not clear which section the line belongs to.\n"
    "Example: a file that begins with workers = 4.\n"
    "Cure: put a section line such as [zmanager] above it." },
  { ZM_CODE_LINE_TOO_LONG, "Line too long",
    "A line may have 64 KiB.\n"
    "Example: a binary file that was named .conf.\n"
    "Cure: shorten the line, or take the file out of the directory." },
  { ZM_CODE_FILE_TOO_LARGE, "File too large",
    "A configuration, mapping or flow file may have 1 MiB.\n"
    "Example: a log that was moved into conf.d.\n"
    "Cure: divide the file, or take it out of the directory." },
  { ZM_CODE_BAD_UTF8, "Text that is not UTF-8",
    "The line holds bytes that are no UTF-8 text, or a zero byte.\n"
    "Example: a file saved as Latin-1.\n"
    "Cure: save the file as UTF-8." },
  { ZM_CODE_NOT_READABLE, "File or directory that cannot be read",
    "The system refused to open or read it; the message says why.\n"
    "Example: a file of mode 0600 that belongs to root.\n"
    "Cure: let the daemon's user read it, or take it away." },
  { ZM_CODE_SECRET_NOT_READABLE, "Secret that cannot be read",
    "The value names a place for a secret (file:, env:, credential:) and nothing can be read there.\n"
    "Example: password = file:/etc/zmanager/pw where that file is missing.\n"
    "Cure: create it, readable for the daemon's user only, or correct the name." },
  { ZM_CODE_SECRET_TOO_OPEN, "Secret that others can read",
    "The file of a secret may be read by users other than its owner and group.\n"
    "Example: a key file of mode 0644.\n"
    "Cure: chmod 0640 or stricter." },
  { ZM_CODE_BAD_SET_OPTION, "--set that is no assignment",
    "--set takes section.key=value.\n"
    "Example: --set workers\n"
    "Cure: write it as in --set workers.timeout=10s." },
  { ZM_CODE_REPEATED_KEY, "Key given twice",
    "The key takes one value and stands in this file more than once.\n"
    "Example: two lines timeout= in [workers].\n"
    "Cure: remove one of them." },
  { ZM_CODE_MISSING_KEY, "Key that must be given",
    "The section does not work without this key.\n"
    "Example: [source links] without plugin=.\n"
    "Cure: add the line that the message names." },
  { ZM_CODE_BAD_ENDPOINT, "Endpoint that cannot be used",
    "An endpoint is ipc://PATH or tcp://ADDRESS:PORT; multicast is for the topics socket only.\n"
    "Example: bind = localhost:5555\n"
    "Cure: write the transport in front, as in tcp://127.0.0.1:5555." },
  { ZM_CODE_MULTICAST_REFUSED, "Multicast that is not allowed",
    "Multicast knows no encryption and no subscriptions, so it must be asked for, and works on the topics "
    "socket alone.\n"
    "Example: [subject] bind = epgm://10.0.0.1;239.1.1.1:5555\n"
    "Cure: use tcp, or set [security] allow-multicast = yes for [integration]." },
  { ZM_CODE_OPEN_TCP_REFUSED, "TCP endpoint beyond this machine without keys",
    "Whoever reaches a plain TCP endpoint may send anything, so outside loopback CURVE keys are needed.\n"
    "Example: bind = tcp://0.0.0.0:5555 without [security] curve-secret.\n"
    "Cure: set the keys (zmanagerctl key new), or bind to 127.0.0.1." },
  { ZM_CODE_BAD_SECTION_NAME, "Section name that cannot be used",
    "The second word of such a section is a name: at most 64 letters, digits, '_', '.' and '-'.\n"
    "Example: [plugin my plugin]\n"
    "Cure: choose a name of those characters." },
  { ZM_CODE_UNSAFE_MODE, "File or directory that others may write",
    "What anybody may write is not loaded: it would let them run code in the daemon.\n"
    "Example: a plugin directory of mode 0777.\n"
    "Cure: chmod go-w, and check who owns it." },
  { ZM_CODE_PROGRAM_NOT_FOUND, "Worker whose program cannot be started",
    "exec= of a [worker NAME] is a command line whose first word is a program: a path, or a name that is "
    "looked "
    "for in PATH, as the daemon has it.\n"
    "Example: exec = pyhton3 greet.py\n"
    "Cure: correct the name, install the program, or make it executable." },
  { ZM_CODE_AUDIT_LOST, "Audit log that cannot be kept",
    "The file of [zmanager] audit-log cannot be opened, or others may write it. The daemon does not start "
    "so; one that "
    "runs goes on, degraded, and the acts stand in its log only.\n"
    "Example: audit-log = no/such/directory/audit.json\n"
    "Cure: correct the path, or chmod go-w the file and check who owns it." },
  { ZM_CODE_OPEN_HTTP_REFUSED, "HTTP beyond this machine without tokens",
    "Without tokens whoever reaches the HTTP API may do anything, so it is open to this machine only.\n"
    "Example: in [http], listen = 0.0.0.0:8888 with auth = none.\n"
    "Cure: set auth = token (zmanagerctl token new makes one), or listen on 127.0.0.1 or unix:PATH." },
  { ZM_CODE_BAD_RETRY_POLICY, "Text that is no retry policy",
    "A retry policy is a JSON object of known members whose counts and times are within their bounds.\n"
    "Example: retry = {\"immediate\": \"often\"}\n"
    "Cure: correct the member that the message names; zmanager.conf(5), RETRY POLICIES, lists them." },
  /* action mappings */
  { ZM_CODE_DUPLICATE_MAPPING, "Key mapped twice",
    "Two lines map the same key; the later one in name order of the files counts.\n"
    "Example: ?Link?Down in 10-link.ini and in 20-site.ini.\n"
    "Cure: remove one, unless the later is meant to replace the earlier." },
  { ZM_CODE_RESERVED_ACTION, "Mapping of a reserved action",
    "done, error and Push, and names that begin with ^, belong to the runtime; the mapping may never be "
    "reached.\n"
    "Example: ?Link?done = link.finish\n"
    "Cure: choose another action name." },
  { ZM_CODE_PUBLISH_MAPPING, "Mapping with the decorator PUBLISH or ASYNC",
    "In a flow these decorators mean something else than a mapped action, so the mapping is not what it "
    "seems.\n"
    "Example: ?Link@PUBLISH?Down = link.down\n"
    "Cure: leave the decorator out, or choose another." },
  { ZM_CODE_BAD_TARGET, "Mapping value that names no action",
    "The value is plugin.symbol or worker:NAME.\n"
    "Example: ?Link?Down = on_link_down\n"
    "Cure: put the plugin's name in front, as in link-status.on_link_down." },
  { ZM_CODE_BAD_SYMBOL_NAME, "Symbol that cannot be an action",
    "The symbol is no C name, or libc exports one like it, to which a plugin's own call would bind.\n"
    "Example: mylib.system or link.send\n"
    "Cure: give the action another name, such as link_send." },
  { ZM_CODE_UNKNOWN_WORKER, "Worker that is not configured",
    "The mapping sends to worker:NAME, and there is no section [worker NAME].\n"
    "Example: ?Hello?Greet = worker:greet\n"
    "Cure: add [worker greet] with exec= or bind=, or correct the name." },
  { ZM_CODE_OPTIONS_WITHOUT_MAPPING, "Options for a key that nothing maps",
    "A section [action KEY] gives options to a mapping of exactly that key.\n"
    "Example: [action ?Link?Dwon] beside ?Link?Down = link.down\n"
    "Cure: correct the key, or add the mapping." },
  { ZM_CODE_SHADOWED_MAPPING, "Mapping that can never be reached",
    "A mapping that comes earlier in the order of resolution takes every message that this one could.\n"
    "Example: a line for a message that a flow's trigger takes first.\n"
    "Cure: remove it, or make its key more exact." },
  { ZM_CODE_TOO_MANY_MAPPINGS, "Too many mappings",
    "The table has a bound, so that a mistake in a generated file cannot take all memory.\n"
    "Example: a generated file of millions of lines.\n"
    "Cure: use emptier keys, of which one stands for many." },
  /* flows */
  { ZM_CODE_FLOW_WITHOUT_STEPS, "Flow without steps",
    "A flow's first line is its trigger, and at least one step should follow.\n"
    "Example: [IAMConnection] with nothing below it.\n"
    "Cure: add its lines, or remove it." },
  { ZM_CODE_BAD_STEP, "Line in a flow that is no step",
    "Lines of a flow are action keys, keys joined by &, an error step that begins with !, or comments.\n"
    "Example: Link Down\n"
    "Cure: write a key such as ?Link?Down, or put a # in front." },
  { ZM_CODE_STEP_OUTSIDE_FLOW, "Step before the first flow",
    "It is not clear which flow the step belongs to.\n"
    "Example: a file that begins with ?Link?Down.\n"
    "Cure: put the flow's name in square brackets above it." },
  { ZM_CODE_BAD_FLOW_NAME, "Flow name that cannot be used",
    "A flow's name is made of letters, digits, '_', '-' and '^', and only the runtime's own begin with ^.\n"
    "Example: [my flow]\n"
    "Cure: choose a name of those characters, such as my-flow." },
  { ZM_CODE_REPEATED_FLOW, "Flow defined twice",
    "The later definition replaces the earlier one as a whole.\n"
    "Example: [IAMConnection] in two files.\n"
    "Cure: rename one of them, unless that is meant." },
  { ZM_CODE_SHARED_TRIGGER, "Two flows with one trigger",
    "A message that the trigger matches runs both flows. Of a durable message only the first is kept on "
    "disk: "
    "the other is lost where the daemon ends meanwhile.\n"
    "Example: two flows that both begin with ?Link?Down.\n"
    "Cure: nothing, where that is meant; else make one trigger more exact, or name the second flow's trigger "
    "as "
    "a step of the first." },
  { ZM_CODE_JOIN_TOO_WIDE, "Too many concurrent steps",
    "One line may join at most 16 steps by &.\n"
    "Example: a generated line of 40 keys.\n"
    "Cure: divide the line into several, or let one action do more." },
  { ZM_CODE_EQUAL_KEYS_IN_JOIN, "One key twice in a join",
    "Answers find their branch by its key, so the keys of a join must differ.\n"
    "Example: ?Link?probe & ?Link?probe\n"
    "Cure: remove one, or give them different senders or contexts." },
  { ZM_CODE_PUBLISH_IN_JOIN, "PUBLISH in a join",
    "A published step has no result, so there is nothing to wait for.\n"
    "Example: ?Link?probe & ?Link@PUBLISH?seen\n"
    "Cure: put the PUBLISH step on a line of its own." },
  { ZM_CODE_ON_ERROR_WITHOUT_STEP, "Error step without a step above it",
    "A line that begins with ! belongs to the step above it, and the trigger is none.\n"
    "Example: a flow whose second line is ! ?Ops?Alert.\n"
    "Cure: put it below the step whose failure it is for." },
  { ZM_CODE_ON_ERROR_MAY_NOT_WAIT, "Error step that would wait",
    "An error step runs at once; it cannot be ASYNC, PUBLISH, a join, or a key that is handed over to a "
    "service.\n"
    "Example: ! ?Ops@ASYNC?Alert\n"
    "Cure: map its key to an action of a plugin." },
  { ZM_CODE_REPEATED_ON_ERROR, "Two error steps for one step",
    "A step has one error step.\n"
    "Example: two lines with ! one below the other.\n"
    "Cure: let the first do the work of both." },
  { ZM_CODE_ASYNC_OUTSIDE_FLOW, "ASYNC outside a flow",
    "Only a step of a flow can wait; a trigger or mapping with ASYNC has nothing to come back to.\n"
    "Example: a flow whose first line is ?Link@ASYNC?Down.\n"
    "Cure: leave the decorator out there." },
  { ZM_CODE_UNKNOWN_DECORATOR, "Decorator that nothing knows",
    "In a flow a decorator is PUBLISH, ASYNC, or one that a mapping names with this key.\n"
    "Example: ?Link@PUBLSH?Down\n"
    "Cure: correct it, or add the mapping." },
  { ZM_CODE_DONE_NOT_LAST, "Step below ??done",
    "done ends the flow; what stands below is never reached.\n"
    "Example: ??done above ?Link?Log.\n"
    "Cure: move ??done to the end." },
  { ZM_CODE_HAND_OVER_STEP, "Step in no mapping that looks misspelt",
    "A step in no mapping is published under its own key, for a service to take; this one is like a mapped "
    "key.\n"
    "Example: ?Link?Dwon, where ?Link?Down is mapped.\n"
    "Cure: correct the key; nothing, where a service takes it." },
  { ZM_CODE_FLOW_LOOP, "Flows that call each other without end",
    "A flow whose step starts another flow that comes back to it never ends; flows nest 8 deep.\n"
    "Example: [a] has the step ?b?Push, [b] the step ?a?Push.\n"
    "Cure: take one of the steps out." },
  { ZM_CODE_FLOW_TOO_LONG, "Flow with too many steps",
    "A flow has a bound on its steps.\n"
    "Example: a generated flow.\n"
    "Cure: divide it into flows that call each other." },
  { ZM_CODE_TOO_MANY_FLOWS, "Too many flows",
    "The number of flows has a bound, so that a mistake in a generated file cannot take all memory.\n"
    "Example: a generated file of millions of lines.\n"
    "Cure: let one flow serve many messages by an emptier trigger." },
  { ZM_CODE_BAD_TRIGGER, "Line that cannot be a trigger",
    "A flow's first line is the key that starts it: one key, not published, and not ??done.\n"
    "Example: a flow whose first line is ?Link?a & ?Link?b.\n"
    "Cure: put a key such as ?NAME?Push above it." },
  { ZM_CODE_RESERVED_STEP, "Step with a name of the runtime",
    "done, error and names that begin with ^ belong to the runtime; the only such step is ??done.\n"
    "Example: ?Link?done\n"
    "Cure: choose another action name." },
  { ZM_CODE_FLOW_WITHOUT_DONE, "Flow that does not end in ??done",
    "??done is what publishes a flow's end and its last result; without it nobody is told.\n"
    "Example: [a] with the lines ?a?Push and ?Link?Log.\n"
    "Cure: add ??done as the last line." },
  { ZM_CODE_TRIGGERS_OVERLAP, "Triggers that overlap too much",
    "Where triggers with different parts left out can match one message, the table holds an entry for each "
    "combination; at most 65,536.\n"
    "Example: 300 triggers of the form S?? beside 300 of the form ?C?.\n"
    "Cure: give the triggers the same parts, such as ?C?A." },
  { ZM_CODE_NESTING_TOO_DEEP, "Flows nested too deep",
    "A step that starts another flow waits for it; flows nest 8 deep.\n"
    "Example: [a] starts [b], that starts [c], and so on to [j].\n"
    "Cure: write the steps of one of them where it is started." },
  /* plugins */
  { ZM_CODE_UNKNOWN_PLUGIN, "Plugin that is not there",
    "No directory of the plugin path holds a library of this name.\n"
    "Example: lnik-status.on_down, where link-status.so is installed.\n"
    "Cure: correct the name, install the plugin, or set plugin-path." },
  { ZM_CODE_UNKNOWN_SYMBOL, "Symbol that the plugin does not have",
    "The library itself exports no action of this name; what other libraries export does not count.\n"
    "Example: link-status.on_donw\n"
    "Cure: correct the name; zmanagerctl plugin inspect NAME lists the actions." },
  { ZM_CODE_PLUGIN_REFUSED, "Plugin that cannot be loaded",
    "The file is no library that this daemon can take; the message says why.\n"
    "Example: a truncated file, or one for another processor.\n"
    "Cure: build it again with this header, and install it complete." },
  { ZM_CODE_WRONG_ABI, "Plugin of another ABI",
    "It was built for another major version of the plugin interface.\n"
    "Example: a plugin of plugins-1 in a later daemon.\n"
    "Cure: build it again with the installed zmanager/plugin.h." },
  { ZM_CODE_NO_NOTE, "Library without the mark of a plugin",
    "A plugin carries a note that zmanager/plugin.h leaves in it; without it nothing of the library is run.\n"
    "Example: libm.so copied into the plugin directory.\n"
    "Cure: build it with ZM_PLUGIN (...), or take it out of the directory." },
  { ZM_CODE_PROBE_FAILED, "Plugin that could not be tried",
    "Libraries are opened in a helper process first, zmanager-probe, which also tells their options; it "
    "could not "
    "be run, so nothing is known of them.\n"
    "Example: a daemon whose zmanager-probe was not installed.\n"
    "Cure: install it; plugin options are checked when the daemon loads the plugin." },
  { ZM_CODE_DEPENDENCY_MISSING, "Plugin that needs another one",
    "Its manifest names a plugin that is not there.\n"
    "Example: a plugin that needs link-status, which is not installed.\n"
    "Cure: install the one that is named." },
  { ZM_CODE_DEPENDENCY_CYCLE, "Plugins that need each other",
    "The order of loading follows the dependencies, and these have no first one.\n"
    "Example: a needs b, and b needs a.\n"
    "Cure: take one of the dependencies out of the manifests." },
  { ZM_CODE_SHADOWED_PLUGIN, "Plugin hidden by another of its name",
    "The first directory of the plugin path that has the name wins.\n"
    "Example: hello.so in the site directory and in the system's.\n"
    "Cure: remove one, unless the first is meant to replace the other." },
  { ZM_CODE_PLUGIN_FAILED, "Plugin that did not start",
    "It was loaded, and refused its configuration or failed in init or start; the message gives its own "
    "words.\n"
    "Example: a source whose uri= cannot be opened.\n"
    "Cure: do what its message says." },
  { ZM_CODE_PLUGIN_NOT_USED, "Plugin that nothing uses",
    "No mapping, source or [plugin NAME] load=yes names it, so it is not loaded.\n"
    "Example: a file dropped in without a mapping.\n"
    "Cure: add the line that the message shows." },
  { ZM_CODE_WRONG_KIND, "Plugin of another kind",
    "What names it needs a plugin of another kind.\n"
    "Example: [source x] plugin=hello, where hello is a component.\n"
    "Cure: name a plugin of the right kind." },
  { ZM_CODE_DUPLICATE_SCHEME, "Scheme that two plugins offer",
    "Without a priority it is not clear which of them is meant.\n"
    "Example: two protocol plugins for https.\n"
    "Cure: set [plugin NAME] priority= for one of them." },
  { ZM_CODE_BAD_MANIFEST, "Manifest that cannot be read",
    "The text in the plugin's note is not what a manifest looks like; the message says where.\n"
    "Example: a dependency line without a name.\n"
    "Cure: correct the text given to ZM_PLUGIN_MANIFEST and build again." },
  { ZM_CODE_RESIDENT_PLUGIN, "Plugin that cannot be replaced while it runs",
    "It leaves something in the process that cannot be taken back (GTypes, thread-specific data), or says so "
    "itself.\n"
    "Example: a new version of a plugin whose flags hold ZM_PLUGIN_RESIDENT.\n"
    "Cure: restart the daemon to take the new version." },
  { ZM_CODE_BAD_PLUGIN_NAME, "File whose name names no plugin",
    "A plugin's name is its file's place below the plugin path, with dots; each part is letters, digits, _ "
    "and "
    "-.\n"
    "Example: my plugin.so, or hello.1.so.\n"
    "Cure: rename the file." },
  { ZM_CODE_TOO_MANY_PLUGINS, "Too many files in the plugin path",
    "The number of files that are looked at has a bound.\n"
    "Example: plugin-path=/usr/lib.\n"
    "Cure: keep plugins in directories of their own." },
  { ZM_CODE_ONE_INSTANCE, "Several instances of a plugin that has one call at a time",
    "None of its actions is THREADSAFE, so a second process of it would never have a call; one is started.\n"
    "Example: instances = 4 of a plugin whose actions all begin with ZM_ACTION.\n"
    "Cure: remove instances, or let the plugin begin with ZM_ACTION_THREADSAFE what may run several times at "
    "once." },
  { ZM_CODE_NO_VARIANT, "Mapping that wants another place for a plugin that can run in one only",
    "isolation of a mapping makes a second copy of its plugin, in another place than the first. An EXCLUSIVE "
    "plugin cannot run twice, and a source takes events in where it runs.\n"
    "Example: isolation = private in the section of a mapping that names a plugin with the flag "
    "ZM_PLUGIN_EXCLUSIVE.\n"
    "Cure: remove it there and set isolation in [plugin NAME]." },
  { ZM_CODE_HOOKS_OUTSIDE, "Plugin with hooks that is to run outside the daemon",
    "Hooks are called around each call in the daemon's own workers; a plugin in another process has none "
    "there. To go on "
    "without it would let in what its hooks are to keep out, so the whole load is refused.\n"
    "Example: an authorising plugin outside the system's directory with third-party-isolation = process.\n"
    "Cure: set isolation = thread in [plugin NAME], or take the plugin out." },
  { ZM_CODE_NO_HOST, "Setting of hosts of a plugin that runs in the daemon",
    "instances, threads, memory and descriptors are about the processes in which a plugin runs outside the "
    "daemon; this one "
    "runs in the daemon's own workers, and so nothing of it is limited.\n"
    "Example: memory = 64M without isolation, which is thread then.\n"
    "Cure: set isolation = process or private in [plugin NAME], or remove the setting." },
  { ZM_CODE_ONE_THREAD, "Several threads of a plugin that has one call at a time",
    "None of its actions is THREADSAFE, so a second thread would never have a call; one is used.\n"
    "Example: threads = 4 of a plugin whose actions all begin with ZM_ACTION.\n"
    "Cure: remove threads, or let the plugin begin with ZM_ACTION_THREADSAFE what may run several times at "
    "once." },
  /* action keys */
  { ZM_CODE_BAD_KEY, "Text that is no action key",
    "An action key is Sender?Context@Decorator?Action; each part may be empty, the decorator with its @ may "
    "be left out.\n"
    "Example: Link?Down, which has one ? only.\n"
    "Cure: write both question marks, as in ?Link?Down." },
  { ZM_CODE_KEY_TOO_LONG, "Action key too long",
    "A part may have 255 bytes, the whole key 1,024.\n"
    "Example: a key that holds a path.\n"
    "Cure: put such data into the body." },
  { ZM_CODE_BAD_NAME, "Text that is no name",
    "Names are made of letters, digits, '_', '-' and '^'.\n"
    "Example: a service called my service.\n"
    "Cure: choose a name of those characters." },
  { ZM_CODE_EMPTY_KEY, "Key without any part",
    "?? matches everything that nothing else takes; as a step or trigger it is not allowed.\n"
    "Example: a flow whose line is ??.\n"
    "Cure: write at least the action, as in ??done." },
};

static int
compare_code (const void *key, const void *row)
{
  guint code = *(const guint *) key, other = ((const ZmCodeInfo *) row)->code;

  return (code > other) - (code < other);
}

const ZmCodeInfo *
zm_code_info (const char *code)
{
  gint64 number;
  guint wanted;

  if ((code[0] == 'Z' || code[0] == 'z') && (code[1] == 'M' || code[1] == 'm'))
    code += 2;
  if (!zm_parse_integer (code, 1, 9999, &number, NULL))
    return NULL;
  wanted = (guint) number;
  return bsearch (&wanted, codes, G_N_ELEMENTS (codes), sizeof codes[0], compare_code);
}
