/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * zmanager-probe [--describe] FILE [ACTION...]: opens a plugin as the daemon would, in a process that may die of it. Says on its output
 * what it is at ("stage constructor"), what went wrong ("error …"), whether dlclose works ("unloads no"), and at last
 * "stage end". Whoever started it reads that; a crash, a hang or an exit is seen from there.
 *
 * Whatever the daemon reads of an opened library it reads first: the ACTIONs' symbols, which its note names, the descriptor and
 * its tables. A pointer that leads nowhere is found here.
 *
 * With --describe it goes no further than the query function, and says what the descriptor lists: a line "option NAME" for
 * each, with the lines "option-type", "option-flags", and where they are given "option-standard" and "option-doc" after it,
 * and a line "action NAME" for each, with the line "action-flags" after it; before them "flags", and "has hooks" and "has source"
 * where it has these.
 */
#include "config.h"

#include "zmanager/store.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define MOST_SECONDS 10
#define MOST_LISTED  1024 /* options, and actions */
#define MOST_TEXT    2048 /* bytes that are told of one text */

static int answers = -1;                 /* where the daemon listens */
static const zm_plugin_desc *descriptor; /* of the plugin, for the configuration's defaults */

static void
say (const char *what, const char *text)
{
  dprintf (answers, "%s %s\n", what, text);
}

/* ---- a host that does nothing ---- */

static void
host_log (const zm_host *host, int level, const char *text)
{
  (void) host;
  (void) level;
  (void) text;
}

/* An option has its default here, as it would without a line in the configuration. */
static const char *
host_config (const zm_host *host, const char *key, unsigned index)
{
  const zm_option_desc *option = descriptor != NULL && index == 0 && key != NULL ? descriptor->options : NULL;

  (void) host;
  while (option != NULL && option->name != NULL && strcmp (option->name, key) != 0)
    option++;
  return option != NULL && option->name != NULL ? option->standard : NULL;
}

static int
host_metric (const zm_host *host, int kind, const char *name, double value)
{
  (void) host;
  (void) kind;
  (void) name;
  (void) value;
  return ZM_OK;
}

static int
host_complete (const zm_host *host, zm_ticket ticket, const zm_outcome *outcome)
{
  (void) host;
  (void) ticket;
  (void) outcome;
  return ZM_E_LATE;
}

static int
host_ticket_cancelled (const zm_host *host, zm_ticket ticket)
{
  (void) host;
  (void) ticket;
  return 1;
}

static zm_host host = {
  .struct_size = sizeof (zm_host),
  .abi_minor = ZM_ABI_MINOR,
  .complete = host_complete,
  .ticket_cancelled = host_ticket_cancelled,
  .log = host_log,
  .config = host_config,
  .metric = host_metric,
};

/* ---- the process ---- */

static void
limit (int resource, rlim_t most)
{
  const struct rlimit limits = { most, most };

  setrlimit (resource, &limits);
}

static void
confine (void)
{
  static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  limit (RLIMIT_CORE, 0);
  limit (RLIMIT_CPU, MOST_SECONDS);
  limit (RLIMIT_FSIZE, 16 << 20);
  limit (RLIMIT_NOFILE, 128);
#ifndef SANITIZED
  limit (RLIMIT_AS, (rlim_t) 4 << 30);
#endif
  /* A crash is to be seen as one, whatever a sanitizer would say about it. */
  for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
    signal (crashes[i], SIG_DFL);
}

/* The plugin's own output must not be taken for an answer. */
static int
keep_output (void)
{
  int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);

  answers = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, 64);
  return null >= 0 && answers >= 0 && dup2 (null, STDOUT_FILENO) >= 0 && close (null) == 0;
}

/* ---- the plugin ---- */

static int
needs_configuration (void)
{
  const zm_option_desc *option = descriptor->options;

  while (option != NULL && option->name != NULL &&
         ((option->flags & ZM_OPTION_REQUIRED) == 0 || option->standard != NULL))
    option++;
  return option != NULL && option->name != NULL;
}

/* init is memory only, so it can be tried; its refusal is the daemon's affair. Without its required options it is not
 * called: there it never would be. */
static void
try_init (void)
{
  void *state = NULL;

  if (!ZM_HAS (descriptor, init) || needs_configuration ())
    return;
  say ("stage", "init");
  if (descriptor->init (&host, &state) != ZM_OK || !ZM_HAS (descriptor, fini))
    return;
  say ("stage", "fini");
  descriptor->fini (state);
}

