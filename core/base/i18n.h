/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Translations of what the programs say to people. Log lines and the error texts of the rooms stay English:
 * they are searched for, and quoted in reports.
 */
#ifndef ZM_BASE_I18N_H
#define ZM_BASE_I18N_H

#include <glib.h>
#include <libintl.h>

G_BEGIN_DECLS

/* The translation of a text; what xgettext collects. */
#define _(text) gettext (text)
/* Marks a text in static data, which is translated where it is used: _(table[i].text). */
#define N_(text) (text)

/* Reads the locale from the environment and binds the catalogues. Call once, first thing in main ():
 * setlocale is not safe beside other threads. */
void zm_i18n_init (void);

G_END_DECLS

#endif
