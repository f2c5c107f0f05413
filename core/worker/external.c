/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers in other languages: their sockets, and what keeps their processes running. A PUSH socket is used by whichever
 * worker thread sends, one at a time under the worker's mutex (libzmq asks for a full fence between two threads).
 */
#include "config.h"

#include "worker/zm-external.h"

#include "worker/external-process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define LINGER_MS     1000
#define CLOSE_WAIT_MS 1000
#define HEARTBEAT_MS  10000
#define DEAD_AFTER_MS 30000
#define INCOMING_MOST 65536 /* nothing but handshakes comes in */
#define ENDPOINT_MOST 256
#define WORKERS_MOST  256

/* One [worker NAME]. Held by the list and by whoever sends. */
typedef struct Worker {
  atomic_int refs;
  char *name;
  char *exec; /* or NULL */
  char *bind; /* as asked for */
  char *endpoint;
  gboolean restart;
  pthread_mutex_t lock; /* the socket's */
  void *socket;         /* NULL: closed */
  ZmGate *gate;         /* or NULL; under lock */
  ZmCounter *sent, *refused;
} Worker;

struct ZmExternals {
  void *zmq;
  char *runtime_directory;
  char *directory;
  char **environment;
  int high_water;
  ZmLog *log;
  ZmMetrics *metrics;
  ZmGates *gates; /* or NULL */
  pthread_mutex_t lock;
  GPtrArray *workers;     /* Worker* */
  ZmProcesses *processes; /* made with the first exec= */
};

/* ---- the socket between threads ---- */

#if defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined SANITIZED
void __tsan_acquire (void *address);
void __tsan_release (void *address);
#else
#define __tsan_acquire(address) ((void) (address))
#define __tsan_release(address) ((void) (address))
#endif

/* libzmq is not instrumented: what happens inside is told to ThreadSanitizer here. */
static void
enter (Worker *worker)
{
  pthread_mutex_lock (&worker->lock);
  __tsan_acquire (worker->socket);
}

static void
leave (Worker *worker)
{
  __tsan_release (worker->socket);
  pthread_mutex_unlock (&worker->lock);
}

/* ---- one worker ---- */

static Worker *
worker_ref (Worker *worker)
{
  atomic_fetch_add_explicit (&worker->refs, 1, memory_order_relaxed);
  return worker;
}

static void
worker_unref (Worker *worker)
{
  if (atomic_fetch_sub_explicit (&worker->refs, 1, memory_order_acq_rel) != 1)
    return;
  if (worker->socket != NULL)
    zmq_close (worker->socket);
  pthread_mutex_destroy (&worker->lock);
  g_free (worker->name);
  g_free (worker->exec);
  g_free (worker->bind);
  g_free (worker->endpoint);
  g_free (worker);
}

static Worker *
worker_new (ZmExternals *externals, const ZmExternalConfig *config)
{
  Worker *worker = g_new0 (Worker, 1);

  atomic_init (&worker->refs, 1);
  pthread_mutex_init (&worker->lock, NULL);
  worker->name = g_strdup (config->name);
  worker->exec = g_strdup (config->exec);
  worker->bind = config->bind != NULL
                     ? g_strdup (config->bind)
                     : g_strdup_printf ("ipc://%s/worker-%s", externals->runtime_directory, config->name);
  worker->restart = config->restart;
  worker->socket = zmq_socket (externals->zmq, ZMQ_PUSH);
  return worker;
}

static void
set_option (void *socket, int option, int value)
{
  /* Only fails for options and values that libzmq 4.3 knows. */
  zmq_setsockopt (socket, option, &value, sizeof value);
}

/* In the gates' thread, which comes again where somebody is sending just now. */
static void
turn_gate (gpointer user)
{
  Worker *worker = user;

  if (pthread_mutex_trylock (&worker->lock) != 0)
    return;
  __tsan_acquire (worker->socket);
  zm_gate_turn (worker->gate);
  leave (worker);
}

