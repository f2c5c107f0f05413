/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manifest: key=value lines in the notes that ZM_PLUGIN and ZM_ACTION leave, made into a ZmManifest. One note of the
 * first kind tells about the plugin, each of the second kind about one action.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_TEXT    (64u * 1024) /* bytes of all our notes together */
#define MOST_ACTIONS 1024
#define MOST_SYMBOL  200

/* What grows while notes are read. */
typedef struct Reader {
  ZmManifest *manifest;
  gboolean seen_manifest;
  gsize text_size;
  GPtrArray *actions, *unknown;
  GArray *threadsafe;
  GHashTable *names; /* of actions; borrowed */
} Reader;

void
zm_manifest_free (ZmManifest *manifest)
{
  if (manifest == NULL)
    return;
  g_free (manifest->name);
  g_free (manifest->version);
  g_free (manifest->licence);
  g_free (manifest->summary);
  g_free (manifest->kind);
  g_strfreev (manifest->depends);
  g_strfreev (manifest->schemes);
  g_strfreev (manifest->actions);
  g_free (manifest->threadsafe);
  g_free (manifest->isolation);
  g_free (manifest->build_id);
  g_strfreev (manifest->unknown);
  g_free (manifest);
}

/* Would a call of that name inside a plugin reach libc instead? libc comes before the plugin in the search order. */
static gboolean
libc_exports (const char *name)
{
  void *libc = dlopen ("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  gboolean found = dlsym (libc != NULL ? libc : RTLD_DEFAULT, name) != NULL;

  if (libc != NULL)
    dlclose (libc);
  return found;
}

static gboolean
is_identifier (const char *name)
{
  if (!g_ascii_isalpha (name[0]) && name[0] != '_')
    return FALSE;
  for (const char *c = name; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && *c != '_')
      return FALSE;
  return strlen (name) <= MOST_SYMBOL;
}

gboolean
zm_manifest_check_action (const char *name, GError **error)
{
  g_autofree char *shown = zm_printable (zm_span_text (name), MOST_SYMBOL);

  if (!is_identifier (name))
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "its note names the action '%s', which is not a C identifier", shown);
  else if (g_str_has_prefix (name, "zm_plugin_") || strcmp (name, "_init") == 0 ||
           strcmp (name, "_fini") == 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "its action '%s' has a reserved name; rename it", shown);
  else if (libc_exports (name))
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "its action '%s' is named like a function of libc, which a call inside the plugin would "
                 "reach instead; "
                 "rename it",
                 shown);
  else
    return TRUE;
  return FALSE;
}

static gboolean
bad_line (ZmSpan line, const char *why, GError **error)
{
  g_autofree char *shown = zm_printable (line, 80);

  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "its note has a bad line '%s': %s", shown, why);
  return FALSE;
}

/* Lists in a note are words with blanks or commas between them. */
static char **
split_words (const char *value)
{
  g_auto (GStrv) parts = g_strsplit_set (value, " ,\t", -1);
  GPtrArray *words = g_ptr_array_new ();

  for (char **part = parts; *part != NULL; part++)
    if (**part != '\0')
      g_ptr_array_add (words, g_strdup (*part));
  g_ptr_array_add (words, NULL);
  return (char **) g_ptr_array_free (words, FALSE);
}

/* Sets a field once; FALSE: it was set before. */
static gboolean
set_text (char **field, const char *value)
{
  if (*field != NULL)
    return FALSE;
  *field = g_strdup (value);
  return TRUE;
}

static gboolean
set_words (char ***field, const char *value)
{
  if (*field != NULL)
    return FALSE;
  *field = split_words (value);
  return TRUE;
}

/* Each key once: with two there would be no telling which one the author meant. Unknown ones are kept, as a later
 * version may know them. */
static gboolean
manifest_line (Reader *reader, ZmSpan line, const char *key, const char *value, GError **error)
{
  ZmManifest *manifest = reader->manifest;
  const struct {
    const char *key;
    char **text;
    char ***words;
  } fields[] = { { "name", &manifest->name, NULL },       { "version", &manifest->version, NULL },
                 { "licence", &manifest->licence, NULL }, { "summary", &manifest->summary, NULL },
                 { "kind", &manifest->kind, NULL },       { "isolation", &manifest->isolation, NULL },
                 { "depends", NULL, &manifest->depends }, { "schemes", NULL, &manifest->schemes } };

  ZmIsolation isolation;

  if (strcmp (key, "isolation") == 0 && !zm_isolation_parse (value, &isolation))
    return bad_line (line, "isolation is thread, process or private", error);
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++) {
    if (strcmp (fields[i].key, key) != 0)
      continue;
    if (fields[i].text != NULL ? set_text (fields[i].text, value) : set_words (fields[i].words, value))
      return TRUE;
    return bad_line (line, "the key stands twice", error);
  }
  g_ptr_array_add (reader->unknown, g_strdup_printf ("%s=%s", key, value));
  return TRUE;
}

