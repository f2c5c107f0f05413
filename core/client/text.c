/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts of the client: growing buffers, topics made of keys, and the little JSON that HELLO needs. */
#include "config.h"

#include "client/client-private.h"

#include <stdlib.h>
#include <string.h>

/* ---- buffers ---- */

/* Always with a NUL behind, which size does not count. Room doubles, so that many small appends cost no more than
 * one. */
void
zmc_append (zmc_buffer *buffer, const void *data, size_t size)
{
  if (!buffer->failed && buffer->room - buffer->size < size + 1) {
    size_t room = (buffer->size + size + 1) * 2;
    char *grown = realloc (buffer->data, room);
    if (grown != NULL) {
      buffer->data = grown;
      buffer->room = room;
    }
    buffer->failed = grown == NULL;
  }
  if (buffer->failed)
    return;
  if (size > 0)
    memcpy (buffer->data + buffer->size, data, size);
  buffer->size += size;
  buffer->data[buffer->size] = '\0';
}

void
zmc_append_text (zmc_buffer *buffer, const char *text)
{
  zmc_append (buffer, text, strlen (text));
}

void
zmc_append_u32 (zmc_buffer *buffer, uint32_t value)
{
  unsigned char bytes[4] = { (unsigned char) (value >> 24), (unsigned char) (value >> 16),
                             (unsigned char) (value >> 8), (unsigned char) value };
  zmc_append (buffer, bytes, sizeof bytes);
}

/* Control bytes as \u00XX, everything else as it is: the daemon says where it is no UTF-8. */
void
zmc_append_json (zmc_buffer *buffer, const char *text)
{
  static const char hex[] = "0123456789abcdef";
  zmc_append (buffer, "\"", 1);
  for (; *text != '\0'; text++) {
    unsigned char byte = (unsigned char) *text;
    char escaped[6] = { '\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15] };
    if (byte == '"' || byte == '\\')
      zmc_append (buffer, "\\", 1);
    if (byte < ' ')
      zmc_append (buffer, escaped, sizeof escaped);
    else
      zmc_append (buffer, text, 1);
  }
  zmc_append (buffer, "\"", 1);
}

void
zmc_buffer_clear (zmc_buffer *buffer)
{
  free (buffer->data);
  memset (buffer, 0, sizeof *buffer);
}

/* ---- keys ---- */

enum { SENDER, CONTEXT, DECORATOR, ACTION, N_PARTS };

typedef struct {
  const char *text;
  size_t size;
} part;

/* "Sender?Context@Decorator?Action" cut at its marks; the daemon checks the characters. */
static int
cut_key (const char *key, part parts[N_PARTS])
{
  const char *first = strchr (key, '?');
  const char *second = first != NULL ? strchr (first + 1, '?') : NULL;
  if (second == NULL || strpbrk (key, "~ \t\r\n") != NULL || strchr (second + 1, '?') != NULL)
    return -1;
  const char *at = memchr (first, '@', (size_t) (second - first));
  const char *context_end = at != NULL ? at : second;
  const char *decorator = at != NULL ? at + 1 : second;
  parts[SENDER] = (part){ key, (size_t) (first - key) };
  parts[CONTEXT] = (part){ first + 1, (size_t) (context_end - first - 1) };
  parts[DECORATOR] = (part){ decorator, (size_t) (second - decorator) };
  parts[ACTION] = (part){ second + 1, strlen (second + 1) };
  for (int i = 0; i < N_PARTS; i++)
    if (parts[i].size > ZMC_PART_MOST)
      return -1;
  return 0;
}

/* Parts stand in a topic in another order than in a key. as_prefix: an empty part at the end is any. */
int
zmc_append_topic (zm_client *client, zmc_buffer *buffer, const char *flow, const char *key, int as_prefix)
{
  static const int order[] = { DECORATOR, SENDER, CONTEXT, ACTION };
  part parts[N_PARTS];
  if (flow == NULL)
    flow = "";
  if (key == NULL || cut_key (key, parts) != 0)
    return zmc_fail (client, ZM_CLIENT_E_INVALID, "key \"%.200s\": not Sender?Context@Decorator?Action",
                     key != NULL ? key : "(none)");
  if (strlen (flow) > ZMC_PART_MOST || strpbrk (flow, "~? \t\r\n") != NULL)
    return zmc_fail (client, ZM_CLIENT_E_INVALID, "flow \"%.200s\": not a name", flow);
  int last = 4;
  if (as_prefix)
    while (last > 0 && parts[order[last - 1]].size == 0)
      last--;
  if (as_prefix && last == 0 && *flow == '\0')
    return ZM_CLIENT_OK;
  zmc_append_text (buffer, flow);
  zmc_append (buffer, "~", 1);
  for (int i = 0; i < last; i++) {
    zmc_append (buffer, parts[order[i]].text, parts[order[i]].size);
    zmc_append (buffer, "~", 1);
  }
  return buffer->failed ? zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory") : ZM_CLIENT_OK;
}

/* ---- JSON of the daemon: trusted to be valid, read without trusting it ---- */

static const char *
skip_space (const char *at)
{
  return at + strspn (at, " \t\r\n");
}

/* Behind a string that begins at `at`; NULL where it does not end. */
static const char *
skip_string (const char *at)
{
  for (at++; *at != '\0' && *at != '"'; at++)
    if (*at == '\\' && at[1] != '\0')
      at++;
  return *at == '"' ? at + 1 : NULL;
}

/* Behind any value: brackets are counted, strings stepped over. */
static const char *
skip_value (const char *at)
{
  int depth = 0;
  do {
    at = skip_space (at);
    if (*at == '\0')
      return NULL;
    if (*at == '"') {
      at = skip_string (at);
      if (at == NULL)
        return NULL;
    } else if (strchr ("[{", *at) != NULL) {
      depth++;
      at++;
    } else if (strchr ("]}", *at) != NULL) {
      depth--;
      at++;
    } else {
      at += strchr (",:", *at) != NULL ? 1 : strcspn (at, ",:[]{}\" \t\r\n");
    }
  } while (depth > 0);
  return at;
}

/* The value of a top-level member; NULL. */
static const char *
find_member (const char *json, const char *name)
{
  const char *at = skip_space (json);
  size_t size = strlen (name);
  if (*at != '{')
    return NULL;
  at = skip_space (at + 1);
  while (*at == '"') {
    const char *label = at + 1;
    const char *end = skip_string (at);
    if (end == NULL || *(at = skip_space (end)) != ':')
      return NULL;
    at = skip_space (at + 1);
    if ((size_t) (end - 1 - label) == size && memcmp (label, name, size) == 0)
      return at;
    at = skip_value (at);
    if (at == NULL || *(at = skip_space (at)) != ',')
      return NULL;
    at = skip_space (at + 1);
  }
  return NULL;
}

/* As UTF-8. */
static void
append_code_point (zmc_buffer *out, unsigned code)
{
  char bytes[3];
  if (code < 0x80) {
    bytes[0] = (char) code;
    zmc_append (out, bytes, 1);
  } else if (code < 0x800) {
    bytes[0] = (char) (0xc0 | code >> 6);
    bytes[1] = (char) (0x80 | (code & 0x3f));
    zmc_append (out, bytes, 2);
  } else {
    bytes[0] = (char) (0xe0 | code >> 12);
    bytes[1] = (char) (0x80 | (code >> 6 & 0x3f));
    bytes[2] = (char) (0x80 | (code & 0x3f));
    zmc_append (out, bytes, 3);
  }
}

/* One escape at `at` (its backslash); behind it. Names have no characters beyond the basic plane's escapes. */
static const char *
unescape (zmc_buffer *out, const char *at)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *found = strchr (from, at[1]);
  if (at[1] == 'u') {
    char digits[5] = "";
    strncat (digits, at + 2, 4);
    append_code_point (out, (unsigned) strtoul (digits, NULL, 16));
    return at + 2 + strlen (digits);
  }
  if (found != NULL)
    zmc_append (out, to + (found - from), 1);
  return at + 2;
}

