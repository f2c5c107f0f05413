/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of bearer tokens. */
#include "config.h"

#include "http/zm-tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES  32
#define NAME_MOST     64
#define PATTERNS_MOST 64

struct ZmTokens {
  atomic_int refs;
  GPtrArray *list; /* ZmToken */
};

static const char *const role_names[] = { "admin", "publish", "consume", "subscribe" };

static void
token_free (gpointer data)
{
  ZmToken *token = data;

  g_free (token->name);
  g_free (token->project);
  g_strfreev (token->patterns);
  g_free (token);
}

static ZmTokens *
tokens_new (void)
{
  ZmTokens *tokens = g_new0 (ZmTokens, 1);

  atomic_init (&tokens->refs, 1);
  tokens->list = g_ptr_array_new_with_free_func (token_free);
  return tokens;
}

ZmTokens *
zm_tokens_ref (ZmTokens *tokens)
{
  atomic_fetch_add (&tokens->refs, 1);
  return tokens;
}

void
zm_tokens_unref (ZmTokens *tokens)
{
  if (tokens == NULL || atomic_fetch_sub (&tokens->refs, 1) > 1)
    return;
  g_ptr_array_unref (tokens->list);
  g_free (tokens);
}

guint
zm_tokens_count (const ZmTokens *tokens)
{
  return tokens->list->len;
}

const ZmToken *
zm_tokens_nth (const ZmTokens *tokens, guint index)
{
  return index < tokens->list->len ? tokens->list->pdata[index] : NULL;
}

const ZmToken *
zm_tokens_named (const ZmTokens *tokens, const char *name)
{
  for (guint i = 0; i < tokens->list->len; i++)
    if (strcmp (((ZmToken *) tokens->list->pdata[i])->name, name) == 0)
      return tokens->list->pdata[i];
  return NULL;
}

/* ---- words of a line ---- */

char *
zm_roles_text (guint roles)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (role_names); i++)
    if ((roles & 1u << i) != 0)
      g_string_append_printf (out, "%s%s", out->len > 0 ? "," : "", role_names[i]);
  return g_string_free (out, FALSE);
}

gboolean
zm_roles_parse (const char *text, guint *roles, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, ",", -1);

  *roles = 0;
  for (char **word = words; *word != NULL; word++) {
    guint i = 0;

    while (i < G_N_ELEMENTS (role_names) && strcmp (role_names[i], *word) != 0)
      i++;
    if (i == G_N_ELEMENTS (role_names)) {
      g_autofree char *shown = zm_printable (zm_span_text (*word), 40);

      g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                   "\"%s\" is no role: admin, publish, consume or subscribe, joined by commas", shown);
      return FALSE;
    }
    *roles |= 1u << i;
  }
  if (*roles == 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "a token without a role can do nothing: give it one");
  return *roles != 0;
}

static gboolean
check_name (const char *name, GError **error)
{
  gsize size = strlen (name);

  if (size > 0 && size <= NAME_MOST && strspn (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-") == size)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "a token's name is 1 to %d of letters, digits, '_', '.' and '-'", NAME_MOST);
  return FALSE;
}

static gboolean
check_project (const char *project, GError **error)
{
  gsize size = strlen (project);

  for (gsize i = 0; i < size; i++)
    if (project[i] <= ' ' || project[i] == 0x7f)
      size = 0;
  if (size > 0 && size <= 256)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "a project is 1 to 256 bytes without blanks and control bytes; \"*\": any");
  return FALSE;
}

/* A pattern is a key of which parts may be empty; an empty one would be all of them, which is said by none. */
static gboolean
check_patterns (const char *const *patterns, GError **error)
{
  guint n = 0;

  for (; patterns[n] != NULL; n++) {
    ZmKey key;

    if (!zm_key_parse (zm_span_text (patterns[n]), &key, NULL, error)) {
      g_prefix_error (error, "pattern \"%s\": ", patterns[n]);
      return FALSE;
    }
    if (strpbrk (patterns[n], " \t\r\n") != NULL) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "pattern \"%s\" has a blank", patterns[n]);
      return FALSE;
    }
  }
  if (n > PATTERNS_MOST)
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "a token has at most %d patterns", PATTERNS_MOST);
  return n <= PATTERNS_MOST;
}

static gboolean
read_hash (const char *text, guint8 hash[32])
{
  if (strlen (text) != 64)
    return FALSE;
  for (guint i = 0; i < 32; i++) {
    int high = g_ascii_xdigit_value (text[2 * i]), low = g_ascii_xdigit_value (text[2 * i + 1]);

    if (high < 0 || low < 0)
      return FALSE;
    hash[i] = (guint8) (high << 4 | low);
  }
  return TRUE;
}

