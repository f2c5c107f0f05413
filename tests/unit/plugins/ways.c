/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin for the tests of its host: dies in each way, emits, has values, timers, threads and a source. */
#include <zmanager/plugin.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
nap (int ms)
{
  poll (NULL, 0, ms);
}

static int
body_is (const zm_call *call, const char *text)
{
  return call->body_size == strlen (text) && memcmp (call->body, text, call->body_size) == 0;
}

/* Nothing says that it ends in NUL. */
static long
number_in_body (const zm_call *call)
{
  char text[24];

  snprintf (text, sizeof text, "%.*s", (int) call->body_size, (const char *) call->body);
  return atol (text);
}

/* ---- ends of the process ---- */

static volatile int deep;

/* Uses the stack up. */
static int
dig (int level)
{
  volatile char room[4096];

  room[level % 4096] = (char) level;
  deep = level;
  return level < 0 ? 0 : dig (level + 1) + room[(level * 7) % 4096];
}

static void
die (const char *how)
{
  if (strcmp (how, "segv") == 0)
    *(volatile int *) 8 = 1;
  else if (strcmp (how, "abort") == 0)
    abort ();
  else if (strcmp (how, "exit") == 0)
    exit (3);
  else if (strcmp (how, "stack") == 0)
    dig (0);
  else if (strcmp (how, "fpe") == 0)
    raise (SIGFPE);
  else if (strcmp (how, "kill") == 0)
    kill (getpid (), SIGKILL);
}

static void *
die_in_thread (void *how)
{
  die ((const char *) how);
  return NULL;
}

static void
die_as_told (void *how)
{
  die ((const char *) how);
}

static void
wake_nobody (void *user)
{
  (void) user;
}

/* "segv", or "thread segv": in a thread of the host's, or "own segv": in one that the host does not know. */
ZM_ACTION (dies)
{
  static char how[32];
  pthread_t thread;

  snprintf (how, sizeof how, "%.*s", (int) call->body_size, (const char *) call->body);
  if (strncmp (how, "thread ", 7) == 0)
    zm_thread_start (call->host, "dies", die_as_told, wake_nobody, how + 7);
  else if (strncmp (how, "own ", 4) == 0)
    pthread_create (&thread, NULL, die_in_thread, how + 4);
  else
    die (how);
  nap (20000);
  return ZM_OK;
}

/* ---- calls ---- */

ZM_ACTION_THREADSAFE (quick)
{
  (void) call;
  return ZM_OK;
}

ZM_ACTION_THREADSAFE (naps)
{
  nap ((int) number_in_body (call));
  return ZM_OK;
}

/* In which thread it ran. */
ZM_ACTION_THREADSAFE (where)
{
  char text[32];

  nap (1);
  snprintf (text, sizeof text, "%lx", (unsigned long) pthread_self ());
  return zm_reply_text (call, text);
}

ZM_ACTION_THREADSAFE (address)
{
  char text[64];

  snprintf (text, sizeof text, "%u %zu", (unsigned) ((uintptr_t) call->body % 16), call->body_size);
  return zm_reply_text (call, text);
}

static int inside;

/* Never two of these at a time; nor one of them and a reload. */
static int
enter (void)
{
  int alone = __atomic_add_fetch (&inside, 1, __ATOMIC_SEQ_CST) == 1;

  nap (1);
  __atomic_sub_fetch (&inside, 1, __ATOMIC_SEQ_CST);
  return alone ? ZM_OK : ZM_REJECT;
}

ZM_ACTION (alone)
{
  (void) call;
  return enter ();
}

static int freed;

static void
free_it (void *data, void *hint)
{
  (void) hint;
  __atomic_add_fetch (&freed, 1, __ATOMIC_SEQ_CST);
  free (data);
}

/* A large reply that is replaced by another one. */
ZM_ACTION_THREADSAFE (gives)
{
  size_t size = (size_t) number_in_body (call);

  zm_reply_take (call, calloc (size, 1), size, free_it, NULL, NULL);
  return zm_reply_take (call, memset (malloc (size), 'x', size), size, free_it, NULL, "text/x");
}

ZM_ACTION_THREADSAFE (how_many_freed)
{
  char text[16];

  snprintf (text, sizeof text, "%d", __atomic_load_n (&freed, __ATOMIC_SEQ_CST));
  return zm_reply_text (call, text);
}

/* Gives large memory, and defers for ever. */
ZM_ACTION_THREADSAFE (gives_never)
{
  zm_reply_take (call, calloc (100000, 1), 100000, free_it, NULL, NULL);
  zm_call_defer (call);
  return ZM_DEFERRED;
}

/* ---- services ---- */

/* So many as the body says; tells how many were taken, and what the next one was told. */
ZM_ACTION_THREADSAFE (emits)
{
  int wanted = (int) number_in_body (call), taken = 0, status = ZM_OK;
  char text[64];

  while (taken < wanted && (status = zm_emit_text (call->host, "?From?inside", "x")) == ZM_OK)
    taken++;
  snprintf (text, sizeof text, "%d %d", taken, status);
  return zm_reply_text (call, text);
}

