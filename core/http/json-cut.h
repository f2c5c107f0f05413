/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cuts a JSON document into the raw texts of its parts in one pass, without a tree: what a message's body is stays exactly the
 * text that came. Over yajl, which tells values one after the other; the places are worked out here.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

typedef enum {
  ZM_CUT_NULL,
  ZM_CUT_BOOLEAN,
  ZM_CUT_INTEGER, /* written without fraction and exponent */
  ZM_CUT_NUMBER,
  ZM_CUT_STRING,
  ZM_CUT_OBJECT,
  ZM_CUT_ARRAY
} ZmCutKind;

/* How deep parts are told at most. */
#define ZM_CUT_DEPTH_MOST 4

/* One part. Borrowed until the function that is told it returns; raw as long as the text. */
typedef struct ZmCut {
  guint depth;    /* 0: the document itself; 1: its members or elements; … */
  gboolean opens; /* an object or array whose parts follow: told again, with raw, when it ends */
  ZmSpan name;    /* unescaped; of an element, empty with data NULL */
  ZmCutKind kind;
  ZmSpan raw;     /* as it came, strings with their quotes; empty where opens */
  gint64 integer; /* of an integer */
} ZmCut;

/* FALSE: stop. */
typedef gboolean (*ZmCutFunc) (const ZmCut *cut, gpointer user);

/* Tells all parts down to depth, in order; names may repeat. FALSE: error is set where the text is wrong (INVALID: no JSON, or neither object nor array;
 * LIMIT: an integer, at any depth, that does not fit 64 bits with sign), and not set where func stopped it. */
gboolean zm_json_cut (ZmSpan text, guint depth, ZmCutFunc func, gpointer user, GError **error);

G_END_DECLS
