/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link-status: keeps the state of every network link that it is told of, for example by the source netlink. Any sender
 * will do whose body is a JSON object with the string "interface", and where known "state" and "time".
 *
 *   link-status.on_link_up     the link is up
 *   link-status.on_link_down   the link is down; a flap, where it was up
 *   link-status.on_change      a link that was not known is as "state" says, up or down; removed: it is forgotten. What is
 *                              known of a link changes by the other two only, in whatever order events come
 *       Each of these gives {"interface", "state", "was", "flaps", "since"}.
 *   link-status.get            all links as a JSON array; one as an object where the body is {"interface": "eth0"}
 *
 * Metrics   links_known, links_up (gauges), flaps (counter)
 * Options   none; at most 1024 links are kept
 * Example   actions.d/links.ini:   [actionmapping]
 *                                  ?Link?Down = link-status.on_link_down
 * Threads   none; one call at a time (SERIAL), so the state needs no lock
 */
#include <zmanager/plugin.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define LINKS_MOST 1024
/* A name has at most 15 bytes, each of which JSON may spell as \u00XX. */
#define NAME_SIZE  96
#define STATE_SIZE 16
/* More than one link takes in the answer of get. */
#define TEXT_SIZE 320

/* All text here is as it stands between the quotes of JSON, so that it can be written out again as it is. */
struct link {
  char name[NAME_SIZE];
  char state[STATE_SIZE];
  char since[40];
  unsigned flaps;
};

struct links {
  unsigned count;
  struct link all[LINKS_MOST];
};

/* ---- reading: a string member of a JSON object, found without building a tree */

/* Do four hex digits follow text[at], which is the u of an escape? */
static int
four_digits (const char *text, size_t size, size_t at)
{
  if (size - at <= 4)
    return 0;
  for (int i = 1; i <= 4; i++)
    if (!isxdigit ((unsigned char) text[at + i]))
      return 0;
  return 1;
}

/* The end of the string that begins at text[at], which is the quote; 0 where there is no good end. */
static size_t
string_end (const char *text, size_t size, size_t at)
{
  for (at++; at < size && (unsigned char) text[at] >= 0x20; at++) {
    if (text[at] == '"')
      return at;
    if (text[at] == '\\' && (++at == size || !strchr ("\"\\/bfnrtu", text[at]) || text[at] == '\0' ||
                             (text[at] == 'u' && !four_digits (text, size, at))))
      return 0;
  }
  return 0;
}

static size_t
skip_blanks (const char *text, size_t size, size_t at)
{
  while (at < size && text[at] != '\0' && strchr (" \t\r\n", text[at]))
    at++;
  return at;
}

/* Copies what stands between the quotes of text[at]; 0 where that is no string or does not fit. */
static int
copy_string (const char *text, size_t size, size_t at, char *out, size_t room)
{
  size_t end = at < size && text[at] == '"' ? string_end (text, size, at) : 0;

  if (end == 0 || end - at > room)
    return 0;
  memcpy (out, text + at + 1, end - at - 1);
  out[end - at - 1] = '\0';
  return 1;
}

/* Looks for "name": "…" in the outermost object. */
static int
member (const zm_call *call, const char *name, char *out, size_t room)
{
  const char *text = call->body;
  size_t size = call->body_size, length = strlen (name), end;
  int depth = 0;

  for (size_t at = 0; at < size; at++) {
    if (text[at] == '{' || text[at] == '[') {
      depth++;
    } else if (text[at] == '}' || text[at] == ']') {
      depth--;
    } else if (text[at] == '"') {
      size_t begin = at + 1, colon;

      if ((end = string_end (text, size, at)) == 0)
        return 0;
      colon = skip_blanks (text, size, end + 1);
      if (depth == 1 && end - begin == length && memcmp (text + begin, name, length) == 0 && colon < size &&
          text[colon] == ':')
        return copy_string (text, size, skip_blanks (text, size, colon + 1), out, room);
      at = end;
    }
  }
  return 0;
}

/* ---- the links */

static struct link *
find (struct links *links, const char *name)
{
  for (unsigned i = 0; i < links->count; i++)
    if (strcmp (links->all[i].name, name) == 0)
      return &links->all[i];
  return NULL;
}

static struct link *
find_or_add (struct links *links, const char *name)
{
  struct link *link = find (links, name);

  if (link || links->count == LINKS_MOST)
    return link;
  link = &links->all[links->count++];
  memset (link, 0, sizeof *link);
  snprintf (link->name, sizeof link->name, "%s", name);
  snprintf (link->state, sizeof link->state, "unknown");
  return link;
}

static void
count_up (const zm_call *call, const struct links *links)
{
  unsigned up = 0;

  for (unsigned i = 0; i < links->count; i++)
    up += strcmp (links->all[i].state, "up") == 0;
  zm_metric (call->host, ZM_METRIC_GAUGE, "links_known", links->count);
  zm_metric (call->host, ZM_METRIC_GAUGE, "links_up", up);
}