/* The string at `at`, unescaped; *end: behind it. NULL. */
static char *
read_string (const char *at, const char **end)
{
  zmc_buffer out = { 0 };
  *end = *at == '"' ? skip_string (at) : NULL;
  if (*end == NULL)
    return NULL;
  zmc_append (&out, "", 0);
  for (at++; at < *end - 1;) {
    size_t plain = strcspn (at, "\"\\");
    zmc_append (&out, at, plain);
    at += plain;
    if (*at == '\\')
      at = unescape (&out, at);
  }
  if (out.failed)
    zmc_buffer_clear (&out);
  return out.data;
}

/* No tree, no dependency: the daemon's answers have a handful of members. */
char *
zmc_json_text (const char *json, const char *name)
{
  const char *end, *at = find_member (json, name);
  return at != NULL ? read_string (at, &end) : NULL;
}

static int
list_add (zmc_list *list, char *text)
{
  char **items = realloc (list->items, (list->n + 1) * sizeof *items);
  if (items == NULL) {
    free (text);
    return ZM_CLIENT_E_MEMORY;
  }
  list->items = items;
  items[list->n++] = text;
  return ZM_CLIENT_OK;
}

/* What is no array of strings is refused as a whole; list may hold some then, for the caller to clear. */
int
zmc_json_list (const char *json, const char *name, zmc_list *list)
{
  const char *at = find_member (json, name);
  if (at == NULL || *at != '[')
    return ZM_CLIENT_E_INVALID;
  at = skip_space (at + 1);
  while (*at == '"') {
    char *text = read_string (at, &at);
    if (text == NULL || list_add (list, text) != ZM_CLIENT_OK)
      return ZM_CLIENT_E_INVALID;
    at = skip_space (at);
    if (*at == ',')
      at = skip_space (at + 1);
  }
  return *at == ']' ? ZM_CLIENT_OK : ZM_CLIENT_E_INVALID;
}

void
zmc_list_clear (zmc_list *list)
{
  for (size_t i = 0; i < list->n; i++)
    free (list->items[i]);
  free (list->items);
  memset (list, 0, sizeof *list);
}