/* ---- the file ---- */

/* The words of a line without repeated blanks; NULL-terminated, g_strfreev. */
static char **
words_of (const char *line)
{
  g_auto (GStrv) split = g_strsplit_set (line, " \t\r", -1);
  GPtrArray *words = g_ptr_array_new ();

  for (char **word = split; *word != NULL; word++)
    if (**word != '\0')
      g_ptr_array_add (words, g_strdup (*word));
  g_ptr_array_add (words, NULL);
  return (char **) g_ptr_array_free (words, FALSE);
}

static ZmToken *
read_line (const ZmTokens *tokens, char **words, GError **error)
{
  ZmToken *token = g_new0 (ZmToken, 1);

  if (g_strv_length (words) < 4)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "a line is NAME HASH PROJECT ROLES [PATTERN …]");
  else if (!check_name (words[0], error) || !check_project (words[2], error) ||
           !zm_roles_parse (words[3], &token->roles, error) ||
           !check_patterns ((const char *const *) words + 4, error))
    ;
  else if (!read_hash (words[1], token->hash))
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "the hash is not 64 hexadecimal digits");
  else if (zm_tokens_named (tokens, words[0]) != NULL)
    g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS, "the name %s stands twice", words[0]);
  else {
    token->name = g_strdup (words[0]);
    token->project = strcmp (words[2], "*") == 0 ? NULL : g_strdup (words[2]);
    token->patterns = g_strdupv (words + 4);
    return token;
  }
  token_free (token);
  return NULL;
}

/* One wrong line refuses the file: a token that is silently not there is found out at the worst time. */
static gboolean
read_lines (ZmTokens *tokens, const char *path, const char *text, GError **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++) {
    g_auto (GStrv) words = words_of (lines[i]);
    ZmToken *token;

    if (words[0] == NULL || words[0][0] == '#')
      continue;
    token = tokens->list->len < ZM_TOKENS_MOST ? read_line (tokens, words, error) : NULL;
    if (token == NULL) {
      if (error != NULL && *error == NULL)
        g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "more than %d tokens", ZM_TOKENS_MOST);
      g_prefix_error (error, "%s:%u: ", path, i + 1);
      return FALSE;
    }
    g_ptr_array_add (tokens->list, token);
  }
  return TRUE;
}

/* Whoever may write the file may give himself a token. */
static gboolean
check_file (const char *path, const struct stat *info, GError **error)
{
  if (!S_ISREG (info->st_mode) || info->st_size > ZM_TOKEN_FILE_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s: no file, or larger than 4 MiB", path);
    return FALSE;
  }
  if ((info->st_mode & 022) == 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
               "%s: others than its owner may write it (mode %04o): chmod 600 it", path,
               (guint) info->st_mode & 07777);
  return FALSE;
}

ZmTokens *
zm_tokens_read (const char *path, GError **error)
{
  g_autoptr (ZmTokens) tokens = tokens_new ();
  g_autofree char *text = NULL;
  struct stat info;
  gsize size;

  if (stat (path, &info) != 0) {
    if (errno == ENOENT)
      return g_steal_pointer (&tokens);
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s cannot be read: %s", path, g_strerror (errno));
    return NULL;
  }
  if (!check_file (path, &info, error) || !g_file_get_contents (path, &text, &size, error))
    return NULL;
  if (strlen (text) != size || !g_utf8_validate (text, (gssize) size, NULL)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s: not UTF-8 text", path);
    return NULL;
  }
  return read_lines (tokens, path, text, error) ? g_steal_pointer (&tokens) : NULL;
}

/* A new file under another name, synced, then put in its place: a crash leaves the old one or the new one. */
static gboolean
write_file (const char *path, const GString *text, GError **error)
{
  g_autofree char *fresh = g_strdup_printf ("%s.new.%d", path, (int) getpid ());
  int fd = open (fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  gboolean good = fd >= 0;
  struct stat info;

  /* The daemon's user may own it, where root makes tokens. */
  if (good && stat (path, &info) == 0)
    good = fchown (fd, info.st_uid, info.st_gid) == 0 || errno == EPERM;
  for (gsize at = 0; good && at < text->len;) {
    ssize_t n = write (fd, text->str + at, text->len - at);

    good = n > 0 || (n < 0 && errno == EINTR);
    at += n > 0 ? (gsize) n : 0;
  }
  good = good && fsync (fd) == 0 && rename (fresh, path) == 0;
  if (!good) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s cannot be written: %s", path, g_strerror (errno));
    if (fd >= 0)
      unlink (fresh);
  }
  if (fd >= 0)
    close (fd);
  return good;
}