static gboolean
watch_socket (ZmExternals *externals, Worker *worker, GError **error)
{
  if (externals->gates == NULL)
    return TRUE;
  enter (worker);
  worker->gate =
      zm_gate_new (externals->gates, "worker", 0, worker->socket, worker->endpoint, turn_gate, worker, error);
  leave (worker);
  return worker->gate != NULL;
}

static gboolean
open_socket (Worker *worker, int high_water, GError **error)
{
  const gint64 incoming = INCOMING_MOST;
  char endpoint[ENDPOINT_MOST];
  size_t size = sizeof endpoint;

  if (worker->socket == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "worker %s: no socket: %s; raise the limit of open files",
                 worker->name, zmq_strerror (zmq_errno ()));
    return FALSE;
  }
  set_option (worker->socket, ZMQ_SNDHWM, high_water);
  set_option (worker->socket, ZMQ_LINGER, LINGER_MS);
  /* Only to those who are there: a message for nobody is the sender's error now, not a surprise for somebody later. */
  set_option (worker->socket, ZMQ_IMMEDIATE, 1);
  set_option (worker->socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
  set_option (worker->socket, ZMQ_HEARTBEAT_TIMEOUT, DEAD_AFTER_MS);
  zmq_setsockopt (worker->socket, ZMQ_MAXMSGSIZE, &incoming, sizeof incoming);
  if (zmq_bind (worker->socket, worker->bind) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
                 "worker %s: cannot bind %s: %s; set [worker %s] bind to an endpoint that is free",
                 worker->name, worker->bind, zmq_strerror (zmq_errno ()), worker->name);
    return FALSE;
  }
  if (zmq_getsockopt (worker->socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0)
    worker->endpoint = g_strdup (endpoint);
  else
    worker->endpoint = g_strdup (worker->bind);
  return TRUE;
}

/* Unbinding is done by libzmq's own thread, which removes an ipc socket's file at the end: waiting for it means that a
 * successor's file of the same name is not removed. */
static void
close_socket (ZmExternals *externals, Worker *worker)
{
  g_autofree char *address = g_strdup_printf ("inproc://worker-closed-%p", (void *) worker);
  void *events = zmq_socket (externals->zmq, ZMQ_PAIR);
  zmq_pollitem_t item = { .socket = events, .events = ZMQ_POLLIN };

  enter (worker);
  zm_gate_free (g_steal_pointer (&worker->gate));
  if (events != NULL && zmq_socket_monitor (worker->socket, address, ZMQ_EVENT_CLOSED) == 0 &&
      zmq_connect (events, address) == 0 && zmq_unbind (worker->socket, worker->endpoint) == 0)
    zmq_poll (&item, 1, CLOSE_WAIT_MS);
  zmq_socket_monitor (worker->socket, NULL, 0);
  if (events != NULL) {
    set_option (events, ZMQ_LINGER, 0);
    zmq_close (events);
  }
  zmq_close (worker->socket);
  __tsan_release (worker->socket);
  worker->socket = NULL;
  pthread_mutex_unlock (&worker->lock);
}

/* ---- its process ---- */

static char *
process_name (const char *worker)
{
  return g_strdup_printf ("worker %s", worker);
}

/* argv[0] becomes a path: from PATH, or relative to where the process will run. */
static gboolean
find_program (ZmExternals *externals, const char *name, char **argv, GError **error)
{
  char *path;

  if (strchr (argv[0], '/') != NULL)
    path = g_path_is_absolute (argv[0]) ? g_strdup (argv[0])
                                        : g_build_filename (externals->directory, argv[0], NULL);
  else
    path = g_find_program_in_path (argv[0]);
  if (path != NULL && g_file_test (path, G_FILE_TEST_IS_EXECUTABLE) &&
      !g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_free (argv[0]);
    argv[0] = path;
    return TRUE;
  }
  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
               "worker %s: exec: there is no program %s; install it, or give its full path", name,
               path != NULL ? path : argv[0]);
  g_free (path);
  return FALSE;
}

