/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands that are answered later: what they wait for is in another thread (the store, a plugin), and the main loop goes on. The
 * answer comes from any thread and is sent in the main loop, which alone may use the control socket.
 */
#include "config.h"

#include "runtime/private.h"

#include "runtime/audit.h"
#include "runtime/commands.h"
#include "runtime/later.h"

#include <stdatomic.h>

struct ZmLater {
  ZmRuntime *runtime;
  ZmPeer *peer; /* NULL: nobody waits for the answer */
  ZmAuditPeer who;
  char *request;
  void (*tell) (gboolean ok, const char *reply, gpointer user); /* in place of a peer; or NULL */
  gpointer user;
};

/* A line or the end of one, on its way to the main loop. */
typedef struct Word {
  ZmLater *later;
  gboolean last, ok;
  char *json;
  atomic_bool whole; /* hands the word over: what GLib's locks order, the sanitizer does not see */
} Word;

/* ---- in the runtime's thread ---- */

/* Bounded, as each keeps a peer and a request, and what it waits for may not come for long. */
ZmLater *
zm_command_later (ZmCommandCall *call, GError **error)
{
  if (call->runtime->n_later >= ZM_LATER_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "%d commands wait for their end already; ask again later", ZM_LATER_MOST);
    return NULL;
  }
  call->later = g_new0 (ZmLater, 1);
  call->later->runtime = call->runtime;
  call->runtime->n_later++;
  return call->later;
}

void
zm_later_free (ZmLater *later)
{
  later->runtime->n_later--;
  g_clear_pointer (&later->peer, zm_peer_free);
  g_free (later->request);
  g_free (later);
}

/* An answer that is there already waits in the main context, which is not asked before this has returned. */
void
zm_later_bind (ZmLater *later, const ZmPeer *peer, const ZmAuditPeer *who, ZmSpan request)
{
  later->peer = zm_peer_copy (peer);
  later->who = *who;
  later->request = zm_span_dup (request);
}

void
zm_later_tell (ZmLater *later, const ZmAuditPeer *who, ZmSpan request,
               void (*tell) (gboolean ok, const char *reply, gpointer user), gpointer user)
{
  later->who = *who;
  later->request = zm_span_dup (request);
  later->tell = tell;
  later->user = user;
}

/* Once; later->tell is NULL then. */
static void
tell (ZmLater *later, gboolean ok, const char *json)
{
  void (*func) (gboolean ok, const char *reply, gpointer user) = g_steal_pointer (&later->tell);

  if (func == NULL)
    return;
  zm_audit_command (later->runtime, &later->who, zm_span_text (later->request), ok, json);
  func (ok, json, later->user);
}

/* The control socket is gone where the daemon ends: then nobody is there to be told. */
static gboolean
say (gpointer user)
{
  Word *word = user;
  ZmLater *later;
  ZmControl *control;

  if (!atomic_load (&word->whole))
    return G_SOURCE_REMOVE;
  later = word->later;
  control = later->runtime->control;
  if (word->last)
    tell (later, word->ok, word->json);
  if (control == NULL || later->peer == NULL)
    return G_SOURCE_REMOVE;
  if (!word->last)
    zm_control_send (control, later->peer, "PART", word->json);
  else
    zm_control_end (control, later->peer, &later->who, zm_span_text (later->request), word->ok, word->json);
  return G_SOURCE_REMOVE;
}

/* Called as well where the main loop has ended and the word was never said. */
static void
word_free (gpointer user)
{
  Word *word = user;

  if (!atomic_load (&word->whole))
    return;
  if (word->last && word->later->tell != NULL)
    word->later->tell (word->ok, word->json, word->later->user);
  if (word->last)
    zm_later_free (word->later);
  g_free (word->json);
  g_free (word);
}

/* ---- any thread ---- */

/* Words of one thread are said in their order: sources of one priority are dispatched as they were attached. */
static void
send_word (ZmLater *later, gboolean last, gboolean ok, char *json)
{
  Word *word = g_new (Word, 1);
  GSource *source = g_idle_source_new ();
  GMainContext *context = later->runtime->context;

  word->later = later;
  word->last = last;
  word->ok = ok;
  word->json = json;
  atomic_store (&word->whole, TRUE);
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "later");
  g_source_set_callback (source, say, word, word_free);
  g_source_attach (source, context);
  g_source_unref (source);
}

void
zm_command_progress (ZmLater *later, char *json)
{
  send_word (later, FALSE, TRUE, json);
}

void
zm_command_answer (ZmLater *later, gboolean ok, char *json)
{
  send_word (later, TRUE, ok, json);
}

void
zm_command_answer_error (ZmLater *later, const GError *error)
{
  GString *out = g_string_new (NULL);

  zm_reply_error (out, error, NULL);
  zm_command_answer (later, FALSE, g_string_free (out, FALSE));
}
