/* Tests the actions of @NAME@ without a daemon: a host of two functions is enough. */
#include "@NAME@.c"

static char result[256];

static int
test_reply (zm_call *call, const void *data, size_t size, const char *content_type)
{
  (void) call;
  (void) content_type;
  snprintf (result, sizeof result, "%.*s", (int) size, (const char *) data);
  return ZM_OK;
}

static int
test_fail (zm_call *call, const char *code, const char *text)
{
  (void) call;
  (void) text;
  snprintf (result, sizeof result, "error %s", code);
  return ZM_OK;
}

static int
expect (const char *body, int status, const char *wanted)
{
  static zm_host host;
  zm_call call;
  int got;

  host.struct_size = sizeof host;
  host.reply = test_reply;
  host.fail = test_fail;
  memset (&call, 0, sizeof call);
  call.struct_size = sizeof call;
  call.host = &host;
  call.body = body;
  call.body_size = strlen (body);
  got = handle (&call);
  if (got == status && strcmp (result, wanted) == 0)
    return 0;
  fprintf (stderr, "\"%s\": status %d, result \"%s\"; expected %d, \"%s\"\n", body, got, result, status, wanted);
  return 1;
}

int
main (void)
{
  return expect ("", ZM_REJECT, "error empty") + expect ("hello", ZM_OK, "5 bytes") != 0;
}