/* One line, whatever stands in the text: a control byte could begin a line of its own. */
static void
say_text (const char *what, const char *text)
{
  char line[MOST_TEXT + 1];
  size_t size = 0;

  for (; text != NULL && text[size] != '\0' && size < MOST_TEXT; size++)
    line[size] = (unsigned char) text[size] < 0x20 || text[size] == 0x7f ? ' ' : text[size];
  line[size] = '\0';
  if (text != NULL)
    say (what, line);
}

static void
say_number (const char *what, unsigned number)
{
  char text[16];

  snprintf (text, sizeof text, "%u", number);
  say (what, text);
}

/* The same bounds as the daemon's: a table without an end runs into what lies behind it. */
static int
say_options (void)
{
  const zm_option_desc *option = ZM_HAS (descriptor, options) ? descriptor->options : NULL;

  for (unsigned i = 0; option != NULL && option->name != NULL; i++, option++) {
    if (i == MOST_LISTED || option->type > ZM_OPTION_SIZE) {
      dprintf (answers, "error its options table is damaged at entry %u (does it end in {NULL}?)\n", i);
      return 0;
    }
    say_text ("option", option->name);
    say_number ("option-type", option->type);
    say_number ("option-flags", option->flags);
    say_text ("option-standard", option->standard);
    say_text ("option-doc", option->doc);
  }
  return 1;
}

static int
say_actions (void)
{
  const zm_action_desc *action = ZM_HAS (descriptor, actions) ? descriptor->actions : NULL;

  for (unsigned i = 0; action != NULL && action->name != NULL; i++, action++) {
    if (i == MOST_LISTED) {
      say ("error", "its list of actions does not end; close it with {NULL}");
      return 0;
    }
    say_text ("action", action->name);
    dprintf (answers, "action-flags %u\n", (unsigned) action->flags);
  }
  return 1;
}

/* What decides where it can run. */
static void
say_kind (void)
{
  if (ZM_HAS (descriptor, flags))
    dprintf (answers, "flags %u\n", (unsigned) descriptor->flags);
  if (ZM_HAS (descriptor, hooks) && descriptor->hooks != NULL)
    say ("has", "hooks");
  if (ZM_HAS (descriptor, source) && descriptor->source != NULL)
    say ("has", "source");
  if (ZM_HAS (descriptor, store) && descriptor->store != NULL)
    say ("has", "store");
}

static int
try_query (void *handle)
{
  zm_plugin_query_fn query = NULL;

  *(void **) &query = dlsym (handle, ZM_PLUGIN_QUERY_SYMBOL);
  if (query == NULL) {
    say ("error", "it exports no " ZM_PLUGIN_QUERY_SYMBOL " (ZM_PLUGIN makes it)");
    return 0;
  }
  say ("stage", "query function");
  descriptor = query (&host);
  if (descriptor == NULL) {
    say ("error", "its query function gave no descriptor");
    return 0;
  }
  return 1;
}

/* ---- what the daemon will look at ---- */

static volatile size_t touched; /* so that nothing that is read for its own sake is left out */

static void
touch_text (const char *text)
{
  if (text != NULL)
    touched += strlen (text);
}

/* The loader's tables of a damaged file may lead anywhere. */
static void
touch_symbol (void *handle, const char *name)
{
  void *address = dlsym (handle, name), *extra;
  Dl_info info;

  if (address != NULL && dladdr1 (address, &info, &extra, RTLD_DL_LINKMAP) != 0 &&
      dladdr1 (address, &info, &extra, RTLD_DL_SYMENT) != 0 && extra != NULL)
    touched += ((const ElfW (Sym) *) extra)->st_info;
}

/* A structure that begins with its size: as much of it as this version knows. */
static void
touch_struct (const void *structure, size_t most)
{
  const volatile unsigned char *bytes = structure;
  unsigned size;

  if (structure == NULL)
    return;
  memcpy (&size, structure, sizeof size);
  for (size_t i = 0; i < size && i < most; i++)
    touched += bytes[i];
}

static void
touch_tables (void)
{
  const zm_option_desc *option = ZM_HAS (descriptor, options) ? descriptor->options : NULL;
  const zm_action_desc *action = ZM_HAS (descriptor, actions) ? descriptor->actions : NULL;
  Dl_info info;

  for (unsigned i = 0; option != NULL && i < MOST_LISTED && option->name != NULL; i++, option++) {
    if (option->type > ZM_OPTION_SIZE)
      break;
    touch_text (option->name);
    touch_text (option->standard);
    touch_text (option->doc);
  }
  for (unsigned i = 0; action != NULL && i < MOST_LISTED && action->name != NULL; i++, action++) {
    touch_text (action->name);
    touch_text (action->doc);
    touched += (size_t) dladdr ((const void *) (size_t) action->fn, &info);
  }
}