static int
answer (zm_call *call, const struct link *link, const char *was)
{
  char text[TEXT_SIZE];

  snprintf (text, sizeof text,
            "{\"interface\": \"%s\", \"state\": \"%s\", \"was\": \"%s\", \"flaps\": %u, \"since\": \"%s\"}",
            link->name, link->state, was, link->flaps, link->since);
  return zm_reply_json (call, text);
}

/* Takes the new state over and answers with it; only_new: not if the link is known. */
static int
change (zm_call *call, const char *state, int only_new)
{
  struct links *links = call->state;
  char name[NAME_SIZE], was[STATE_SIZE];
  struct link *link;

  if (!member (call, "interface", name, sizeof name))
    return zm_fail (call, "invalid",
                    "the body is no JSON object with a string \"interface\" of at most 15 characters");
  if (!(link = find_or_add (links, name)))
    return zm_fail (call, "full", "1024 links are known already; this one is not kept");
  memcpy (was, link->state, sizeof was);
  if (strcmp (was, state) == 0 || (only_new && strcmp (was, "unknown") != 0))
    return answer (call, link, was);
  if (!member (call, "time", link->since, sizeof link->since))
    link->since[0] = '\0';
  snprintf (link->state, sizeof link->state, "%s", state);
  if (strcmp (was, "up") == 0 && strcmp (state, "down") == 0) {
    link->flaps++;
    zm_metric (call->host, ZM_METRIC_COUNTER, "flaps", 1);
  }
  count_up (call, links);
  return answer (call, link, was);
}

/* The last word about a link. */
static int
forget (zm_call *call)
{
  struct links *links = call->state;
  char name[NAME_SIZE];
  struct link *link = member (call, "interface", name, sizeof name) ? find (links, name) : NULL;
  struct link gone;
  char was[STATE_SIZE];

  if (!link)
    return zm_fail (call, "not-found", "no event of this link has come");
  gone = *link;
  *link = links->all[--links->count];
  count_up (call, links);
  memcpy (was, gone.state, sizeof was);
  snprintf (gone.state, sizeof gone.state, "removed");
  if (!member (call, "time", gone.since, sizeof gone.since))
    gone.since[0] = '\0';
  return answer (call, &gone, was);
}

ZM_ACTION (on_link_up)
{
  return change (call, "up", 0);
}

ZM_ACTION (on_link_down)
{
  return change (call, "down", 0);
}

ZM_ACTION (on_change)
{
  char state[STATE_SIZE];

  if (!member (call, "state", state, sizeof state))
    return zm_fail (call, "invalid", "the body has no \"state\"");
  if (strcmp (state, "removed") == 0)
    return forget (call);
  if (strcmp (state, "up") != 0 && strcmp (state, "down") != 0)
    return zm_fail (call, "invalid", "\"state\" is none of up, down, removed");
  return change (call, state, 1);
}

/* ---- asking */

static int
describe (const struct link *link, char *text, size_t size)
{
  return snprintf (text, size, "{\"interface\": \"%s\", \"state\": \"%s\", \"flaps\": %u, \"since\": \"%s\"}",
                   link->name, link->state, link->flaps, link->since);
}

static void
release (void *data, __attribute__ ((unused)) void *hint)
{
  free (data);
}

static int
get_all (zm_call *call, const struct links *links)
{
  char *text = malloc (TEXT_SIZE * ((size_t) links->count + 1));
  size_t length = 0;

  if (!text)
    return zm_fail (call, "failed", "no memory for the answer");
  text[length++] = '[';
  for (unsigned i = 0; i < links->count; i++) {
    if (i > 0)
      length += (size_t) sprintf (text + length, ", ");
    length += (size_t) describe (&links->all[i], text + length, TEXT_SIZE - 4);
  }
  text[length++] = ']';
  /* Given away, not copied: the host calls release when nobody needs it any more. */
  return zm_reply_take (call, text, length, release, NULL, "application/json");
}

ZM_ACTION (get)
{
  char name[NAME_SIZE], text[TEXT_SIZE];
  const struct link *link;

  if (!member (call, "interface", name, sizeof name))
    return get_all (call, call->state);
  if (!(link = find (call->state, name)))
    return zm_fail (call, "not-found", "no event of this link has come");
  describe (link, text, sizeof text);
  return zm_reply_json (call, text);
}

/* ---- the plugin */

static int
init (__attribute__ ((unused)) const zm_host *host, void **state)
{
  *state = calloc (1, sizeof (struct links));
  return *state ? ZM_OK : ZM_E_MEMORY;
}

static const zm_action_desc actions[] = {
  { "on_link_up", on_link_up, ZM_ACTION_SERIAL, "The link of the body is up" },
  { "on_link_down", on_link_down, ZM_ACTION_SERIAL, "The link of the body is down" },
  { "on_change", on_change, ZM_ACTION_SERIAL, "The link of the body is as it says" },
  { "get", get, ZM_ACTION_SERIAL, "One link or all, as JSON" },
  { NULL, NULL, 0, NULL },
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "link-status",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Keeps the state of network links",
  .actions = actions,
  .init = init,
  .fini = free,
};

ZM_PLUGIN_FULL ("link-status", "1.0", "LGPL-2.1-or-later", "Keeps the state of network links",
                "kind=component\n", &descriptor);
