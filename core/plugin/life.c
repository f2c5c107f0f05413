/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a generation: open, init, start, stop, and the end, in this order and each at most once but for stop and start
 * of an EXCLUSIVE one. All of it runs the plugin's code, so all of it is called in a guard (guard.c), never in the runtime's
 * own thread.
 */
#include "config.h"

#include "plugin/zm-event.h"
#include "plugin/zm-plugin-private.h"

/* The code of a status in a sentence. */
static gboolean
status_error (const char *what, int status, GError **error)
{
  g_autofree char *name = zm_status_text (status);

  g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "its %s failed with %s", what, name);
  return FALSE;
}

/* The constructors run here, then the query function. Adopting the descriptor is what fills in the actions; until then
 * nobody can find one. */
gboolean
zm_generation_open (ZmGeneration *generation, GError **error)
{
  zm_plugin_query_fn query;

  if (generation->carrier != NULL)
    return zm_carried_open (generation, error);
  if (!zm_library_open (&generation->library, error))
    return FALSE;
  query = (zm_plugin_query_fn) zm_library_symbol (&generation->library, ZM_PLUGIN_QUERY_SYMBOL, error);
  if (query == NULL || !zm_descriptor_adopt (generation, query (&generation->host), error))
    return FALSE;
  if (generation->stays == NULL)
    generation->stays = zm_library_stays (&generation->library);
  if (generation->stays != NULL)
    generation->flags |= ZM_PLUGIN_RESIDENT;
  return TRUE;
}

/* Remembers that fini is owed: only what init gave back can be handed to it. */
gboolean
zm_generation_init (ZmGeneration *generation, GError **error)
{
  int status = ZM_OK;

  if (generation->carrier != NULL) {
    generation->initialised = generation->carrier->init (generation->carried, error);
    return generation->initialised;
  }
  if (generation->descriptor.init != NULL)
    status = generation->descriptor.init (&generation->host, &generation->state);
  if (status != ZM_OK)
    return status_error ("init", status, error);
  generation->initialised = TRUE;
  return TRUE;
}

/* An EXCLUSIVE plugin comes here again after its successor failed, so that its threads may start once more. */
gboolean
zm_generation_start (ZmGeneration *generation, GError **error)
{
  int status = ZM_OK;

  if (generation->carrier != NULL) {
    generation->started = generation->carrier->start (generation->carried, error);
    return generation->started;
  }
  zm_threads_reopen (generation->threads);
  if (generation->descriptor.start != NULL)
    status = generation->descriptor.start (generation->state);
  if (status != ZM_OK)
    return status_error ("start", status, error);
  generation->started = TRUE;
  return TRUE;
}

/* The plugin's own stop first, which ends what it waits for; then its threads are woken and joined with what is left of
 * the deadline, at least 100 ms. */
gboolean
zm_generation_stop (ZmGeneration *generation, guint deadline_ms)
{
  gint64 until_us = zm_now_us () + (gint64) deadline_ms * 1000;
  gint64 left_ms;

  /* Also one that never started: its init may have left threads there. */
  if (generation->carrier != NULL) {
    generation->started = FALSE;
    return generation->carried == NULL || generation->carrier->stop (generation->carried, deadline_ms);
  }
  if (generation->started && generation->descriptor.stop != NULL)
    generation->descriptor.stop (generation->state, deadline_ms);
  generation->started = FALSE;
  left_ms = (until_us - zm_now_us ()) / 1000;
  return zm_threads_stop (generation->threads, (guint) MAX (left_ms, 100));
}

/* A thread that its maker has joined is still listed for an instant. */
static char *
wait_for_strays (const ZmGeneration *generation)
{
  char *strays = zm_threads_strays (generation->mark);

  for (guint tries = 0; strays != NULL && tries < 20; tries++) {
    g_free (strays);
    g_usleep (5000);
    strays = zm_threads_strays (generation->mark);
  }
  return strays;
}

/* fini and dlclose, of a library in this process. */
static void
close_library (ZmGeneration *generation, char **kept)
{
  g_autofree char *strays = NULL;

  if (generation->initialised && generation->descriptor.fini != NULL)
    generation->descriptor.fini (generation->state);
  generation->initialised = FALSE;
  strays = wait_for_strays (generation);
  if (strays != NULL)
    *kept = g_strdup_printf ("thread %s, which it started behind the host's back", strays);
  else if (!generation->no_dlclose && !(generation->flags & ZM_PLUGIN_RESIDENT))
    zm_library_close (&generation->library);
}

/* dlclose under a running thread would take the code from under it, so one that was started behind the host's back
 * keeps the library for good. A RESIDENT one is never closed: its code is registered elsewhere in the process. */
void
zm_generation_finalise (ZmGeneration *generation, char **kept)
{
  *kept = NULL;
  if (generation->attachment_free != NULL)
    generation->attachment_free (generation->attachment);
  generation->attachment_free = NULL;
  if (generation->carrier != NULL)
    zm_carried_close (generation, kept);
  else
    close_library (generation, kept);
  if (*kept == NULL)
    zm_generation_free (generation);
}
