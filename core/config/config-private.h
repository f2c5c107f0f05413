/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share: how a configuration is kept. Nobody outside includes it. */
#pragma once

#include "config/zm-config.h"

#include <stdatomic.h>

/* One value as it was given. */
typedef struct ZmValue {
  char *text;
  const char *file; /* interned in the configuration: a path, or the origin of a setting */
  guint line;       /* 0: a setting */
  guint key_column;
  guint column; /* of the text */
} ZmValue;

/* One key of one section with all that its highest layer gave. */
typedef struct ZmEntry {
  char *section;
  char *key;
  const ZmKeySpec *spec; /* NULL: a plugin's own key */
  guint layer;
  GPtrArray *values; /* ZmValue*; empty: the value is a default */
  char **list;       /* after finish: the items, secrets resolved */
  gint64 number;     /* after finish, of types that are numbers */
  /* Set while files are read and, for plugins' own keys, when their schema is known: later, from any thread. */
  atomic_bool secret;
} ZmEntry;

typedef struct ZmSection {
  char *name;
  const char *file;
  guint line, column;
} ZmSection;

struct ZmConfig {
  atomic_int refs;
  gboolean finished;
  GHashTable *entries;  /* "section\nkey" -> ZmEntry*, owned by order */
  GPtrArray *order;     /* ZmEntry*, as they came */
  GPtrArray *sections;  /* ZmSection*, as they came */
  GHashTable *strings;  /* interned places */
  GHashTable *defaults; /* place of a ZmKeySpec in the schema -> char **items of its default */
  guint layer;
  const char *setting_origin; /* settings of one origin are one layer */
};

/* config.c */
ZmEntry *zm_config_entry (const ZmConfig *config, const char *section, const char *key);
const ZmSection *zm_config_find_section (const ZmConfig *config, const char *name);
const ZmKeySpec *zm_config_spec (const char *section, const char *key);
/* Length of the kind in "plugin hello"; the whole where there is no name. */
gsize zm_config_kind (const char *section);
ZmEntry *zm_config_new_entry (ZmConfig *config, const char *section, const char *key);
/* The place is copied, its file must be interned; its text does not count. */
void zm_config_new_value (ZmEntry *entry, const char *text, const ZmValue *place);
const char *zm_config_intern (ZmConfig *config, const char *text);
char *zm_config_value_origin (const ZmValue *value);

/* value.c: a kind of value, as the schema or a plugin's options table describes it. */
typedef struct ZmValueRule {
  ZmValueType type;
  const char *choices;
  gint64 least, most;
  const char *key, *standard; /* for the advice */
} ZmValueRule;
/* Checks text; *number gets what it stands for (not of STRING and NUMBER). A problem never quotes a secret. */
gboolean zm_config_value_check (const ZmValueRule *rule, const ZmEntry *entry, const ZmValue *value,
                                const char *text, gint64 *number, ZmProblems *problems);
/* Items separated by blanks, "…" holds one with blanks. NULL: a quote is open. */
char **zm_config_value_split (const char *text);

/* endpoint.c */
void zm_config_endpoint_check (const ZmConfig *config, const ZmEntry *entry, const ZmValue *value,
                               const char *endpoint, ZmProblems *problems);

/* secret.c: is text file:PATH, env:NAME or credential:NAME? */
gboolean zm_config_secret_refers (const char *text);
/* What it refers to; NULL after a problem. */
char *zm_config_secret_resolve (const ZmEntry *entry, const ZmValue *value, ZmProblems *problems);

/* dump.c: the value for people's eyes: secrets are ***. */
char *zm_config_shown (const ZmConfig *config, const char *section, const char *key);
