/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log: levels, limits by kind, the recent lines, and the one place where lines go out. */
#include "config.h"

#include "base/log-out.h"

#include "base/zm-base.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define RECENT_MOST    64
#define KINDS_MOST     256
#define BURST          5
#define WINDOW_US      (10 * G_USEC_PER_SEC)

/* What is known of one kind of limited line. */
typedef struct Kind {
  const char *kind;
  const char *room;
  ZmLevel level;
  gint64 window_us; /* when the running window began */
  guint lines;      /* in this window */
  guint suppressed; /* in this window */
} Kind;

struct ZmLog {
  _Atomic int refs;  /* who has a reference may use everything */
  _Atomic int level; /* a ZmLevel: lines up to this are written */
  ZmLogFormat format;
  int fd;                 /* borrowed */
  int journal;            /* own, or -1 */
  gboolean colour;        /* the human format, to a terminal */
  pthread_mutex_t output; /* one line at a time */
  guint lost;             /* lines that nobody took, not yet told; under output */
  pthread_mutex_t lock;   /* the rest */
  Kind kinds[KINDS_MOST];
  guint n_kinds;
  char *recent[RECENT_MOST]; /* JSON texts, a ring */
  guint64 n_recent;
  ZmLogTap tap; /* or NULL */
  gpointer tap_user;
};

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };

gboolean
zm_level_parse (const char *text, ZmLevel *level)
{
  for (guint i = 0; i < G_N_ELEMENTS (level_names); i++)
    if (g_strcmp0 (text, level_names[i]) == 0) {
      *level = (ZmLevel) (ZM_LEVEL_ERROR + (int) i);
      return TRUE;
    }
  return FALSE;
}

const char *
zm_level_name (ZmLevel level)
{
  return level_names[CLAMP ((int) level, ZM_LEVEL_ERROR, ZM_LEVEL_DEBUG) - ZM_LEVEL_ERROR];
}

/* What suits where the lines go: journald's own protocol where stderr is the journal, colours for a terminal, JSON for a
 * file or a pipe. */
static ZmLogFormat
choose_format (ZmLog *log, ZmLogFormat wanted)
{
  if (wanted == ZM_LOG_FORMAT_AUTO) {
    if (zm_log_is_journal (g_getenv ("JOURNAL_STREAM"), log->fd))
      wanted = ZM_LOG_FORMAT_JOURNAL;
    else
      wanted = isatty (log->fd) ? ZM_LOG_FORMAT_HUMAN : ZM_LOG_FORMAT_JSON;
  }
  if (wanted == ZM_LOG_FORMAT_JOURNAL)
    log->journal = zm_log_journal_open (JOURNAL_SOCKET);
  /* Without journald people read the lines. */
  return wanted == ZM_LOG_FORMAT_JOURNAL && log->journal < 0 ? ZM_LOG_FORMAT_HUMAN : wanted;
}

ZmLog *
zm_log_new (int fd, ZmLogFormat format, ZmLevel level)
{
  ZmLog *log = g_new0 (ZmLog, 1);
  const char *no_colour = g_getenv ("NO_COLOR");

  atomic_init (&log->refs, 1);
  atomic_init (&log->level, (int) level);
  log->fd = fd;
  log->journal = -1;
  log->colour = isatty (fd) && (no_colour == NULL || *no_colour == '\0');
  log->format = choose_format (log, format);
  pthread_mutex_init (&log->output, NULL);
  pthread_mutex_init (&log->lock, NULL);
  return log;
}

ZmLog *
zm_log_ref (ZmLog *log)
{
  if (log != NULL)
    atomic_fetch_add_explicit (&log->refs, 1, memory_order_relaxed);
  return log;
}

void
zm_log_set_level (ZmLog *log, ZmLevel level)
{
  if (log != NULL)
    atomic_store_explicit (&log->level, (int) level, memory_order_relaxed);
}

/* Relaxed, as it stands before every line: a changed level is seen soon, not at once. */
gboolean
zm_log_enabled (const ZmLog *log, ZmLevel level)
{
  return log != NULL && (int) level <= atomic_load_explicit (&((ZmLog *) log)->level, memory_order_relaxed);
}

gboolean
zm_log_is_json (const ZmLog *log)
{
  return log != NULL && log->format == ZM_LOG_FORMAT_JSON;
}

