/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one table of commands: parsing, help, completion and the manual page's list are all made from it.
 *
 * A new command is a row here and a function of its own; nothing else has to know it. Rows stand in the order in which help shows
 * them, and commands of one first word stand together, as completion expects. A command's own option hides a global one of the
 * same name. Help texts are marked here (N_) and translated where they are shown: this is constant data.
 */
#include "ctl/ctl.h"

#define END_OF_OPTIONS                  \
  {                                     \
    NULL, ZM_OPT_FLAG, NULL, NULL, NULL \
  }

/* Taken before a command and behind it. What they mean to one command (--timeout of call) its manual section says. */
static const ZmCtlOption global_options[] = {
  { "dir", ZM_OPT_TEXT, "DIR", N_ ("The instance's directory (default: $ZM_DIR, else the system's)"), NULL },
  { "connect", ZM_OPT_TEXT, "ENDPOINT", N_ ("The control socket, instead of the one in the directory"),
    NULL },
  { "json", ZM_OPT_FLAG, NULL, N_ ("Print JSON: one document, or one a line in streams"), NULL },
  { "no-color", ZM_OPT_FLAG, NULL, N_ ("Print no colours (also: NO_COLOR in the environment)"), NULL },
  { "timeout", ZM_OPT_DURATION, "TIME", N_ ("How long the daemon may take (default 2s to reach it)"), NULL },
  { "help", ZM_OPT_FLAG, NULL, N_ ("Print help for the command"), NULL },
  { "version", ZM_OPT_FLAG, NULL, N_ ("Print the version"), NULL },
  END_OF_OPTIONS,
};

/* status */
static const ZmCtlOption watch_options[] = {
  { "watch", ZM_OPT_FLAG, NULL, N_ ("Print it again and again, until Ctrl-C"), NULL },
  { "interval", ZM_OPT_DURATION, "TIME", N_ ("Time between two pictures (default 1s)"), NULL },
  { "verbose", ZM_OPT_FLAG, NULL, N_ ("Print every figure and counter, under its own name"), NULL },
  END_OF_OPTIONS,
};

/* send: a bulk is made of one message, so --count is only here. */
static const ZmCtlOption send_options[] = {
  { "flow", ZM_OPT_TEXT, "NAME", N_ ("The flow that the message names"), NULL },
  { "id", ZM_OPT_TEXT, "ID", N_ ("The message's id (default: a new one)"), NULL },
  { "header", ZM_OPT_LIST, "NAME=VALUE", N_ ("A header; may be given several times"), NULL },
  { "count", ZM_OPT_COUNT, "N", N_ ("Send it N times, each with an id of its own"), NULL },
  { "durable", ZM_OPT_FLAG, NULL, N_ ("Wait until the daemon's store has it; it runs in spite of crashes"),
    NULL },
  END_OF_OPTIONS,
};

/* call: its deadline is the global --timeout. */
static const ZmCtlOption call_options[] = {
  { "flow", ZM_OPT_TEXT, "NAME", N_ ("The flow that the message names"), NULL },
  { "id", ZM_OPT_TEXT, "ID", N_ ("The message's id (default: a new one)"), NULL },
  { "header", ZM_OPT_LIST, "NAME=VALUE", N_ ("A header; may be given several times"), NULL },
  END_OF_OPTIONS,
};

/* tail: --flow goes by the topic's first field, KEY by the others; both may be given. */
static const ZmCtlOption tail_options[] = {
  { "flow", ZM_OPT_TEXT, "NAME", N_ ("Only what this flow publishes"), NULL },
  { "count", ZM_OPT_COUNT, "N", N_ ("End after N messages"), NULL },
  { "for", ZM_OPT_DURATION, "TIME", N_ ("End after this time; exit status 1 where --count was not reached"),
    NULL },
  { "raw", ZM_OPT_FLAG, NULL, N_ ("Print control characters as they are, on a terminal too"), NULL },
  END_OF_OPTIONS,
};

