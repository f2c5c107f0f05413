/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The set of topic prefixes: a hash table of counted entries, and the sorted list of the lengths that occur. */
#include "config.h"

#include "integration/prefixes.h"

#include "message/zm-key.h"

#include <pthread.h>
#include <string.h>

typedef struct Entry {
  ZmSpan prefix; /* first, so that an entry is its own key; points to text */
  guint holds;   /* drops that take it out; 1 where it was put */
  char text[];   /* with a NUL */
} Entry;

struct ZmPrefixes {
  pthread_mutex_t mutex; /* guards all below; held for a look-up or a change, never over a call outside */
  GHashTable *entries;   /* Entry, owned, its own key */
  guint most;            /* entries */
  guint64 lost;          /* that found no room; never goes down */
  /* How many entries have each length; a longer prefix than any topic cannot match and is never looked up. */
  guint by_length[ZM_KEY_MOST + 1];
  guint16 lengths[ZM_KEY_MOST + 1]; /* those that occur, sorted: what a look-up has to try */
  guint n_lengths;
};

/* The key is the entry itself, whose first member is the prefix. */
static guint
entry_hash (gconstpointer key)
{
  return (guint) zm_span_hash (*(const ZmSpan *) key);
}

static gboolean
entry_equal (gconstpointer a, gconstpointer b)
{
  return zm_span_equal (*(const ZmSpan *) a, *(const ZmSpan *) b);
}

/* Entries own their text in one block with them; the table frees both. */
ZmPrefixes *
zm_prefixes_new (guint most)
{
  ZmPrefixes *prefixes = g_new0 (ZmPrefixes, 1);
  pthread_mutex_init (&prefixes->mutex, NULL);
  prefixes->entries = g_hash_table_new_full (entry_hash, entry_equal, NULL, g_free);
  prefixes->most = most;
  return prefixes;
}

void
zm_prefixes_free (ZmPrefixes *prefixes)
{
  if (prefixes == NULL)
    return;
  g_hash_table_unref (prefixes->entries);
  pthread_mutex_destroy (&prefixes->mutex);
  g_free (prefixes);
}

/* Keeps the list of lengths sorted, so that a look-up can stop at the topic's own length. */
static void
length_used (ZmPrefixes *prefixes, gsize size)
{
  if (prefixes->by_length[size]++ > 0)
    return;
  guint at = prefixes->n_lengths++;
  for (; at > 0 && prefixes->lengths[at - 1] > size; at--)
    prefixes->lengths[at] = prefixes->lengths[at - 1];
  prefixes->lengths[at] = (guint16) size;
}

/* The mirror of length_used; size is in the list. */
static void
length_unused (ZmPrefixes *prefixes, gsize size)
{
  guint at = 0;
  if (--prefixes->by_length[size] > 0)
    return;
  while (prefixes->lengths[at] != size)
    at++;
  prefixes->n_lengths--;
  memmove (prefixes->lengths + at, prefixes->lengths + at + 1,
           (prefixes->n_lengths - at) * sizeof *prefixes->lengths);
}

/* Under the lock. TRUE: it is new. A prefix longer than any topic is no loss: nothing can ever match it. */
static gboolean
add (ZmPrefixes *prefixes, ZmSpan prefix, gboolean counted)
{
  Entry *entry = g_hash_table_lookup (prefixes->entries, &prefix);
  if (entry != NULL) {
    entry->holds += counted;
    return FALSE;
  }
  if (prefix.size > ZM_KEY_MOST)
    return FALSE;
  if (g_hash_table_size (prefixes->entries) >= prefixes->most) {
    prefixes->lost++;
    return FALSE;
  }
  entry = g_malloc (sizeof *entry + prefix.size + 1);
  if (prefix.size > 0)
    memcpy (entry->text, prefix.data, prefix.size);
  entry->text[prefix.size] = '\0';
  entry->prefix = zm_span (entry->text, prefix.size);
  entry->holds = 1;
  g_hash_table_replace (prefixes->entries, &entry->prefix, entry);
  length_used (prefixes, prefix.size);
  return TRUE;
}

/* A set: XPUB tells every subscription, but only the last unsubscription. */
gboolean
zm_prefixes_put (ZmPrefixes *prefixes, ZmSpan prefix)
{
  pthread_mutex_lock (&prefixes->mutex);
  gboolean is_new = add (prefixes, prefix, FALSE);
  pthread_mutex_unlock (&prefixes->mutex);
  return is_new;
}

/* Counted: several services may ask for the same topics, and each takes back its own. */
gboolean
zm_prefixes_hold (ZmPrefixes *prefixes, ZmSpan prefix)
{
  pthread_mutex_lock (&prefixes->mutex);
  gboolean is_new = add (prefixes, prefix, TRUE);
  pthread_mutex_unlock (&prefixes->mutex);
  return is_new;
}

/* Of a prefix that was not stored (over the bound, or too long) nothing happens: lost is not counted down, as
 * nobody knows how often that one came. */
gboolean
zm_prefixes_drop (ZmPrefixes *prefixes, ZmSpan prefix)
{
  gboolean gone = FALSE;
  pthread_mutex_lock (&prefixes->mutex);
  Entry *entry = g_hash_table_lookup (prefixes->entries, &prefix);
  if (entry != NULL && --entry->holds == 0) {
    length_unused (prefixes, prefix.size);
    g_hash_table_remove (prefixes->entries, &prefix);
    gone = TRUE;
  }
  pthread_mutex_unlock (&prefixes->mutex);
  return gone;
}

/* Shortest first: the common subscription to everything is found at once. */
gboolean
zm_prefixes_match (ZmPrefixes *prefixes, ZmSpan text)
{
  pthread_mutex_lock (&prefixes->mutex);
  gboolean found = prefixes->lost > 0;
  for (guint i = 0; !found && i < prefixes->n_lengths && prefixes->lengths[i] <= text.size; i++) {
    ZmSpan head = zm_span (text.data, prefixes->lengths[i]);
    found = g_hash_table_contains (prefixes->entries, &head);
  }
  pthread_mutex_unlock (&prefixes->mutex);
  return found;
}

gboolean
zm_prefixes_has (ZmPrefixes *prefixes, ZmSpan prefix)
{
  pthread_mutex_lock (&prefixes->mutex);
  gboolean found = g_hash_table_contains (prefixes->entries, &prefix);
  pthread_mutex_unlock (&prefixes->mutex);
  return found;
}

guint
zm_prefixes_count (ZmPrefixes *prefixes)
{
  pthread_mutex_lock (&prefixes->mutex);
  guint count = g_hash_table_size (prefixes->entries);
  pthread_mutex_unlock (&prefixes->mutex);
  return count;
}

guint64
zm_prefixes_lost (ZmPrefixes *prefixes)
{
  pthread_mutex_lock (&prefixes->mutex);
  guint64 lost = prefixes->lost;
  pthread_mutex_unlock (&prefixes->mutex);
  return lost;
}
