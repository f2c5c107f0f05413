/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text for a signal handler. printf and gmtime_r may take locks that the thread which faulted holds; so none of them here. */
#include "config.h"

#include "runtime/panic-text.h"

#include <errno.h>
#include <unistd.h>

static void
put_byte (ZmPanicLine *line, char byte)
{
  if (line->used < sizeof line->bytes)
    line->bytes[line->used++] = byte;
}

/* A table lookup in libc would be safe as well, but this says what it lets through. */
void
zm_panic_put_text (ZmPanicLine *line, const char *text)
{
  for (const char *c = text != NULL ? text : "?"; *c != '\0'; c++)
    put_byte (line, *c < 0x20 || *c == 0x7f || *c == '"' || *c == '\\' ? '?' : *c);
}

/* At least so many digits. */
static void
put_digits (ZmPanicLine *line, guint64 value, guint base, guint least)
{
  char digits[24];
  guint n = 0;

  do {
    digits[n++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value > 0 || n < least);
  while (n > 0)
    put_byte (line, digits[--n]);
}

void
zm_panic_put_number (ZmPanicLine *line, guint64 value)
{
  put_digits (line, value, 10, 1);
}

void
zm_panic_put_hex (ZmPanicLine *line, guint64 value)
{
  zm_panic_put_text (line, "0x");
  put_digits (line, value, 16, 1);
}

/* Year, month and day of a day since 1970. Years are counted from March on, so that the leap day is their last; 400 of them have
 * 146,097 days. */
static void
civil_date (gint64 days, guint *year, guint *month, guint *day)
{
  guint64 shifted = (guint64) (days + 719468); /* since 1 March of the year 0 */
  guint era = (guint) (shifted / 146097), of_era = (guint) (shifted % 146097);
  guint year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  guint of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  guint from_march = (5 * of_year + 2) / 153;

  *day = of_year - (153 * from_march + 2) / 5 + 1;
  *month = from_march < 10 ? from_march + 3 : from_march - 9;
  *year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

void
zm_panic_put_time (ZmPanicLine *line, gint64 seconds, gboolean compact)
{
  guint year, month, day;
  guint64 of_day = (guint64) seconds % 86400;

  civil_date (seconds / 86400, &year, &month, &day);
  put_digits (line, year, 10, 4);
  zm_panic_put_text (line, compact ? "" : "-");
  put_digits (line, month, 10, 2);
  zm_panic_put_text (line, compact ? "" : "-");
  put_digits (line, day, 10, 2);
  zm_panic_put_text (line, "T");
  put_digits (line, of_day / 3600, 10, 2);
  zm_panic_put_text (line, compact ? "" : ":");
  put_digits (line, of_day / 60 % 60, 10, 2);
  zm_panic_put_text (line, compact ? "" : ":");
  put_digits (line, of_day % 60, 10, 2);
  zm_panic_put_text (line, "Z");
}

/* One that does not take it now (a pipe whose reader stands still, made not to block) loses it: the process has to end. */
void
zm_panic_write (int fd, const char *bytes, gsize size)
{
  while (fd >= 0 && size > 0) {
    ssize_t written = write (fd, bytes, size);

    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return;
    bytes += written;
    size -= (gsize) written;
  }
}