/* The whole text, or an empty one. */
static GString *
text_of (const char *path)
{
  g_autofree char *text = NULL;
  GString *out;

  g_file_get_contents (path, &text, NULL, NULL);
  out = g_string_new (
      text != NULL ? text : "# NAME HASH PROJECT ROLES [PATTERN ...]; made by zmanagerctl token new\n");
  if (out->len > 0 && out->str[out->len - 1] != '\n')
    g_string_append_c (out, '\n');
  return out;
}

static char *
make_secret (GError **error)
{
  guint8 bytes[SECRET_BYTES];
  g_autofree char *text = NULL;

  if (getrandom (bytes, sizeof bytes, 0) != (ssize_t) sizeof bytes) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "no random bytes: %s", g_strerror (errno));
    return NULL;
  }
  text = g_base64_encode (bytes, sizeof bytes);
  /* The alphabet of URLs, without padding: it can be pasted anywhere. */
  g_strdelimit (g_strdelimit (text, "+", '-'), "/", '_');
  text[strcspn (text, "=")] = '\0';
  return g_strconcat (ZM_TOKEN_PREFIX, text, NULL);
}

gboolean
zm_tokens_add (const char *path, const char *name, const char *project, guint roles,
               const char *const *patterns, char **secret, GError **error)
{
  g_autoptr (ZmTokens) tokens = zm_tokens_read (path, error);
  g_autofree char *made = NULL, *hash = NULL, *roles_text = zm_roles_text (roles);
  g_autoptr (GString) text = NULL;

  if (tokens == NULL || !check_name (name, error) || !check_project (project, error) ||
      !check_patterns (patterns, error))
    return FALSE;
  if (zm_tokens_named (tokens, name) != NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS,
                 "there is a token %s already: remove it first, or take another name", name);
    return FALSE;
  }
  made = make_secret (error);
  if (made == NULL)
    return FALSE;
  hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, made, -1);
  text = text_of (path);
  g_string_append_printf (text, "%s %s %s %s", name, hash, project, roles_text);
  for (guint i = 0; patterns[i] != NULL; i++)
    g_string_append_printf (text, " %s", patterns[i]);
  g_string_append_c (text, '\n');
  if (!write_file (path, text, error))
    return FALSE;
  *secret = g_steal_pointer (&made);
  return TRUE;
}

gboolean
zm_tokens_remove (const char *path, const char *name, GError **error)
{
  g_autoptr (GString) text = text_of (path), left = g_string_new (NULL);
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  guint removed = 0;

  for (char **line = lines; *line != NULL && (line[1] != NULL || **line != '\0'); line++) {
    g_auto (GStrv) words = words_of (*line);

    if (words[0] != NULL && strcmp (words[0], name) == 0)
      removed++;
    else
      g_string_append_printf (left, "%s\n", *line);
  }
  if (removed > 0)
    return write_file (path, left, error);
  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no token of that name in %s", path);
  return FALSE;
}

/* ---- whose is it? ---- */

const ZmToken *
zm_tokens_find (const ZmTokens *tokens, ZmSpan secret)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 hash[32];
  gsize size = sizeof hash;
  const ZmToken *found = NULL;

  g_checksum_update (sum, (const guchar *) (secret.size > 0 ? secret.data : ""), (gssize) secret.size);
  g_checksum_get_digest (sum, hash, &size);
  for (guint i = 0; i < tokens->list->len; i++) {
    const ZmToken *token = tokens->list->pdata[i];
    volatile guint8 differs = 0;

    for (guint j = 0; j < sizeof hash; j++)
      differs = (guint8) (differs | (hash[j] ^ token->hash[j]));
    if (differs == 0)
      found = token;
  }
  return found;
}

gboolean
zm_token_may_send (const ZmToken *token, const ZmKey *key)
{
  for (char **text = token->patterns; *text != NULL; text++) {
    ZmKey pattern;

    if (zm_key_parse (zm_span_text (*text), &pattern, NULL, NULL) && zm_key_matches (&pattern, key))
      return TRUE;
  }
  return token->patterns[0] == NULL;
}

char *
zm_tokens_standard (const char *config_dir)
{
  return g_build_filename (config_dir, "tokens", NULL);
}