/* One event with what the body says wrong; tells what that gave. */
ZM_ACTION_THREADSAFE (emits_wrong)
{
  zm_event event;
  char text[16];

  memset (&event, 0, sizeof event);
  event.struct_size = body_is (call, "short") ? 8 : sizeof event;
  event.key = body_is (call, "key") ? "no key" : body_is (call, "none") ? NULL : "?A?b";
  if (body_is (call, "reserved"))
    event.key = "??done";
  if (body_is (call, "flow"))
    event.flow = "no flow";
  if (body_is (call, "reserved flow"))
    event.flow = "^flow";
  if (body_is (call, "id"))
    event.id = "no id";
  if (body_is (call, "headers"))
    event.headers = "{";
  if (body_is (call, "body"))
    event.body_size = 1;
  snprintf (text, sizeof text, "%d", zm_emit (call->host, &event));
  return zm_reply_text (call, text);
}

ZM_ACTION_THREADSAFE (logs)
{
  zm_log (call->host, ZM_LOG_WARNING, "a word");
  return ZM_OK;
}

/* "key" or "key index". */
ZM_ACTION_THREADSAFE (value)
{
  char key[64] = "";
  unsigned index = 0;
  char text[128];
  const char *found;

  snprintf (text, sizeof text, "%.*s", (int) call->body_size, (const char *) call->body);
  sscanf (text, "%63s %u", key, &index);
  found = zm_config (call->host, key, index);
  return zm_reply_text (call, found != NULL ? found : "(none)");
}

static const char *held;

/* Keeps what it was given; tells it later. */
ZM_ACTION_THREADSAFE (holds)
{
  held = zm_config (call->host, "word", 0);
  return ZM_OK;
}
ZM_ACTION_THREADSAFE (held_value)
{
  return zm_reply_text (call, held);
}

static int
ticks (zm_call *call)
{
  return zm_reply_text (call, "ticked");
}

ZM_ACTION_THREADSAFE (starts_timer)
{
  char text[32];

  snprintf (
      text, sizeof text, "%llu",
      (unsigned long long) zm_timer_start (call->host, "tick", ticks, 5, body_is (call, "once") ? 0 : 10));
  return zm_reply_text (call, text);
}

ZM_ACTION_THREADSAFE (stops_timer)
{
  char text[16];
  zm_ticket ticket = strtoull ((const char *) call->body, NULL, 10);

  snprintf (text, sizeof text, "%d", zm_timer_stop (call->host, ticket));
  return zm_reply_text (call, text);
}

/* ---- a source ---- */

typedef struct Source {
  const zm_host *host;
  int pipe[2];
} Source;

static int
source_open (void *state, const zm_host *host, void **out)
{
  Source *source = calloc (1, sizeof *source);
  const char *how = zm_config (host, "word", 0);

  (void) state;
  if (strcmp (how, "refuse") == 0 || pipe (source->pipe) != 0) {
    free (source);
    return ZM_E_FAILED;
  }
  source->host = host;
  *out = source;
  return ZM_OK;
}

/* Emits with the section's key, then waits to be woken. */
static int
source_run (void *user)
{
  Source *source = user;
  zm_event event;
  char byte;

  memset (&event, 0, sizeof event);
  event.struct_size = sizeof event;
  event.body = zm_config (source->host, "word", 0);
  event.body_size = strlen (event.body);
  if (zm_emit (source->host, &event) != ZM_OK)
    return ZM_E_FAILED;
  if (strcmp (event.body, "dies") == 0)
    die ("segv");
  while (read (source->pipe[0], &byte, 1) < 0)
    ;
  return 5;
}

static void
source_wake (void *user)
{
  Source *source = user;

  while (write (source->pipe[1], "", 1) < 0)
    ;
}

static void
source_close (void *user)
{
  Source *source = user;

  close (source->pipe[0]);
  close (source->pipe[1]);
  free (source);
}

static const zm_source_ops source_ops = { .struct_size = sizeof source_ops,
                                          .open = source_open,
                                          .run = source_run,
                                          .wake = source_wake,
                                          .close = source_close };

/* ---- the plugin ---- */

static int
init (const zm_host *host, void **state)
{
  const char *how = zm_config (host, "init", 0);

  *state = (void *) host;
  if (how != NULL && strcmp (how, "hang") == 0)
    nap (60000);
  if (how != NULL && strcmp (how, "fail") == 0)
    return ZM_E_FAILED;
  if (how != NULL)
    die (how);
  return ZM_OK;
}

static int
reload (void *state)
{
  const char *how = zm_config ((const zm_host *) state, "word", 0);

  if (enter () != ZM_OK)
    return ZM_E_FAILED;
  return how != NULL && strcmp (how, "refuse") == 0 ? ZM_E_INVALID : ZM_OK;
}

static const zm_option_desc options[] = {
  { "word", ZM_OPTION_STRING, 0, "standard", "A word" },
  { "list", ZM_OPTION_STRING, ZM_OPTION_LIST, NULL, "Words" },
  { "init", ZM_OPTION_STRING, 0, NULL, "How init ends" },
  { NULL, 0, 0, NULL, NULL },
};

static const zm_action_desc actions[] = { { "ticks", ticks, 0, "Ticks" }, { NULL, NULL, 0, NULL } };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "ways",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Ends in every way",
  .actions = actions,
  .options = options,
  .init = init,
  .reload = reload,
  .source = &source_ops,
};

ZM_PLUGIN_FULL ("ways", "1.0", "LGPL-2.1-or-later", "Ends in every way", "kind=source\n", &descriptor);
