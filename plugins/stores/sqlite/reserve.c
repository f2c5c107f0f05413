/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file of some MiB without a meaning. Where the device is full it goes, so that removals can be written, which make room
 * again.
 */
#include "plugins/stores/sqlite/private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE_BYTES ((off_t) 4 << 20)
#define ROOM_LEAST    4 /* times its size must be free before it is made */
#define ROOM_AGAIN    2 /* likewise, where it was there before */

/* Failing is no error: there is no room, and it is tried again later. */
void
zs_reserve_make (zs_store *store)
{
  char *name = store->reserved ? NULL : zs_beside (store->path, ".reserve");
  uint64_t times = store->spent ? ROOM_AGAIN : ROOM_LEAST;
  struct statvfs room;
  int fd;

  if (name == NULL)
    return;
  if (statvfs (store->path, &room) == 0 &&
      (uint64_t) room.f_bavail * room.f_frsize > (uint64_t) RESERVE_BYTES * times) {
    fd = open (name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    store->reserved = fd >= 0 && posix_fallocate (fd, 0, RESERVE_BYTES) == 0;
    if (fd >= 0)
      close (fd);
    if (!store->reserved)
      unlink (name);
    store->spent &= !store->reserved;
  }
  free (name);
}

int
zs_reserve_drop (zs_store *store)
{
  char *name = zs_beside (store->path, ".reserve");
  int gone = name != NULL && unlink (name) == 0;

  free (name);
  store->reserved = 0;
  store->spent |= gone;
  if (gone)
    zs_log (store, ZM_LOG_WARNING,
            "%s: no space is left; the reserve was given up so that what makes room can be written",
            store->path);
  return gone;
}

/* The log is carried over, so that it begins anew within its own bytes. */
int
zs_reserve_give_up (zs_store *store)
{
  int gone = zs_reserve_drop (store);

  return sqlite3_wal_checkpoint_v2 (store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK ||
         gone;
}

int
zs_reserve_room (zs_store *store)
{
  if (store->spent)
    zs_reserve_make (store);
  return !store->spent ||
         zs_number (store->db, "PRAGMA freelist_count", 0) * zs_number (store->db, "PRAGMA page_size", 0) >=
             RESERVE_BYTES;
}
