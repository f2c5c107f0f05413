/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ping, and health: one of each operation is really made, on a queue of its own, and told how it went. */
#include "config.h"

#include "http/zaqar-private.h"

#include <string.h>

void
zm_zaqar_ping (ZmRequest *request)
{
  ZmStore *store = zm_http_host (request->http)->store;
  g_autofree char *trouble = store != NULL ? zm_store_trouble (store) : g_strdup ("There is no store.");

  if (trouble == NULL)
    zm_zaqar_no_content (request);
  else
    zm_request_fail (request, 503, NULL, NULL, "%s Please try again in a few seconds.", trouble);
}

/* ---- health ---- */

#define STEPS 8

/* In zaqar->more. */
typedef struct Trial {
  char name[ZM_QUEUE_NAME_MOST + 1];
  char *ids[2];
  char claim[ZM_UUID_SIZE + 1];
  guint step;
  gint64 began_us;
  GString *out;
} Trial;

static void on_step (const ZmQueueAnswer *answer, const GError *error, gpointer user);

static void
create (const ZmZaqar *zaqar, const Trial *trial)
{
  (void) trial;
  zm_queue_create (zaqar->queues, zaqar->queue, zm_span (NULL, 0), on_step, zaqar->request);
}

static void
post (const ZmZaqar *zaqar, const Trial *trial)
{
  const ZmPut put = { .body = ZM_SPAN_LITERAL ("\"health\""), .ttl_s = ZM_ZAQAR_TTL_LEAST, .delay_s = 0 };
  const ZmPut puts[2] = { put, put };

  (void) trial;
  zm_queue_put (zaqar->queues, zaqar->queue, puts, 2, on_step, zaqar->request);
}

static void
claim (const ZmZaqar *zaqar, const Trial *trial)
{
  (void) trial;
  zm_queue_claim (zaqar->queues, zaqar->queue, 1, ZM_ZAQAR_TTL_LEAST, ZM_ZAQAR_TTL_LEAST, on_step,
                  zaqar->request);
}

static void
list (const ZmZaqar *zaqar, const Trial *trial)
{
  const ZmQueueList wanted = { .limit = ZM_ZAQAR_PAGE, .claimed = TRUE, .delayed = TRUE };

  (void) trial;
  zm_queue_list (zaqar->queues, zaqar->queue, &wanted, on_step, zaqar->request);
}

/* The claimed one, with its claim. */
static void
delete_one (const ZmZaqar *zaqar, const Trial *trial)
{
  zm_queue_delete (zaqar->queues, zaqar->queue, zm_span_text (trial->ids[0]), zm_span_text (trial->claim),
                   on_step, zaqar->request);
}

static void
release (const ZmZaqar *zaqar, const Trial *trial)
{
  zm_queue_claim_release (zaqar->queues, zaqar->queue, zm_span_text (trial->claim), on_step, zaqar->request);
}

static void
delete_rest (const ZmZaqar *zaqar, const Trial *trial)
{
  const ZmSpan ids[] = { zm_span_text (trial->ids[1]) };

  zm_queue_delete_many (zaqar->queues, zaqar->queue, ids, 1, NULL, 0, on_step, zaqar->request);
}

static void
drop (const ZmZaqar *zaqar, const Trial *trial)
{
  (void) trial;
  zm_queue_remove (zaqar->queues, zaqar->queue, on_step, zaqar->request);
}

static const struct {
  const char *name;
  void (*begin) (const ZmZaqar *zaqar, const Trial *trial);
} steps[STEPS] = {
  { "create_queue", create },
  { "post_messages", post },
  { "claim_messages", claim },
  { "list_messages", list },
  { "delete_messages", delete_one },
  { "delete_claim", release },
  { "bulk_delete_messages", delete_rest },
  { "delete_queue", drop },
};

static void
begin (const ZmZaqar *zaqar, Trial *trial)
{
  trial->began_us = zm_now_us ();
  steps[trial->step].begin (zaqar, trial);
}

static void
report (Trial *trial, const GError *error)
{
  char seconds[G_ASCII_DTOSTR_BUF_SIZE];

  g_ascii_formatd (seconds, sizeof seconds, "%.6f",
                   (double) (zm_now_us () - trial->began_us) / G_USEC_PER_SEC);
  g_string_append_printf (
      trial->out, "%s\"%s\": {\"succeeded\": %s, \"seconds\": %s, \"ref\": ", trial->step > 0 ? ", " : "",
      steps[trial->step].name, error == NULL ? "true" : "false", seconds);
  if (error != NULL)
    zm_json_append_string (trial->out, zm_span_text (error->message));
  else
    g_string_append (trial->out, "null");
  g_string_append_c (trial->out, '}');
}

/* What later steps need. */
static void
keep (Trial *trial, const ZmQueueAnswer *answer)
{
  for (guint i = 0; i < answer->n_ids && i < 2 && trial->ids[i] == NULL; i++)
    trial->ids[i] = g_strdup (answer->ids[i]);
  if (answer->n_messages > 0 && answer->claim.id[0] != '\0')
    g_strlcpy (trial->claim, answer->claim.id, sizeof trial->claim);
}

static void
on_step (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  Trial *trial = zaqar->more;
  ZmStore *store = zm_http_host (request->http)->store;
  g_autofree char *trouble = NULL;

  report (trial, error);
  if (error == NULL)
    keep (trial, answer);
  if (++trial->step < STEPS) {
    begin (zaqar, trial);
    return;
  }
  trouble = store != NULL ? zm_store_trouble (store) : NULL;
  g_string_append_printf (trial->out, "}, \"storage_reachable\": %s}", trouble == NULL ? "true" : "false");
  zm_request_answer_take (request, 200, "application/json", g_steal_pointer (&trial->out));
}

static void
trial_free (gpointer data)
{
  Trial *trial = data;

  g_free (trial->ids[0]);
  g_free (trial->ids[1]);
  if (trial->out != NULL)
    g_string_free (trial->out, TRUE);
  g_free (trial);
}

void
zm_zaqar_health (ZmRequest *request)
{
  ZmZaqar *zaqar = zm_zaqar_of (request);
  Trial *trial;
  ZmUuidMaker maker;

  if (!zm_config_boolean (zm_request_config (request), "zaqar", "admin_mode")) {
    zm_zaqar_nothing (request);
    return;
  }
  if (zaqar->queues == NULL) {
    zm_request_answer_json (request, 200, "{\"operation_status\": {}, \"storage_reachable\": false}");
    return;
  }
  trial = g_new0 (Trial, 1);
  g_strlcpy (trial->name, "zaqar-health-", sizeof trial->name);
  zm_uuid_maker_init (&maker);
  zm_uuid_make (&maker, zm_wall_us (), trial->name + strlen (trial->name));
  trial->out = g_string_new ("{\"operation_status\": {");
  zaqar->queue.name = zm_span_text (trial->name);
  zaqar->more = trial;
  zaqar->more_free = trial_free;
  begin (zaqar, trial);
}