/* A table of names beside the list: a hostile note may hold a thousand actions, and comparing each with all takes long. */
static gboolean
add_action (Reader *reader, ZmSpan line, const char *name, GError **error)
{
  gboolean no = FALSE;

  if (!zm_manifest_check_action (name, error))
    return FALSE;
  if (g_hash_table_contains (reader->names, name))
    return bad_line (line, "this action is named twice", error);
  if (reader->actions->len == MOST_ACTIONS)
    return bad_line (line, "more than 1024 actions", error);
  g_ptr_array_add (reader->actions, g_strdup (name));
  g_hash_table_add (reader->names, g_ptr_array_index (reader->actions, reader->actions->len - 1));
  g_array_append_val (reader->threadsafe, no);
  return TRUE;
}

/* flags= belongs to the action= above it, as the macros write them in this order. */
static gboolean
action_line (Reader *reader, ZmSpan line, const char *key, const char *value, GError **error)
{
  if (strcmp (key, "action") == 0)
    return add_action (reader, line, value, error);
  if (strcmp (key, "flags") == 0) {
    g_auto (GStrv) flags = split_words (value);

    if (reader->threadsafe->len == 0)
      return bad_line (line, "flags without an action before it", error);
    if (g_strv_contains ((const char *const *) flags, "threadsafe"))
      g_array_index (reader->threadsafe, gboolean, reader->threadsafe->len - 1) = TRUE;
    return TRUE;
  }
  g_ptr_array_add (reader->unknown, g_strdup_printf ("%s=%s", key, value));
  return TRUE;
}

/* No control bytes, so that a text of the note can be shown anywhere. */
static gboolean
read_line (Reader *reader, guint32 type, ZmSpan line, GError **error)
{
  const char *equals = memchr (line.data, '=', line.size);
  g_autofree char *key = NULL;
  g_autofree char *value = NULL;

  for (gsize i = 0; i < line.size; i++)
    if (g_ascii_iscntrl (line.data[i]))
      return bad_line (line, "a control character", error);
  if (!g_utf8_validate (line.data, (gssize) line.size, NULL))
    return bad_line (line, "not UTF-8", error);
  if (equals == NULL || equals == line.data)
    return bad_line (line, "key=value is expected", error);
  key = g_strndup (line.data, (gsize) (equals - line.data));
  value = g_strndup (equals + 1, line.size - (gsize) (equals - line.data) - 1);
  return type == ZM_NOTE_MANIFEST ? manifest_line (reader, line, key, value, error)
                                  : action_line (reader, line, key, value, error);
}

/* The text of one of our notes: lines, then zero bytes up to its padded size. */
static gboolean
read_text (Reader *reader, guint32 type, ZmSpan text, GError **error)
{
  reader->text_size += text.size;
  if (reader->text_size > MOST_TEXT) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "its notes are longer than %u bytes", MOST_TEXT);
    return FALSE;
  }
  while (text.size > 0 && text.data[text.size - 1] == '\0')
    text.size--;
  while (text.size > 0) {
    const char *end = memchr (text.data, '\n', text.size);
    gsize size = end != NULL ? (gsize) (end - text.data) : text.size;

    if (size > 0 && !read_line (reader, type, zm_span (text.data, size), error))
      return FALSE;
    size += end != NULL;
    text = zm_span (text.data + size, text.size - size);
  }
  return TRUE;
}

/* Only the major number decides: within one, each side knows by struct_size what the other has. */
static gboolean
check_abi (Reader *reader, const guint8 *head, GError **error)
{
  guint32 version[2];

  memcpy (version, head, sizeof version);
  if (version[0] != ZM_ABI_MAJOR) {
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_ABI,
        "built for plugin ABI %u.%u, this is %d.%d; build it again with this version's zmanager/plugin.h",
        version[0], version[1], ZM_ABI_MAJOR, ZM_ABI_MINOR);
    return FALSE;
  }
  reader->manifest->abi_major = version[0];
  reader->manifest->abi_minor = MAX (reader->manifest->abi_minor, version[1]);
  return TRUE;
}

