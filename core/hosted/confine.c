/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the process may have. The daemon replaces a host whose resident memory is over its limit; RLIMIT_DATA is the last resort
 * for one that grows quicker than that is seen. It counts whatever may be written, touched or not: so what is there before the
 * first plugin, room for the host's own work, and the stacks of the threads that the host starts are added to what plugins get.
 */
#include "config.h"

#include "hosted/hosted-private.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWN_ROOM    ((guint64) 16 << 20) /* records, and the thread that leads plugins' lives */
#define OWN_THREADS 2                    /* that one, and one that wakes a source */
/* Beside its stack: the stack for signals, and malloc's arena as it begins. */
#define THREAD_ROOM ((guint64) 512 << 10)

/* Data of the process now, as the kernel counts it for the limit. */
static guint64
data_now (void)
{
  g_autofree char *text = NULL;
  guint64 pages = 0;

  if (!g_file_get_contents ("/proc/self/statm", &text, NULL, NULL) ||
      sscanf (text, "%*s %*s %*s %*s %*s %" G_GUINT64_FORMAT, &pages) != 1)
    return 0;
  return pages * (guint64) sysconf (_SC_PAGESIZE);
}

static guint64
stack_size (void)
{
  pthread_attr_t attributes;
  size_t size = 0;

  if (pthread_getattr_default_np (&attributes) != 0)
    return 0;
  pthread_attr_getstacksize (&attributes, &size);
  pthread_attr_destroy (&attributes);
  return size;
}

/* Under a sanitizer its shadow of all memory would count as well. */
#ifdef ZM_HOSTED_SANITIZED
#define IS_LIMITED FALSE
#else
#define IS_LIMITED TRUE
#endif

/* The hard limit stays, as this one moves with the threads and with what the daemon says; a plugin that raises it is still
 * replaced for what it uses. Under the lock. */
static void
set_data_limit (ZmHostedRoom *room)
{
  guint64 own = room->base + (OWN_THREADS + room->threads_most) * room->thread;
  struct rlimit limits;

  if (getrlimit (RLIMIT_DATA, &limits) != 0)
    return;
  limits.rlim_cur = !IS_LIMITED || room->memory == 0 || room->memory > (G_MAXUINT64 - own) / 2
                        ? room->before
                        : MIN (room->before, (rlim_t) (own + 2 * room->memory));
  setrlimit (RLIMIT_DATA, &limits);
}

void
zm_hosted_set_memory (ZmHostedRoom *room, guint64 memory)
{
  pthread_mutex_lock (&room->lock);
  room->memory = memory;
  set_data_limit (room);
  pthread_mutex_unlock (&room->lock);
}

/* It does not come down again: the C library keeps stacks of threads that ended for the next ones. */
void
zm_hosted_count_threads (ZmHosted *hosted, int change)
{
  ZmHostedRoom *room = &hosted->room;

  pthread_mutex_lock (&room->lock);
  room->threads += (guint) change;
  if (room->threads > room->threads_most) {
    room->threads_most = room->threads;
    set_data_limit (room);
  }
  pthread_mutex_unlock (&room->lock);
}

/* Both limits, so that no plugin, and no runtime of a language, takes it for a wish; where it is lower already it stays. */
static void
limit_descriptors (guint64 most)
{
  struct rlimit limits;

  if (most == 0 || getrlimit (RLIMIT_NOFILE, &limits) != 0)
    return;
  limits.rlim_max = MIN (limits.rlim_max, (rlim_t) most);
  limits.rlim_cur = limits.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limits);
}

void
zm_hosted_confine (ZmHostedRoom *room, const ZmHostedOptions *options)
{
  struct rlimit limits = { RLIM_INFINITY, RLIM_INFINITY };

  getrlimit (RLIMIT_DATA, &limits);
  pthread_mutex_init (&room->lock, NULL);
  room->before = limits.rlim_cur;
  room->base = data_now () + OWN_ROOM;
  room->thread = stack_size () + THREAD_ROOM;
  zm_hosted_set_memory (room, options->memory);
  limit_descriptors (options->descriptors);
  /* As in the daemon: a peer that goes is an error of the call that writes to it. */
  signal (SIGPIPE, SIG_IGN);
  /* What a plugin starts must not hold the daemon's end of this. */
  fcntl (ZM_HOSTED_SOCKET, F_SETFD, FD_CLOEXEC);
}
