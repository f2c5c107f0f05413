/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the error codes of messages mean, and what to do: `zmanagerctl explain no-taker`. The same codes stand in
 * zmanager-wire(7), ERRORS; a test compares both. English, like the texts of the codes ZM1234 and the errors themselves: people
 * search for them.
 */
#include "config.h"

#include "ctl/ctl.h"

static const ZmCtlErrorCode codes[] = {
  { "malformed", "Frames, key, topic, headers or JSON are wrong.",
    "The error's text says what, where and what is expected; zmanager-wire(7) has the form." },
  { "reserved",
    "The action done or error, or a name that begins with ^, was sent: they belong to the daemon.",
    "Send it under a name of your own." },
  { "denied", "A plugin that authorises, or a hook, refused the message.",
    "The text names the reason; ask who runs the daemon, or look for plugins with hooks in: zmanagerctl "
    "plugin ls" },
  { "busy",
    "Too many calls wait, the workers' queue or that of a slow plugin is full, or too many flow instances "
    "wait.",
    "Send again later. Where it stays so, zmanagerctl top shows what takes the time; the limits stand in "
    "zmanager.conf(5)." },
  { "draining", "The daemon is ending and takes nothing new.", "Send again when it runs again." },
  { "timeout",
    "There was no result within the deadline of the call, of the action, or of a step that waits for an "
    "answer.",
    "Give more time (the header timeout; timeout= in [workers] or [action KEY]), or see with zmanagerctl top "
    "and "
    "zmanagerctl trace where it stays." },
  { "shutdown", "The daemon ended before there was a result.",
    "Send again. [workers] drain is how long the daemon waits at its end." },
  { "no-store", "The message was to be kept safe, and this daemon has no store.",
    "Add a section [store] to the configuration and start the daemon again, or use CALL instead of SEND." },
  { "not-found", "No service of this name is registered: the daemon was started again.",
    "Send HELLO again." },
  { "unmapped",
    "No mapping and no flow takes the key; or an error step, or a key that an action went on with, is in no "
    "mapping.",
    "zmanagerctl explain KEY shows what was tried. Add a mapping in actions.d, or a flow in flows.d. An "
    "event that is "
    "only to be published needs a flow: the key, then the same with @PUBLISH, then ??done." },
  { "unavailable", "A mapping takes the key, but its plugin or worker is not there now.",
    "The text says why; see zmanagerctl plugin ls, zmanagerctl workers and zmanagerctl status." },
  { "no-such-flow", "The message names a flow that does not exist.", "zmanagerctl flow ls lists them." },
  { "no-such-step", "The flow that the message names has no step of this key.",
    "zmanagerctl flow show NAME shows its steps." },
  { "no-such-instance",
    "Nobody waits for this answer: the id is wrong, it came too late, or it was answered already.",
    "An answer has the step's key, and the flow and id of what was handed over." },
  { "no-taker", "The step is in no mapping, so it was to be handed over, and nobody subscribes its topic.",
    "Start the service that takes it; or, if a plugin was meant, look for a slip in the key: zmanagerctl "
    "explain KEY. "
    "[workers] wait-for-taker is how long a step waits for a subscriber." },
  { "duplicate", "An instance of this flow with this id waits already.",
    "Give each message an id of its own." },
  { "nesting", "Flows are nested too deep.", "zmanagerctl flow show NAME shows which flow a step starts." },
  { "state-too-large",
    "What is to be kept of a durable message in its flow, its body and the results of a join, is over 16 "
    "MiB.",
    "Pass less from step to step: the place where the data is, in place of the data." },
  { "loop", "The message took too many steps, or was sent on from action to action too often.",
    "zmanagerctl trace shows its way; look for two actions that send to each other." },
  { "join", "Concurrent steps of a flow failed.", "The error names that of each branch." },
  { "rejected", "The action refused the message without saying more.", "Ask its author to use zm_fail." },
  { "retry", "The action asks for the message again later, which only a durable message can have.",
    "Send it again." },
  { "bad-status", "The action returned what is no outcome, or deferred in a wrong way.",
    "A fault of the plugin; zmanager-plugin(3) lists the outcomes." },
  { "stuck", "The plugin hung too often and takes no more calls until it is replaced.",
    "zmanagerctl plugin reload NAME brings a new one in; zmanagerctl log says where it hung." },
  { "crashed",
    "The action crashed, or ended its process, while it had this message; its host was lost with it.",
    "A fault of the plugin: the text says how it ended, the report crash-*.txt in the directory state what "
    "ran "
    "there. Whoever sends the message again makes it crash again: after three times it is set aside." },
  { "host-lost",
    "The host ended while the action ran, and it was not this call that ended it: a plugin beside it crashed "
    "or "
    "hung, or the process was killed.",
    "Send again, if the action may run twice: it had begun. Give one of the plugins a host of its own: "
    "isolation "
    "= private in [plugin NAME]." },
  { "quarantined",
    "The plugin crashed five times within a minute and without a good call, and is not started again.",
    "zmanagerctl status has the last crash. zmanagerctl plugin reload NAME tries it again, and so does a new "
    "file of it." },
  { "set-aside", "The message ended its host three times, and is not tried again.",
    "zmanagerctl dead show ID tells where it crashed. When the plugin is mended, zmanagerctl dead rm ID lets "
    "the "
    "message in again." },
  { "bad-key", "The action's host named a key for its result, or to go on with, that is none.",
    "A fault of the plugin: it wrote over memory that is not its own. zmanagerctl plugin reload NAME brings "
    "a new "
    "one in." },
  { "memory", "The daemon has no memory for the result that a plugin's host sent.",
    "Let the action give less at a time, or the daemon have more memory." },
  { "failed", "Anything else.", "The error's text and zmanagerctl log say more." },
};

/* Constant data: borrowed, valid for ever. */
const ZmCtlErrorCode *
zm_ctl_error_codes (guint *n)
{
  *n = G_N_ELEMENTS (codes);
  return codes;
}