/* The daemon's own, without what the service manager meant for it alone; then what was given; then the worker's. */
static char **
make_environment (ZmExternals *externals, const Worker *worker)
{
  static const char *const own[] = { "NOTIFY_SOCKET", "WATCHDOG_PID",   "WATCHDOG_USEC", "LISTEN_PID",
                                     "LISTEN_FDS",    "LISTEN_FDNAMES", "MAINPID",       "JOURNAL_STREAM" };
  char **environment = g_get_environ ();

  for (guint i = 0; i < G_N_ELEMENTS (own); i++)
    environment = g_environ_unsetenv (environment, own[i]);
  for (char **pair = externals->environment; *pair != NULL; pair++) {
    const char *equals = strchr (*pair, '=');
    g_autofree char *name = equals != NULL ? g_strndup (*pair, (gsize) (equals - *pair)) : NULL;

    if (name != NULL)
      environment = g_environ_setenv (environment, name, equals + 1, TRUE);
  }
  environment = g_environ_setenv (environment, "ZM_WORKER_NAME", worker->name, TRUE);
  return g_environ_setenv (environment, "ZM_WORKER_CONNECT", worker->endpoint, TRUE);
}

static gboolean
parse_exec (ZmExternals *externals, const ZmExternalConfig *config, char ***argv, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_auto (GStrv) parts = NULL;

  *argv = NULL;
  if (config->exec == NULL)
    return TRUE;
  if (!g_shell_parse_argv (config->exec, NULL, &parts, &problem)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "worker %s: exec is no command line: %s; quote as for a shell (no shell is run)",
                 config->name, problem->message);
    return FALSE;
  }
  if (!find_program (externals, config->name, parts, error))
    return FALSE;
  *argv = g_steal_pointer (&parts);
  return TRUE;
}

/* The thread that watches processes is there once one is wanted. */
static gboolean
need_processes (ZmExternals *externals, GError **error)
{
  ZmProcesses *processes = externals->processes;

  if (processes == NULL)
    processes = zm_processes_new (externals->log, externals->metrics, error);
  pthread_mutex_lock (&externals->lock);
  externals->processes = processes;
  pthread_mutex_unlock (&externals->lock);
  return processes != NULL;
}

static void
start_process (ZmExternals *externals, const Worker *worker, char **argv)
{
  g_auto (GStrv) environment = make_environment (externals, worker);
  g_autofree char *name = process_name (worker->name);
  ZmProcessSpec spec = { .name = name,
                         .argv = (const char *const *) argv,
                         .environment = (const char *const *) environment,
                         .directory = externals->directory,
                         .restart = worker->restart };

  if (argv != NULL)
    zm_processes_start (externals->processes, &spec);
}

static void
stop_process (ZmExternals *externals, const Worker *worker)
{
  g_autofree char *name = process_name (worker->name);

  if (worker->exec != NULL && externals->processes != NULL)
    zm_processes_stop (externals->processes, name);
}

/* ---- the door ---- */

ZmExternals *
zm_externals_new (void *zmq, const char *runtime_directory, const char *directory,
                  const char *const *environment, int high_water, ZmLog *log, ZmMetrics *metrics)
{
  static const char *const none[] = { NULL };
  ZmExternals *externals = g_new0 (ZmExternals, 1);

  externals->zmq = zmq;
  externals->runtime_directory = g_strdup (runtime_directory);
  externals->directory = g_canonicalize_filename (directory != NULL ? directory : ".", NULL);
  externals->environment = g_strdupv ((char **) (environment != NULL ? environment : none));
  externals->high_water = high_water;
  externals->log = log;
  externals->metrics = metrics;
  externals->workers = g_ptr_array_new ();
  pthread_mutex_init (&externals->lock, NULL);
  return externals;
}