/* plugin new. Its --dir hides the global one: there is no instance that it could mean. */
static const ZmCtlOption new_options[] = {
  { "kind", ZM_OPT_TEXT, "KIND", N_ ("What it is to be (default component)"), "component|source|store" },
  { "dir", ZM_OPT_TEXT, "DIR", N_ ("Where to make the folder (default: here)"), NULL },
  END_OF_OPTIONS,
};

static const ZmCtlOption show_options[] = {
  { "dot", ZM_OPT_FLAG, NULL, N_ ("As a graph for graphviz"), NULL },
  END_OF_OPTIONS,
};

static const ZmCtlOption token_options[] = {
  { "roles", ZM_OPT_TEXT, "ROLE,...",
    N_ ("What it may do: admin, publish, consume, subscribe (default: all but admin)"), NULL },
  { "project", ZM_OPT_TEXT, "NAME", N_ ("The project that it is for (default: any)"), NULL },
  END_OF_OPTIONS,
};

static const ZmCtlOption inspect_options[] = {
  { "options", ZM_OPT_FLAG, NULL,
    N_ ("Of a file: also what its code tells, such as its options; it runs in a process of its own"), NULL },
  END_OF_OPTIONS,
};

/* trace */
static const ZmCtlOption stream_options[] = {
  { "count", ZM_OPT_COUNT, "N", N_ ("End after N lines"), NULL },
  { "for", ZM_OPT_DURATION, "TIME", N_ ("End after this time; exit status 1 where --count was not reached"),
    NULL },
  END_OF_OPTIONS,
};

static const ZmCtlOption top_options[] = {
  { "interval", ZM_OPT_DURATION, "TIME", N_ ("Time between two pictures (default 1s)"), NULL },
  { "count", ZM_OPT_COUNT, "N", N_ ("End after N pictures"), NULL },
  END_OF_OPTIONS,
};

/* log: --level is a filter of this output; --set changes the daemon, for everybody. */
static const ZmCtlOption log_options[] = {
  { "level", ZM_OPT_TEXT, "LEVEL", N_ ("This level and worse (default info)"),
    "error|warning|notice|info|debug" },
  { "set", ZM_OPT_TEXT, "LEVEL",
    N_ ("Only set the level that the daemon logs, until it ends or its file says otherwise"),
    "error|warning|notice|info|debug" },
  { "count", ZM_OPT_COUNT, "N", N_ ("End after N lines"), NULL },
  END_OF_OPTIONS,
};

#define PROJECT_OPTION                                                                                  \
  {                                                                                                     \
    "project", ZM_OPT_TEXT, "PROJECT", N_ ("The project of the queue (default: [zaqar] project)"), NULL \
  }

