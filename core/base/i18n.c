/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Binds the message catalogues of the programs. */
#include "config.h"

#include "base/i18n.h"

#include <locale.h>

void
zm_i18n_init (void)
{
  setlocale (LC_ALL, "");
  /* Numbers in files, JSON and on the wire have a point whatever the locale says. */
  setlocale (LC_NUMERIC, "C");
  bindtextdomain (PACKAGE, ZM_LOCALEDIR);
  bind_textdomain_codeset (PACKAGE, "UTF-8");
  textdomain (PACKAGE);
}
