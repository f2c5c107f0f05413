/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration: layers (built-in defaults, files in order, environment, --set), key by key, the later wins; each value
 * knows its origin. Checked against one schema table (config/schema.c: every section and key with type, default, limits and
 * a line of documentation; the manual's table is made from it). Immutable once finished: read from any thread.
 * [plugin NAME] and [source NAME] take further keys, which the plugin's own schema checks later.
 *
 * A list key appends within one file (settings: within one origin), and a later layer replaces the whole list. Any other
 * key stands once in a file. Before zm_config_finish a configuration belongs to one thread; reading asks for a finished one.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

typedef enum {
  ZM_TYPE_STRING,
  ZM_TYPE_INTEGER,
  ZM_TYPE_NUMBER,
  ZM_TYPE_BOOLEAN,
  ZM_TYPE_DURATION, /* milliseconds */
  ZM_TYPE_SIZE,     /* bytes */
  ZM_TYPE_CHOICE    /* one of choices, separated by | */
} ZmValueType;

/* One known key. */
typedef struct ZmKeySpec {
  const char *section; /* "subject"; "plugin" stands for every [plugin NAME] */
  const char *key;
  ZmValueType type;
  gboolean list;        /* may stand several times, or several values separated by blanks */
  gboolean secret;      /* never shown */
  const char *standard; /* default as text, or NULL */
  const char *choices;  /* of ZM_TYPE_CHOICE */
  gint64 least, most;   /* of numbers; both 0: no bound */
  const char *doc;
} ZmKeySpec;

/* The schema: terminated by section NULL. */
const ZmKeySpec *zm_config_schema (void);
/* Is [section NAME] a section that wants a name? */
gboolean zm_config_section_named (const char *section);

typedef struct ZmConfig ZmConfig; /* reference counted */

ZmConfig *zm_config_new (void);
ZmConfig *zm_config_ref (ZmConfig *config);
void zm_config_unref (ZmConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmConfig, zm_config_unref)

/* Layers, before zm_config_finish. A file that is not there is no problem for the directory form, one for the file form. */
void zm_config_add_file (ZmConfig *config, const char *path, ZmProblems *problems);
void zm_config_add_directory (ZmConfig *config, const char *directory, ZmProblems *problems); /* *.conf */
/* "section.key=value" or "section NAME.key=value"; origin is "--set" or "environment ZM_…". */
void zm_config_add_setting (ZmConfig *config, const char *setting, const char *origin, ZmProblems *problems);
/* Checks every value; resolves secrets (file:PATH, env:NAME, credential:NAME) in plugins' own keys and in those that the
 * schema declares secret. file://… is no secret. Relative paths count from the file that names them. */
void zm_config_finish (ZmConfig *config, ZmProblems *problems);

/* Reading. section is "subject" or "plugin hello". The default stands where nothing else does; NULL where there is none. */
const char *zm_config_text (const ZmConfig *config, const char *section, const char *key);
/* Every value of a list, NULL-terminated, owned by config; never NULL. */
const char *const *zm_config_list (const ZmConfig *config, const char *section, const char *key);
/* Also durations (milliseconds), sizes (bytes) and choices (the index of the word); 0 where there is none. */
gint64 zm_config_integer (const ZmConfig *config, const char *section, const char *key);
gboolean zm_config_boolean (const ZmConfig *config, const char *section, const char *key);
/* NAMEs of [kind NAME], NULL-terminated, in order of first appearance; the caller frees with g_strfreev. */
char **zm_config_names (const ZmConfig *config, const char *kind);
/* Every key given in a section (for schemas of plugins): NULL-terminated, g_strfreev. */
char **zm_config_keys (const ZmConfig *config, const char *section);
/* Where a value comes from: "file:line:column", "--set", "default"; column 0 etc. for problems. The caller frees. */
char *zm_config_origin (const ZmConfig *config, const char *section, const char *key);
/* The place for a problem about this value; FALSE: it is a default, and the place is that of the section's first line, where
 * there is one. *file is borrowed, and NULL where nothing is known. */
gboolean zm_config_place (const ZmConfig *config, const char *section, const char *key, const char **file,
                          guint *line, guint *column);
/* Every key with its value's origin, as text (a file that reads back) or JSON. Secrets, plugins' keys whose names look like
 * one, and passwords in addresses are shown as "***". The caller frees. */
char *zm_config_dump (const ZmConfig *config, gboolean json);
/* What is in effect where nothing is set and the schema has no default, as it depends on the place (the host's name, the
 * instance's sockets): the caller frees; NULL: nothing. */
typedef char *(*ZmConfigStandIn) (const ZmConfig *config, const char *section, const char *key,
                                  gconstpointer user);
/* The same with what stands in for such keys. stand_in may be NULL. */
char *zm_config_dump_effective (const ZmConfig *config, gboolean json, ZmConfigStandIn stand_in,
                                gconstpointer user);
/* Checks the own keys of [section] against a plugin's options table; unknown ones with "did you mean". Remembers which are
 * secret, for the dump. Any thread. */
struct zm_option_desc;
void zm_config_check_options (const ZmConfig *config, const char *section,
                              const struct zm_option_desc *options, ZmProblems *problems);
/* What was known to be secret in `before` is so in config too: a plugin that stays loaded is not asked for its options again.
 * Before the new one is shown to anybody. */
void zm_config_keep_secrets (const ZmConfig *config, const ZmConfig *before);
/* What changed between two: lines like "workers.timeout 30s -> 10s". NULL-terminated, g_strfreev. */
char **zm_config_changes (const ZmConfig *before, const ZmConfig *after);

G_END_DECLS