static const ZmCtlOption queue_options[] = {
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption queue_create_options[] = {
  { "metadata", ZM_OPT_TEXT, "JSON", N_ ("An object; members that begin with _ are settings"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption queue_rm_options[] = {
  { "yes", ZM_OPT_FLAG, NULL, N_ ("The messages are to be gone"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption queue_put_options[] = {
  { "key", ZM_OPT_TEXT, "KEY",
    N_ ("Which element, of a queue that keeps the latest; else the key of its order"), NULL },
  { "id", ZM_OPT_TEXT, "ID", N_ ("By which it is recognised when it comes again"), NULL },
  { "header", ZM_OPT_LIST, "NAME=VALUE", N_ ("A header; may be given several times"), NULL },
  { "ttl", ZM_OPT_DURATION, "TIME", N_ ("How long it is kept"), NULL },
  { "delay", ZM_OPT_DURATION, "TIME", N_ ("How long it is held back"), NULL },
  { "if-empty", ZM_OPT_FLAG, NULL, N_ ("Only where no such element is there"), NULL },
  { "replace", ZM_OPT_FLAG, NULL, N_ ("In place of what is there"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption queue_get_options[] = {
  { "count", ZM_OPT_COUNT, "N", N_ ("At most so many (default 1)"), NULL },
  { "wait", ZM_OPT_DURATION, "TIME", N_ ("How long to wait for the first one"), NULL },
  { "ttl", ZM_OPT_DURATION, "TIME", N_ ("How long the claim stands"), NULL },
  { "pop", ZM_OPT_FLAG, NULL, N_ ("Take them for good, instead of claiming them"), NULL },
  { "body", ZM_OPT_FLAG, NULL, N_ ("Of one message only its body, as it is"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption queue_peek_options[] = {
  { "count", ZM_OPT_COUNT, "N", N_ ("At most so many (default 10)"), NULL },
  { "after", ZM_OPT_TEXT, "ID", N_ ("Those behind this one"), NULL },
  { "newest", ZM_OPT_FLAG, NULL, N_ ("From the end"), NULL },
  { "body", ZM_OPT_FLAG, NULL, N_ ("Of one message only its body, as it is"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption queue_ack_options[] = {
  { "claim", ZM_OPT_TEXT, "CLAIM", N_ ("The claim under which they are"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption export_options[] = {
  { "output", ZM_OPT_TEXT, "FILE", N_ ("Where to write it (default: the standard output)"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

#define DEAD_QUEUE_OPTION                                                      \
  {                                                                            \
    "queue", ZM_OPT_TEXT, "QUEUE", N_ ("Only of this dead-letter queue"), NULL \
  }

static const ZmCtlOption dead_ls_options[] = {
  { "count", ZM_OPT_COUNT, "N", N_ ("At most so many dead letters (default 100, at most 1000)"), NULL },
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption dead_rm_options[] = {
  { "all", ZM_OPT_FLAG, NULL, N_ ("All of them, instead of one"), NULL },
  DEAD_QUEUE_OPTION,
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption dead_replay_options[] = {
  { "all", ZM_OPT_FLAG, NULL, N_ ("All dead letters that are there now"), NULL },
  DEAD_QUEUE_OPTION,
  PROJECT_OPTION,
  END_OF_OPTIONS,
};

static const ZmCtlOption store_check_options[] = {
  { "repair", ZM_OPT_FLAG, NULL, N_ ("Mend what can be mended, and tell each message that is lost"), NULL },
  END_OF_OPTIONS,
};

static const ZmCtlOption help_options[] = {
  { "all", ZM_OPT_FLAG, NULL, N_ ("All groups of commands"), NULL },
  { "man", ZM_OPT_FLAG, NULL, N_ ("The list as the manual page has it"), NULL },
  END_OF_OPTIONS,
};

/* name, group, arguments, how many at least and at most, help, options, function */
static const ZmCtlCommand commands[] = {
  /* what most people need, most of the time */
  { "status", ZM_GROUP_FIRST, "", 0, 0, N_ ("Show how the daemon is doing"), watch_options,
    zm_ctl_cmd_status },
  { "check", ZM_GROUP_FIRST, "", 0, 0,
    N_ ("Check configuration, mappings, flows and plugins without starting"), NULL, zm_ctl_cmd_check },
  { "send", ZM_GROUP_FIRST, "KEY [BODY|-|@FILE]", 1, 2, N_ ("Send a message to the Subject"), send_options,
    zm_ctl_cmd_send },
  { "call", ZM_GROUP_FIRST, "KEY [BODY|-|@FILE]", 1, 2, N_ ("Send a message and print its result"),
    call_options, zm_ctl_cmd_call },
  { "tail", ZM_GROUP_FIRST, "[KEY]", 0, 1, N_ ("Print what is published, as it comes"), tail_options,
    zm_ctl_cmd_tail },
  { "explain", ZM_GROUP_FIRST, "KEY|CODE", 1, 1,
    N_ ("Show what a key leads to, or what a code (ZM1234, no-taker) means"), NULL, zm_ctl_cmd_explain },
  { "plugin ls", ZM_GROUP_FIRST, "", 0, 0, N_ ("List the plugins"), NULL, zm_ctl_cmd_plugin_ls },
  { "plugin inspect", ZM_GROUP_FIRST, "FILE|NAME", 1, 1, N_ ("Show what a plugin says of itself"),
    inspect_options, zm_ctl_cmd_plugin_inspect },
  { "plugin load", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Load a plugin"), NULL, zm_ctl_cmd_plugin_load },
  { "plugin unload", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Unload a plugin"), NULL, zm_ctl_cmd_plugin_load },
  { "plugin reload", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Replace a plugin by its file as it is now"), NULL,
    zm_ctl_cmd_plugin_load },
  { "plugin new", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Make the folder of a new plugin"), new_options,
    zm_ctl_cmd_plugin_new },
  { "plugin test", ZM_GROUP_FIRST, "FILE [BODY|-|@FILE]", 1, 2,
    N_ ("Call each action of a plugin in a daemon of its own"), NULL, zm_ctl_cmd_plugin_test },
  { "queue ls", ZM_GROUP_FIRST, "", 0, 0, N_ ("List the queues"), NULL, zm_ctl_cmd_queue_ls },
  { "queue show", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Show a queue's figures and settings"), queue_options,
    zm_ctl_cmd_queue_show },
  { "queue create", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Make a queue"), queue_create_options,
    zm_ctl_cmd_queue_create },
  { "queue rm", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Remove a queue with its messages"), queue_rm_options,
    zm_ctl_cmd_queue_rm },
  { "queue purge", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Remove all messages of a queue"), queue_rm_options,
    zm_ctl_cmd_queue_purge },
  { "queue put", ZM_GROUP_FIRST, "NAME [BODY|-|@FILE]", 1, 2, N_ ("Put a message into a queue"),
    queue_put_options, zm_ctl_cmd_queue_put },
  { "queue get", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Claim messages of a queue"), queue_get_options,
    zm_ctl_cmd_queue_get },
  { "queue ack", ZM_GROUP_FIRST, "NAME ID …", 2, 100, N_ ("Remove messages that were dealt with"),
    queue_ack_options, zm_ctl_cmd_queue_ack },
  { "queue release", ZM_GROUP_FIRST, "NAME CLAIM", 2, 2, N_ ("Give the messages of a claim back"),
    queue_options, zm_ctl_cmd_queue_release },
  { "queue peek", ZM_GROUP_FIRST, "NAME", 1, 1, N_ ("Look at messages without claiming them"),
    queue_peek_options, zm_ctl_cmd_queue_peek },
  /* for who wants to know why something happens, or does not */
  { "top", ZM_GROUP_UNDERSTAND, "", 0, 0, N_ ("Show actions by rate and time, live"), top_options,
    zm_ctl_cmd_top },
  { "trace", ZM_GROUP_UNDERSTAND, "[ID]", 0, 1, N_ ("Follow messages through their steps, as they go"),
    stream_options, zm_ctl_cmd_trace },
  { "running", ZM_GROUP_UNDERSTAND, "", 0, 0,
    N_ ("Show what each worker thread and host calls now, and which calls hang"), NULL, zm_ctl_cmd_running },
  { "flow ls", ZM_GROUP_UNDERSTAND, "", 0, 0, N_ ("List the flows"), NULL, zm_ctl_cmd_flow_ls },
  { "flow show", ZM_GROUP_UNDERSTAND, "NAME", 1, 1, N_ ("Show a flow's steps and what they are"),
    show_options, zm_ctl_cmd_flow_show },
  { "flow test", ZM_GROUP_UNDERSTAND, "FILE", 1, 1,
    N_ ("Run the cases of a .flowtest file in a daemon of its own"), NULL, zm_ctl_cmd_flow_test },
  /* for who keeps a daemon running, and the tool's own */
  { "services", ZM_GROUP_OPERATE, "[NAME COMMAND [ARGUMENT]]", 0, 3,
    N_ ("List the registered services, or send one a command"), NULL, zm_ctl_cmd_services },
  { "hosts", ZM_GROUP_OPERATE, "", 0, 0, N_ ("List the processes in which plugins run outside the daemon"),
    NULL, zm_ctl_cmd_hosts },
  { "dead ls", ZM_GROUP_OPERATE, "[QUEUE]", 0, 1,
    N_ ("List dead letters and messages that are set aside, and why"), dead_ls_options, zm_ctl_cmd_dead_ls },
  { "dead show", ZM_GROUP_OPERATE, "ID", 1, 1, N_ ("Show one of them, with its history and body"), NULL,
    zm_ctl_cmd_dead_show },
  { "dead rm", ZM_GROUP_OPERATE, "[ID]", 0, 1,
    N_ ("Remove a dead letter, or forget a message that is set aside, so that it is taken again"),
    dead_rm_options, zm_ctl_cmd_dead_rm },
  { "dead replay", ZM_GROUP_OPERATE, "[QUEUE] [ID …]", 0, 65,
    N_ ("Put dead letters back into the queues that they came from"), dead_replay_options,
    zm_ctl_cmd_dead_replay },
  { "workers", ZM_GROUP_OPERATE, "", 0, 0, N_ ("List the workers in other languages"), NULL,
    zm_ctl_cmd_workers },
  { "store status", ZM_GROUP_OPERATE, "", 0, 0, N_ ("Show how the store is doing"), NULL,
    zm_ctl_cmd_store_status },
  { "store check", ZM_GROUP_OPERATE, "", 0, 0, N_ ("Read all of the store and tell what is wrong with it"),
    store_check_options, zm_ctl_cmd_store_check },
  { "store backup", ZM_GROUP_OPERATE, "FILE", 1, 1, N_ ("Copy the store into a new file, while it is in use"),
    NULL, zm_ctl_cmd_store_backup },
  { "store restore", ZM_GROUP_OPERATE, "FILE", 1, 1,
    N_ ("Put a copy in the place of the store; the daemon must not run"), NULL, zm_ctl_cmd_store_restore },
  { "token new", ZM_GROUP_OPERATE, "NAME [KEY ...]", 1, 65,
    N_ ("Make a token for the HTTP API; KEYs (parts may be empty) are what it may send"), token_options,
    zm_ctl_cmd_token_new },
  { "token ls", ZM_GROUP_OPERATE, "", 0, 0, N_ ("List the tokens of the HTTP API"), NULL,
    zm_ctl_cmd_token_ls },
  { "token rm", ZM_GROUP_OPERATE, "NAME", 1, 1, N_ ("Take a token back"), NULL, zm_ctl_cmd_token_rm },
  { "reload", ZM_GROUP_OPERATE, "", 0, 0, N_ ("Read configuration, mappings, flows and plugins again"), NULL,
    zm_ctl_cmd_reload },
  { "drain", ZM_GROUP_OPERATE, "", 0, 0, N_ ("Finish what is inside, then end the daemon"), NULL,
    zm_ctl_cmd_drain },
  { "log", ZM_GROUP_OPERATE, "", 0, 0, N_ ("Print the daemon's log, as it comes, or set its level"),
    log_options, zm_ctl_cmd_log },
  { "export", ZM_GROUP_OPERATE, "[QUEUE …]", 0, 100, N_ ("Write queues and their messages as JSON lines"),
    export_options, zm_ctl_cmd_export },
  { "import", ZM_GROUP_OPERATE, "[FILE|-]", 0, 1, N_ ("Read what export wrote"), NULL, zm_ctl_cmd_import },
  { "completion", ZM_GROUP_OPERATE, "bash|zsh|fish|dead|flows|plugins|queues|services", 1, 1,
    N_ ("Print the completion script for a shell, or the daemon's names that it offers"), NULL,
    zm_ctl_cmd_completion },
  { "help", ZM_GROUP_OPERATE, "[COMMAND]", 0, 2, N_ ("Print help"), help_options, zm_ctl_cmd_help },
  { "version", ZM_GROUP_OPERATE, "", 0, 0, N_ ("Print the version"), NULL, zm_ctl_cmd_version },
  { NULL, ZM_GROUP_FIRST, NULL, 0, 0, NULL, NULL, NULL },
};

/* Constant for the life of the program. */
const ZmCtlCommand *
zm_ctl_commands (void)
{
  return commands;
}

/* Constant for the life of the program. */
const ZmCtlOption *
zm_ctl_global_options (void)
{
  return global_options;
}

/* Translated when it is asked for: the table itself is made before the locale is known. */
const char *
zm_ctl_group_title (ZmCtlGroup group)
{
  switch (group) {
  case ZM_GROUP_FIRST: return _ ("Every day");
  case ZM_GROUP_UNDERSTAND: return _ ("Understand");
  case ZM_GROUP_OPERATE: break;
  }
  return _ ("Operate");
}
