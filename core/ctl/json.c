/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a daemon's JSON, where a member may be missing or be of another type than expected.
 *
 * json-glib's own getters complain on the standard error, or worse, where a type does not fit. A daemon of another version, or
 * one that is no daemon, must not be able to do that to the client; so every look goes through these functions, which give NULL
 * or 0 instead. A test feeds nonsense to every command.
 */
#include "config.h"

#include "ctl/ctl.h"

/* object may be NULL, so that members of members can be asked for without a look in between. */
static JsonNode *
member (JsonObject *object, const char *name)
{
  return object != NULL ? json_object_get_member (object, name) : NULL;
}

/* Texts of the daemon or its peers: not yet safe for a terminal. */
const char *
zm_json_get_text (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name);

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  return json_node_get_string (node);
}

gint64
zm_json_get_int (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_int (node) : 0;
}

/* Borrowed: valid as long as the outer object. */
JsonObject *
zm_json_get_object (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* Borrowed: valid as long as the outer object. */
JsonArray *
zm_json_get_array (JsonObject *object, const char *name)
{
  JsonNode *node = member (object, name);

  return node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

/* NULL for an element of another type, which is then passed over like a missing one. */
JsonObject *
zm_json_nth_object (JsonArray *array, guint index)
{
  JsonNode *node = json_array_get_element (array, index);

  return JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* As zm_json_nth_object, for text. */
const char *
zm_json_nth_text (JsonArray *array, guint index)
{
  JsonNode *node = json_array_get_element (array, index);

  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  return json_node_get_string (node);
}

/* The whole text has to be one JSON value; the caller frees the node. */
JsonNode *
zm_json_read (ZmSpan text)
{
  g_autoptr (JsonParser) parser = json_parser_new ();

  /* json-glib takes more than JSON is; the strict check goes first, and bounds the depth. */
  if (text.size == 0 || !zm_json_valid (text) ||
      !json_parser_load_from_data (parser, text.data, (gssize) text.size, NULL))
    return NULL;
  return json_parser_steal_root (parser);
}

/* In this order: a JSON value, text, bytes. Text with a NUL in it goes as bytes, since JSON's readers in C would end
 * there. */
void
zm_json_set_body (JsonObject *object, ZmSpan body)
{
  g_autofree char *copy = NULL;
  JsonNode *value = zm_json_read (body);

  if (value != NULL) {
    json_object_set_member (object, "body", value);
    return;
  }
  if (body.size == 0 ||
      (g_utf8_validate_len (body.data, body.size, NULL) && memchr (body.data, 0, body.size) == NULL)) {
    copy = zm_span_dup (body);
    json_object_set_string_member (object, "body", copy);
    return;
  }
  copy = g_base64_encode ((const guchar *) body.data, body.size);
  json_object_set_string_member (object, "base64", copy);
}

/* The same body is the answer of a call, a publication and the end of a trace, so all of them say it alike. */
char *
zm_json_error_text (ZmSpan text)
{
  g_autoptr (JsonNode) node = zm_json_read (text);
  JsonObject *object = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  const char *code = zm_json_get_text (object, "code"), *said = zm_json_get_text (object, "text");
  g_autofree char *both = code != NULL && said != NULL ? g_strdup_printf ("%s: %s", code, said) : NULL;

  return both != NULL ? zm_printable (zm_span_text (both), 4096) : NULL;
}
