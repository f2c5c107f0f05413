/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service in C: takes the steps ?Text?Reverse of every flow, and answers each with its body turned round.
 *
 *   cc service.c -o service $(pkg-config --cflags --libs zmanager-client)
 *   ./service /path/of/the/instance
 */
#include <stdio.h>
#include <stdlib.h>
#include <zmanager/client.h>

static int
answer (zm_client *client, const zm_client_message *message)
{
  const char *text = message->body;
  char *turned = malloc (message->body_size + 1);
  if (turned == NULL)
    return ZM_CLIENT_E_MEMORY;
  for (size_t i = 0; i < message->body_size; i++)
    turned[i] = text[message->body_size - 1 - i];
  int rc = zm_client_answer (client, message, NULL, turned, message->body_size);
  free (turned);
  return rc;
}

int
main (int argc, char **argv)
{
  static const char *const patterns[] = { "?Text?Reverse", NULL };
  zm_client *client = zm_client_open (argc > 1 ? argv[1] : NULL);
  zm_client_message *message;
  if (client == NULL || zm_client_hello (client, "reverse", "1.0", patterns, 2000, 5000) != ZM_CLIENT_OK) {
    fprintf (stderr, "service: %s\n", zm_client_error (client));
    zm_client_close (client);
    return 1;
  }
  puts ("service: ready");
  fflush (stdout);
  for (;;) {
    int rc = zm_client_receive (client, -1, &message);
    if (rc == ZM_CLIENT_E_STOPPED)
      break;
    /* Counted, and shown by `zmanagerctl services`; the next message is another matter. */
    if (rc != ZM_CLIENT_OK || answer (client, message) != ZM_CLIENT_OK) {
      fprintf (stderr, "service: %s\n", zm_client_error (client));
      zm_client_count_error (client);
    }
    zm_client_message_free (message);
  }
  zm_client_close (client);
  return 0;
}
