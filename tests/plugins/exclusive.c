/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holds a name that only one can hold: start fails while the old generation runs. */
#include <zmanager/plugin.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int
init (const zm_host *host, void **state)
{
  int *fd = (int *) malloc (sizeof *fd);

  (void) host;
  if (fd != NULL)
    *fd = -1;
  *state = fd;
  return fd != NULL ? ZM_OK : ZM_E_MEMORY;
}

/* The test may ask for one failure: with the name taken, as a start does that fails half way. */
static int
fail_once (void)
{
  if (getenv ("ZM_TEST_FAIL") == NULL)
    return ZM_OK;
  unsetenv ("ZM_TEST_FAIL");
  return ZM_E_FAILED;
}

static int
start (void *state)
{
  struct sockaddr_un address;
  const char *name = getenv ("ZM_TEST_NAME");
  int *fd = (int *) state;

  memset (&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strncpy (address.sun_path + 1, name != NULL ? name : "zm-test-exclusive", sizeof address.sun_path - 2);
  *fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (*fd >= 0 && bind (*fd, (struct sockaddr *) &address, sizeof address) == 0)
    return fail_once ();
  return ZM_E_AGAIN;
}

static void
stop (void *state, unsigned deadline_ms)
{
  int *fd = (int *) state;

  (void) deadline_ms;
  close (*fd);
  *fd = -1;
}

static void
fini (void *state)
{
  int *fd = (int *) state;

  if (*fd >= 0)
    close (*fd);
  free (fd);
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = ZM_PLUGIN_EXCLUSIVE,
  .name = "exclusive",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Holds what only one can hold",
  .init = init,
  .start = start,
  .stop = stop,
  .fini = fini,
};

ZM_PLUGIN_FULL ("exclusive", "1.0", "LGPL-2.1-or-later", "Holds what only one can hold", "", &descriptor);