void
zm_externals_set_gates (ZmExternals *externals, ZmGates *gates)
{
  externals->gates = gates;
}

/* A new reference, or NULL. */
static Worker *
find (ZmExternals *externals, const char *name)
{
  Worker *found = NULL;

  pthread_mutex_lock (&externals->lock);
  for (guint i = 0; i < externals->workers->len && found == NULL; i++) {
    Worker *worker = g_ptr_array_index (externals->workers, i);

    if (strcmp (worker->name, name) == 0)
      found = worker_ref (worker);
  }
  pthread_mutex_unlock (&externals->lock);
  return found;
}

/* Takes it off the list; the process is told to end, the socket is closed once nobody sends. */
static void
remove_worker (ZmExternals *externals, Worker *worker)
{
  pthread_mutex_lock (&externals->lock);
  g_ptr_array_remove (externals->workers, worker);
  pthread_mutex_unlock (&externals->lock);
  stop_process (externals, worker);
  close_socket (externals, worker);
  zm_metrics_remove (externals->metrics, worker->sent);
  zm_metrics_remove (externals->metrics, worker->refused);
  worker_unref (worker);
}

static void
publish_worker (ZmExternals *externals, Worker *worker)
{
  worker->sent = zm_metrics_counter (externals->metrics, "zmanager_worker_sent_total",
                                     "Messages given to workers in other languages", "worker", worker->name);
  worker->refused =
      zm_metrics_counter (externals->metrics, "zmanager_worker_refused_total",
                          "Messages that no worker process could take at once", "worker", worker->name);
  pthread_mutex_lock (&externals->lock);
  g_ptr_array_add (externals->workers, worker);
  pthread_mutex_unlock (&externals->lock);
}

/* The socket stays, with those who are connected to it; only the process is another. */
static void
replace_process (ZmExternals *externals, Worker *worker, const ZmExternalConfig *config, char **argv)
{
  if (g_strcmp0 (worker->exec, config->exec) == 0 && worker->restart == config->restart)
    return;
  stop_process (externals, worker);
  pthread_mutex_lock (&externals->lock);
  g_free (worker->exec);
  worker->exec = g_strdup (config->exec);
  worker->restart = config->restart;
  pthread_mutex_unlock (&externals->lock);
  start_process (externals, worker, argv);
}

static gboolean
add_new (ZmExternals *externals, Worker *worker, Worker *before, char **argv, GError **error)
{
  if (before == NULL && externals->workers->len >= WORKERS_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "worker %s: there are %d workers already; use fewer",
                 worker->name, WORKERS_MOST);
    return FALSE;
  }
  if (!open_socket (worker, externals->high_water, error) || !watch_socket (externals, worker, error))
    return FALSE;
  if (before != NULL)
    remove_worker (externals, before);
  publish_worker (externals, worker_ref (worker));
  start_process (externals, worker, argv);
  return TRUE;
}

gboolean
zm_externals_add (ZmExternals *externals, const ZmExternalConfig *config, GError **error)
{
  g_auto (GStrv) argv = NULL;
  Worker *worker, *before;
  gboolean good = TRUE;

  if (!parse_exec (externals, config, &argv, error) || (argv != NULL && !need_processes (externals, error)))
    return FALSE;
  worker = worker_new (externals, config);
  before = find (externals, config->name);
  if (before != NULL && strcmp (before->bind, worker->bind) == 0)
    replace_process (externals, before, config, argv);
  else
    good = add_new (externals, worker, before, argv, error);
  worker_unref (worker);
  if (before != NULL)
    worker_unref (before);
  return good;
}

void
zm_externals_keep (ZmExternals *externals, const char *const *names)
{
  /* Only this thread changes the list: the lock is for those who send. */
  for (guint i = externals->workers->len; i > 0; i--) {
    Worker *worker = g_ptr_array_index (externals->workers, i - 1);

    if (!g_strv_contains (names, worker->name))
      remove_worker (externals, worker);
  }
}

