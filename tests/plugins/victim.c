/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Does what the body says: a word, a number, and whatever the test wants to find again behind a #. What comes back gives the
 * whole body as its result.
 *
 *   ok                    nothing
 *   crash abort exit _exit stack  ends the process: by a fault, abort, exit, _exit, or a full stack
 *   hang                  never comes back
 *   sleep MS, defer MS    comes back, or is completed by a thread, after so long; defer -1: never
 *   emit N                emits so many events under ?Victim?Emitted, each with its number and the body; gives how many
 *   leak MB, files N      forgets so much memory, so many descriptors; files gives how many could be opened
 *   log                   logs its body
 *   say N                 logs its body so many times
 *   later MS              a thread of the plugin crashes after so long, when no call runs
 *   page N                writes over what its host shares with the daemon, and hangs: 0: the state of each call, 1 and 2: when it
 *                         began, the latest and the earliest time that there is, 3: how far the ways of both have come
 *   fork                  a child that it forks logs and ends; then it goes on itself
 */
#include <zmanager/plugin.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Later {
  const zm_host *host;
  zm_ticket ticket; /* 0: crash */
  int ms;
  char body[200];
} Later;

static void
nap (int ms)
{
  poll (NULL, 0, ms);
}

static void *
run_later (void *user)
{
  Later *later = (Later *) user;

  nap (later->ms);
  if (later->ticket == 0)
    raise (SIGSEGV);
  zm_complete_text (later->host, later->ticket, later->body);
  free (later);
  return NULL;
}

static int
start_later (zm_call *call, int ms, const char *body, int completes)
{
  Later *later = (Later *) calloc (1, sizeof *later);
  pthread_t thread;

  if (later == NULL)
    return ZM_E_MEMORY;
  later->host = call->host;
  later->ms = ms;
  snprintf (later->body, sizeof later->body, "%s", body);
  later->ticket = completes ? zm_call_defer (call) : 0;
  if (completes && ms < 0) {
    free (later);
    return ZM_DEFERRED;
  }
  if (pthread_create (&thread, NULL, run_later, later) != 0) {
    free (later);
    return ZM_E_FAILED;
  }
  pthread_detach (thread);
  return completes ? ZM_DEFERRED : ZM_OK;
}

/* Deeper and deeper; what is read at the end keeps the compiler from making a loop of it. */
static int
recurse (volatile int depth)
{
  volatile char frame[4096];

  frame[depth % 4096] = (char) depth;
  return depth < 0 ? 0 : recurse (depth + 1) + frame[depth % 4096];
}

static int
emit (zm_call *call, int n, const char *body)
{
  int taken = 0;
  char text[256];

  for (int i = 0; i < n; i++) {
    snprintf (text, sizeof text, "%d %s", i, body);
    taken += zm_emit_text (call->host, "?Victim?Emitted", text) == ZM_OK;
  }
  snprintf (text, sizeof text, "%d", taken);
  return zm_reply_text (call, text);
}

static int
open_files (zm_call *call, int n)
{
  int opened = 0;
  char text[16];

  while (opened < n && open ("/dev/null", O_RDONLY) >= 0)
    opened++;
  snprintf (text, sizeof text, "%d", opened);
  return zm_reply_text (call, text);
}

static void
leak (int megabytes)
{
  static void *volatile last;
  size_t size = (size_t) megabytes << 20;

  last = malloc (size);
  if (last != NULL)
    memset (last, 1, size);
}

static void
end_process (const char *word)
{
  if (strcmp (word, "crash") == 0)
    raise (SIGSEGV);
  else if (strcmp (word, "abort") == 0)
    abort ();
  else if (strcmp (word, "exit") == 0)
    exit (3);
  else if (strcmp (word, "_exit") == 0)
    _exit (4);
  else if (strcmp (word, "stack") == 0)
    recurse (0);
  else if (strcmp (word, "hang") == 0)
    for (;;)
      pause ();
}

/* As core/hostwire/zm-page.h has it. */
typedef struct PageSlot {
  volatile unsigned long long word;
  volatile long long began;
  unsigned cancelled;
} PageSlot;

static void
write_over_page (int what)
{
  FILE *maps = fopen ("/proc/self/maps", "r");
  PageSlot *slots = NULL;
  char line[512];
  unsigned long begin;

  while (maps != NULL && slots == NULL && fgets (line, sizeof line, maps) != NULL)
    if (strstr (line, "memfd:zmanager-host") != NULL && sscanf (line, "%lx", &begin) == 1)
      slots = (PageSlot *) (begin + 32);
  /* Of each way what was said, what was told, and, in a line of its own, what was taken. */
  for (int i = 0; slots != NULL && what == 3 && i < 2; i++) {
    volatile unsigned long long *way = (volatile unsigned long long *) (slots + 256) + i * 16;
    way[0] = way[1] = ULLONG_MAX / 3;
    way[8]++;
  }
  if (what == 3)
    slots = NULL;
  for (int i = 0; slots != NULL && i < 256; i++) {
    if (what == 0)
      slots[i].word = 0;
    else
      slots[i].began = what == 1 ? LLONG_MAX : LLONG_MIN;
  }
  for (;;)
    pause ();
}

static void
log_in_child (const zm_host *host)
{
  pid_t child = fork ();
  int status;

  if (child == 0) {
    for (int i = 0; i < 1000; i++)
      zm_log (host, ZM_LOG_NOTICE, "of a child");
    _exit (0);
  }
  waitpid (child, &status, 0);
}

static int
act_on (zm_call *call)
{
  char body[200] = "", word[16] = "";
  int n = 0;

  memcpy (body, call->body, call->body_size < sizeof body ? call->body_size : sizeof body - 1);
  if (sscanf (body, "%15[a-z_] %d", word, &n) < 1)
    return zm_fail (call, "no-word", "the body says nothing");
  if (strcmp (word, "defer") == 0)
    return start_later (call, n, body, 1);
  if (strcmp (word, "emit") == 0)
    return emit (call, n, body);
  if (strcmp (word, "files") == 0)
    return open_files (call, n);
  if (strcmp (word, "sleep") == 0)
    nap (n);
  else if (strcmp (word, "leak") == 0)
    leak (n);
  else if (strcmp (word, "log") == 0)
    zm_log (call->host, ZM_LOG_NOTICE, body);
  else if (strcmp (word, "fork") == 0)
    log_in_child (call->host);
  else if (strcmp (word, "page") == 0)
    write_over_page (n);
  else if (strcmp (word, "say") == 0)
    while (n-- > 0)
      zm_log (call->host, ZM_LOG_NOTICE, body);
  else if (strcmp (word, "later") == 0)
    start_later (call, n, body, 0);
  else
    end_process (word);
  return zm_reply (call, call->body, call->body_size, "text/plain");
}

ZM_ACTION_THREADSAFE (act)
{
  return act_on (call);
}

ZM_PLUGIN ("victim", "1.0", "LGPL-2.1-or-later", "Does what it is told, and dies of it");