/* Can it be called at all? Whatever is mapped to be run may be: a function need not be the library's own, nor any library's. */
static int
is_code (const void *address)
{
  FILE *maps = fopen ("/proc/self/maps", "re");
  char line[512], rights[8];
  unsigned long begin, end;
  int found = maps == NULL;

  while (!found && fgets (line, sizeof line, maps) != NULL)
    found = sscanf (line, "%lx-%lx %7s", &begin, &end, rights) == 3 && (size_t) address >= begin &&
            (size_t) address < end && rights[2] == 'x';
  if (maps != NULL)
    fclose (maps);
  return found;
}

/* One function of a descriptor, of which the daemon calls some that are not tried here. */
static int
check_function (const char *name, const void *address)
{
  if (address == NULL || is_code (address))
    return 1;
  dprintf (answers, "error its function %s leads nowhere (is the file damaged?)\n", name);
  return 0;
}

/* A member of a structure whose size says that it has it; the name of the member is the function's. */
#define FUNCTION(structure, member) \
  (!ZM_HAS (structure, member) || check_function (#member, (const void *) (size_t) (structure)->member))

static int
try_functions (void)
{
  const zm_source_ops *source = ZM_HAS (descriptor, source) ? descriptor->source : NULL;
  const zm_hook_ops *hooks = ZM_HAS (descriptor, hooks) ? descriptor->hooks : NULL;

  return FUNCTION (descriptor, init) && FUNCTION (descriptor, start) && FUNCTION (descriptor, stop) &&
         FUNCTION (descriptor, fini) && FUNCTION (descriptor, reload) && FUNCTION (descriptor, health) &&
         FUNCTION (descriptor, worker_start) && FUNCTION (descriptor, worker_stop) &&
         (source == NULL || (FUNCTION (source, open) && FUNCTION (source, run) && FUNCTION (source, wake) &&
                             FUNCTION (source, close))) &&
         (hooks == NULL ||
          (FUNCTION (hooks, before) && FUNCTION (hooks, after) && FUNCTION (hooks, authorise)));
}

static void
try_tables (void *handle, char **actions)
{
  say ("stage", "symbols");
  touch_symbol (handle, ZM_PLUGIN_QUERY_SYMBOL);
  for (; *actions != NULL; actions++)
    touch_symbol (handle, *actions);
  say ("stage", "descriptor");
  touch_struct (descriptor, sizeof *descriptor);
  if (descriptor->struct_size < offsetof (zm_plugin_desc, actions))
    return;
  touch_text (descriptor->name);
  touch_text (descriptor->version);
  touch_text (descriptor->licence);
  touch_text (descriptor->summary);
  touch_tables ();
  if (ZM_HAS (descriptor, source))
    touch_struct (descriptor->source, sizeof *descriptor->source);
  if (ZM_HAS (descriptor, hooks))
    touch_struct (descriptor->hooks, sizeof *descriptor->hooks);
  if (ZM_HAS (descriptor, store))
    touch_struct (descriptor->store, sizeof *descriptor->store);
}

/* What says that it stays is not asked to go. */
static void
try_unload (const char *path, void *handle)
{
  if (descriptor->struct_size >= offsetof (zm_plugin_desc, name) &&
      (descriptor->flags & ZM_PLUGIN_RESIDENT) != 0)
    return;
  descriptor = NULL;
  say ("stage", "destructor");
  dlclose (handle);
  if (dlopen (path, RTLD_LAZY | RTLD_NOLOAD) != NULL)
    say ("unloads", "no");
}

/* As far as its descriptor; NULL: said why not. */
static void *
try_open (const char *path)
{
  void *handle;

  say ("stage", "constructor");
  handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    const char *why = dlerror ();

    say ("error", why != NULL ? why : "the dynamic loader refused it");
    return NULL;
  }
  return try_query (handle) ? handle : NULL;
}

int
main (int argc, char **argv)
{
  int listing = argc == 3 && strcmp (argv[1], "--describe") == 0;
  const char *path = argc > 1 + listing ? argv[1 + listing] : "-";
  void *handle;

  if (path[0] == '-') {
    fprintf (stderr, "usage: zmanager-probe [--describe] FILE [ACTION...]\n");
    return 2;
  }
  if (!keep_output ())
    return 2;
  confine ();
  alarm (MOST_SECONDS);
  handle = try_open (path);
  if (handle != NULL && listing)
    say_kind ();
  if (handle == NULL || (listing && !(say_options () && say_actions ())))
    _exit (1);
  if (!listing) {
    try_tables (handle, argv + 2);
    if (!try_functions ())
      _exit (1);
    try_init ();
    try_unload (path, handle);
  }
  say ("stage", "end");
  _exit (0);
}