/* The linker's, where there is one: tells two builds of the same size and time apart. */
static void
take_build_id (Reader *reader, const ZmNote *note)
{
  GString *hex;

  if (reader->manifest->build_id != NULL || note->size > 64)
    return;
  hex = g_string_new (NULL);
  for (gsize i = 0; i < note->size; i++)
    g_string_append_printf (hex, "%02x", note->text[i]);
  reader->manifest->build_id = g_string_free (hex, FALSE);
}

static gboolean
owned_by (const ZmNote *note, const char *owner)
{
  return note->owner_size == strlen (owner) + 1 && memcmp (note->owner, owner, note->owner_size) == 0;
}

static gboolean
read_note (const ZmNote *note, gpointer user, GError **error)
{
  Reader *reader = user;

  if (owned_by (note, "GNU") && note->type == 3)
    take_build_id (reader, note);
  if (!owned_by (note, ZM_NOTE_OWNER))
    return TRUE;
  if (note->size < 2 * sizeof (guint32)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "damaged: its note is too short");
    return FALSE;
  }
  /* The version comes first: what follows may mean something else in another ABI. */
  if (!check_abi (reader, note->text, error))
    return FALSE;
  if (note->type != ZM_NOTE_MANIFEST && note->type != ZM_NOTE_ACTION)
    return TRUE;
  if (note->type == ZM_NOTE_MANIFEST && reader->seen_manifest) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "it has two manifests; ZM_PLUGIN stands once in a library");
    return FALSE;
  }
  reader->seen_manifest |= note->type == ZM_NOTE_MANIFEST;
  return read_text (reader, note->type, zm_span ((const char *) note->text + 8, note->size - 8), error);
}

static gboolean
check_complete (const Reader *reader, GError **error)
{
  const ZmManifest *manifest = reader->manifest;

  if (!reader->seen_manifest && reader->actions->len > 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "it has actions, but no ZM_PLUGIN (…) line; add one");
  else if (!reader->seen_manifest)
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "no note of zmanager's; a plugin includes zmanager/plugin.h and has a ZM_PLUGIN (…) line");
  else if (manifest->name == NULL || manifest->name[0] == '\0')
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "its note gives no name");
  else
    return TRUE;
  return FALSE;
}

/* What was not given is an empty list or the default, so that readers need no checks. Also where the reading failed:
 * the manifest is then freed as a whole. */
static void
finish_lists (Reader *reader)
{
  ZmManifest *manifest = reader->manifest;

  g_ptr_array_add (reader->actions, NULL);
  g_ptr_array_add (reader->unknown, NULL);
  manifest->actions = (char **) g_ptr_array_free (reader->actions, FALSE);
  manifest->unknown = (char **) g_ptr_array_free (reader->unknown, FALSE);
  manifest->threadsafe = (gboolean *) (void *) g_array_free (reader->threadsafe, FALSE);
  if (manifest->depends == NULL)
    manifest->depends = g_new0 (char *, 1);
  if (manifest->schemes == NULL)
    manifest->schemes = g_new0 (char *, 1);
  if (manifest->kind == NULL)
    manifest->kind = g_strdup ("component");
}

/* All notes of the file are walked before anything is believed: an action may stand before the manifest. */
ZmManifest *
zm_manifest_read_image (const ZmImage *image, GError **error)
{
  g_autoptr (ZmManifest) manifest = g_new0 (ZmManifest, 1);
  Reader reader = { manifest,
                    FALSE,
                    0,
                    g_ptr_array_new (),
                    g_ptr_array_new (),
                    g_array_new (FALSE, TRUE, sizeof (gboolean)),
                    g_hash_table_new (g_str_hash, g_str_equal) };
  gboolean good = zm_image_each_note (image, read_note, &reader, error) && check_complete (&reader, error);

  g_hash_table_unref (reader.names);
  finish_lists (&reader);
  return good ? g_steal_pointer (&manifest) : NULL;
}

ZmManifest *
zm_manifest_read_bytes (const guint8 *data, gsize size, GError **error)
{
  const ZmImage image = { -1, data, size };

  return zm_manifest_read_image (&image, error);
}

ZmManifest *
zm_manifest_read (const char *path, GError **error)
{
  ZmIdentity identity;
  int fd = zm_plain_open (path, &identity, error);
  ZmImage image = { fd, NULL, identity.size };
  ZmManifest *manifest;

  if (fd < 0)
    return NULL;
  manifest = zm_manifest_read_image (&image, error);
  close (fd);
  return manifest;
}