static gboolean
refuse (Worker *worker, int problem, GError **error)
{
  zm_counter_add (worker->refused, 1);
  if (problem == EAGAIN)
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "worker %s: no process is connected, or all have their queues full; see zmanagerctl workers",
                 worker->name);
  else
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "worker %s: %s", worker->name,
                 problem == ENOTSOCK ? "it was removed from the configuration" : zmq_strerror (problem));
  return FALSE;
}

gboolean
zm_externals_send (ZmExternals *externals, const char *name, ZmMessage *message, GError **error)
{
  Worker *worker = find (externals, name);
  int problem = ENOTSOCK; /* closed between find and here */

  if (worker == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "there is no [worker %s]; add it to the configuration", name);
    return FALSE;
  }
  enter (worker);
  if (worker->socket != NULL)
    problem = zm_wire_send (worker->socket, message, ZM_FRAMES_MULTI, ZMQ_DONTWAIT) == 0 ? 0 : zmq_errno ();
  leave (worker);
  if (problem == 0)
    zm_counter_add (worker->sent, 1);
  else
    refuse (worker, problem, error);
  worker_unref (worker);
  return problem == 0;
}

static void
append_worker (ZmExternals *externals, Worker *worker, GString *out)
{
  g_autofree char *process = process_name (worker->name);

  g_string_append (out, out->len > 1 ? ",{\"name\":" : "{\"name\":");
  zm_json_append_string (out, zm_span_text (worker->name));
  g_string_append (out, ",\"endpoint\":");
  zm_json_append_string (out, zm_span_text (worker->endpoint));
  g_string_append (out, ",\"exec\":");
  if (worker->exec != NULL)
    zm_json_append_string (out, zm_span_text (worker->exec));
  else
    g_string_append (out, "null");
  g_string_append_printf (out, ",\"sent\":%" G_GINT64_FORMAT ",\"refused\":%" G_GINT64_FORMAT ",",
                          zm_counter_get (worker->sent), zm_counter_get (worker->refused));
  if (worker->exec != NULL && externals->processes != NULL)
    zm_processes_append_json (externals->processes, process, out);
  else
    g_string_append (out, "\"state\":\"elsewhere\"");
  g_string_append_c (out, '}');
}

char *
zm_externals_json (ZmExternals *externals)
{
  GString *out = g_string_new ("[");

  pthread_mutex_lock (&externals->lock);
  for (guint i = 0; i < externals->workers->len; i++)
    append_worker (externals, g_ptr_array_index (externals->workers, i), out);
  pthread_mutex_unlock (&externals->lock);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}

void
zm_externals_reasons (ZmExternals *externals, GPtrArray *out)
{
  pthread_mutex_lock (&externals->lock);
  for (guint i = 0; i < externals->workers->len && externals->processes != NULL; i++) {
    const Worker *worker = g_ptr_array_index (externals->workers, i);
    g_autofree char *process = process_name (worker->name);
    g_autofree char *trouble = worker->exec ? zm_processes_trouble (externals->processes, process) : NULL;

    if (trouble != NULL)
      g_ptr_array_add (out, g_strdup_printf ("worker %s: %s", worker->name, trouble));
  }
  pthread_mutex_unlock (&externals->lock);
}

void
zm_externals_free (ZmExternals *externals)
{
  static const char *const none[] = { NULL };
  ZmProcesses *processes;

  if (externals == NULL)
    return;
  pthread_mutex_lock (&externals->lock);
  processes = g_steal_pointer (&externals->processes);
  pthread_mutex_unlock (&externals->lock);
  /* First the processes, all at once: what they still push goes to the Subject, which is not ours. */
  zm_processes_free (processes);
  zm_externals_keep (externals, none);
  pthread_mutex_destroy (&externals->lock);
  g_ptr_array_unref (externals->workers);
  g_free (externals->runtime_directory);
  g_free (externals->directory);
  g_strfreev (externals->environment);
  g_free (externals);
}
