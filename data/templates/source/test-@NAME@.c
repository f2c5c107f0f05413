/* Tests @NAME@ without a daemon: a host of three functions is enough. */
#include "@NAME@.c"

#include <pthread.h>

static int events;
static void *running;

static const char *
test_config (const zm_host *host, const char *key, unsigned index)
{
  (void) host;
  return strcmp (key, "every") == 0 && index == 0 ? "1" : NULL;
}

/* The first event ends the test. */
static int
test_emit (const zm_host *host, const zm_event *event)
{
  (void) host;
  if (strcmp (event->key, "@NAME@?Tick?Now") == 0)
    events++;
  source_wake (running);
  return ZM_OK;
}

static void
test_log (const zm_host *host, int level, const char *text)
{
  (void) host;
  (void) level;
  fprintf (stderr, "%s\n", text);
}

static void *
run (void *source)
{
  return source_run (source) == ZM_OK ? source : NULL;
}

int
main (void)
{
  static zm_host host;
  pthread_t thread;
  void *ended = NULL;

  host.struct_size = sizeof host;
  host.config = test_config;
  host.emit = test_emit;
  host.log = test_log;
  if (source_open (NULL, &host, &running) != ZM_OK || pthread_create (&thread, NULL, run, running) != 0)
    return 1;
  pthread_join (thread, &ended);
  source_close (running);
  return ended != NULL && events == 1 ? 0 : 1;
}
