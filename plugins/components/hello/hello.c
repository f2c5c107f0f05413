/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says hello. */

__attribute__ ((visibility ("default"))) const char *hello_text (void);

const char *
hello_text (void)
{
  return "hello";
}