/* ---- out ---- */

/* Nobody waits for a reader of the log that stands still: threads that must not block write lines too. */
static gboolean
takes_more (int fd)
{
  struct pollfd item = { .fd = fd, .events = POLLOUT };

  return poll (&item, 1, 0) != 0;
}

/* A log that cannot be written has nowhere to say so; the line stays in recent. Not over PIPE_BUF bytes after each
 * takes_more: those go out at once. */
static void
write_all (int fd, const char *text, gsize size)
{
  while (size > 0) {
    ssize_t written = write (fd, text, size);

    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return;
    text += written;
    size -= (gsize) written;
  }
}

/* As soon as the reader takes lines again it is told how many are missing: nothing is dropped without a word. That may be
 * all that it takes: the caller asks again. With the output's lock held. */
static void
tell_lost (ZmLog *log)
{
  g_autofree char *text = NULL, *json = NULL, *line = NULL;

  if (log->lost == 0 || !takes_more (log->fd))
    return;
  text = g_strdup_printf ("%u lines of the log were lost: its reader stood still", log->lost);
  log->lost = 0;
  ZmLogRecord record = { ZM_LEVEL_WARNING, "log", text, NULL, zm_wall_us () };
  json = zm_log_json (&record);
  line = g_strconcat (json, "\n", NULL);
  write_all (log->fd, line, strlen (line));
}

/* FALSE: journald does not take it now (its queue is full, it is being restarted): the line goes to stderr then, which
 * is the journal too. */
