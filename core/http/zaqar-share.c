/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pre-signed URLs handed out. */
#include "config.h"

#include "http/zaqar-private.h"
#include "http/zaqar-sign.h"

/* What a holder may do with one, so that nobody hands out more than they have. */
#define SHARED_ROLES (ZM_ROLE_PUBLISH | ZM_ROLE_CONSUME | ZM_ROLE_SUBSCRIBE)

static void
append_list (GString *out, const char *name, char *const *list)
{
  g_string_append_printf (out, "\"%s\": [", name);
  for (guint i = 0; list[i] != NULL; i++) {
    if (i > 0)
      g_string_append (out, ", ");
    zm_json_append_string (out, zm_span_text (list[i]));
  }
  g_string_append (out, "], ");
}

static void
append_text (GString *out, const char *name, const char *text, char behind)
{
  g_string_append_printf (out, "\"%s\": ", name);
  zm_json_append_string (out, zm_span_text (text));
  g_string_append_c (out, behind);
}

static void
answer (ZmRequest *request, const ZmSigned *signed_url, const char *signature)
{
  GString *out = g_string_new ("{");

  append_list (out, "paths", signed_url->paths);
  append_list (out, "methods", signed_url->methods);
  append_text (out, "project", signed_url->project, ',');
  append_text (out, "expires", signed_url->expires, ',');
  append_text (out, "signature", signature, '}');
  zm_request_answer_take (request, 200, "application/json", out);
}

void
zm_zaqar_queue_share (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  const char *key = zm_config_text (zm_request_config (request), "zaqar", "secret_key");
  g_autofree char *base = zm_zaqar_queue_path (zaqar);
  g_auto (ZmSigned) signed_url = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree char *signature = NULL;

  if ((request->roles & ZM_ROLE_ADMIN) == 0 && (request->roles & SHARED_ROLES) != SHARED_ROLES) {
    zm_request_fail (request, 403, "Not authorized", NULL,
                     "You are not authorized to complete this action: sharing needs the roles publish, "
                     "consume and subscribe.");
    return;
  }
  if (!zm_signed_read_share (request->body, base, zm_wall_us () / G_USEC_PER_SEC, &signed_url, &error)) {
    zm_zaqar_fail (request, error, "Queue could not be shared.");
    return;
  }
  if (key == NULL || key[0] == '\0') {
    zm_zaqar_bad_request (request, "There are no pre-signed URLs here: set [zaqar] secret_key.");
    return;
  }
  signed_url.project = g_strdup (zaqar->project);
  signature = zm_signed_signature (&signed_url, key);
  if (signature == NULL)
    zm_zaqar_bad_request (request, "A project with a backslash in its name cannot be shared.");
  else
    answer (request, &signed_url, signature);
}