static gboolean
send_journal (ZmLog *log, const ZmLogRecord *record)
{
  g_autofree char *datagram = zm_log_journal (record);

  return send (log->journal, datagram, strlen (datagram), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* The line is made before the lock is taken, which is held for one write only: lines of several threads do not mix. */
static void
put_out (ZmLog *log, const ZmLogRecord *record, const char *json)
{
  g_autofree char *line = NULL;

  if (log->format == ZM_LOG_FORMAT_JOURNAL && send_journal (log, record))
    return;
  if (log->format == ZM_LOG_FORMAT_JSON) {
    line = g_strconcat (json, "\n", NULL);
  } else {
    g_autofree char *human = zm_log_human (record, log->colour);

    line = g_strconcat (human, "\n", NULL);
  }
  pthread_mutex_lock (&log->output);
  tell_lost (log);
  if (takes_more (log->fd))
    write_all (log->fd, line, strlen (line));
  else
    log->lost++;
  pthread_mutex_unlock (&log->output);
}

/* To the output, to who listens to the log (`zmanagerctl log`), and where it is a warning or worse into the recent
 * lines, which the control command log-recent gives. The tap is called under the lock, so it must not log. */
static void
put_line (ZmLog *log, ZmLevel level, const char *room, const char *text, const char *const *fields)
{
  ZmLogRecord record = { level, room, text, fields, zm_wall_us () };
  g_autofree char *json = zm_log_json (&record);

  put_out (log, &record, json);
  pthread_mutex_lock (&log->lock);
  if (log->tap != NULL)
    log->tap (level, json, log->tap_user);
  if (level <= ZM_LEVEL_WARNING) {
    char **slot = &log->recent[log->n_recent++ % RECENT_MOST];

    g_free (*slot);
    *slot = g_steal_pointer (&json);
  }
  pthread_mutex_unlock (&log->lock);
}

/* ---- limits ---- */

/* The entry of a kind. Kinds are compared by address: they are literals of the program, and a comparison of texts for
 * every line would cost more than the line. Further kinds than there is room for share the last one. With the lock held. */
static Kind *
find_kind (ZmLog *log, ZmLevel level, const char *room, const char *kind)
{
  guint i = 0;

  while (i < log->n_kinds && log->kinds[i].kind != kind)
    i++;
  if (i == log->n_kinds) {
    if (i == KINDS_MOST)
      return &log->kinds[KINDS_MOST - 1];
    log->kinds[log->n_kinds++] = (Kind){ .kind = kind, .room = room, .level = level };
  }
  return &log->kinds[i];
}

/* May a line of this kind be written now? What is not written is counted. */
static gboolean
admit (ZmLog *log, ZmLevel level, const char *room, const char *kind)
{
  gint64 now_us = zm_now_us ();
  gboolean yes;
  Kind *found;

  pthread_mutex_lock (&log->lock);
  found = find_kind (log, level, room, kind);
  /* A window with something to say is ended by report_suppressed () only. */
  if (found->suppressed == 0 && now_us - found->window_us >= WINDOW_US) {
    found->window_us = now_us;
    found->lines = 0;
  }
  yes = found->lines < BURST;
  if (yes)
    found->lines++;
  else
    found->suppressed++;
  pthread_mutex_unlock (&log->lock);
  return yes;
}

/* Says what was suppressed in windows that are over; all: in the running ones too. Called before each line, so there is
 * no timer: what was suppressed in the last window is told with the next line of any kind, or at the end. The lock is
 * let go for each line, which takes it again. */
static void
report_suppressed (ZmLog *log, gboolean all)
{
  for (guint i = 0;; i++) {
    gint64 now_us = zm_now_us ();
    Kind over = { 0 };

    pthread_mutex_lock (&log->lock);
    for (; i < log->n_kinds; i++)
      if (log->kinds[i].suppressed > 0 && (all || now_us - log->kinds[i].window_us >= WINDOW_US)) {
        over = log->kinds[i];
        log->kinds[i].suppressed = log->kinds[i].lines = 0;
        log->kinds[i].window_us = now_us;
        break;
      }
    pthread_mutex_unlock (&log->lock);
    if (over.kind == NULL)
      return;
    g_autofree char *text = g_strdup_printf ("%u lines like this suppressed: %s", over.suppressed, over.kind);
    put_line (log, over.level, over.room, text, NULL);
  }
}

/* The last one says what it still has to say, and leaves the descriptor, which is not its own. */
void
zm_log_flush (ZmLog *log)
{
  if (log != NULL)
    report_suppressed (log, TRUE);
}

void
zm_log_unref (ZmLog *log)
{
  if (log == NULL || atomic_fetch_sub_explicit (&log->refs, 1, memory_order_acq_rel) > 1)
    return;
  report_suppressed (log, TRUE);
  if (log->journal >= 0)
    close (log->journal);
  for (guint i = 0; i < RECENT_MOST; i++)
    g_free (log->recent[i]);
  pthread_mutex_destroy (&log->output);
  pthread_mutex_destroy (&log->lock);
  g_free (log);
}

/* ---- the door ---- */

void
zm_log_line (ZmLog *log, ZmLevel level, const char *room, const char *text, const char *const *fields)
{
  if (!zm_log_enabled (log, level))
    return;
  report_suppressed (log, FALSE);
  put_line (log, level, room, text, fields);
}

void
zm_log_always (ZmLog *log, ZmLevel level, const char *room, const char *text, const char *const *fields)
{
  if (log != NULL)
    put_line (log, level, room, text, fields);
}

void
zm_log_write (ZmLog *log, ZmLevel level, const char *room, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  if (!zm_log_enabled (log, level))
    return;
  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  zm_log_line (log, level, room, text, NULL);
}

/* The text is made only where the line may be written: a flood costs a lock and a look at the clock a line. */
void
zm_log_limited (ZmLog *log, ZmLevel level, const char *room, const char *kind, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  if (!zm_log_enabled (log, level))
    return;
  report_suppressed (log, FALSE);
  if (!admit (log, level, room, kind))
    return;
  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  put_line (log, level, room, text, NULL);
}

void
zm_log_set_tap (ZmLog *log, ZmLogTap tap, gpointer user)
{
  pthread_mutex_lock (&log->lock);
  log->tap = tap;
  log->tap_user = user;
  pthread_mutex_unlock (&log->lock);
}

/* A JSON array, the oldest first; the lines are JSON already. */
char *
zm_log_recent (ZmLog *log)
{
  GString *out = g_string_new ("[");
  guint64 at;

  pthread_mutex_lock (&log->lock);
  at = log->n_recent > RECENT_MOST ? log->n_recent - RECENT_MOST : 0;
  for (; at < log->n_recent; at++)
    g_string_append_printf (out, "%s%s", out->len > 1 ? "," : "", log->recent[at % RECENT_MOST]);
  pthread_mutex_unlock (&log->lock);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}
