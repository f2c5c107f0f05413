/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For developing plugins: bodies are handed out in pages that cannot be written, so that a plugin which writes to its request is
 * found where it does, and not by what others read later. */
#include "worker/internal.h"

#include <string.h>
#include <sys/mman.h>

void
zm_run_guard (ZmRun *run)
{
  zm_run_unguard (run);
  if (!run->call.body_size)
    return;
  void *pages = mmap (NULL, run->call.body_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED)
    return; /* only less is found */
  memcpy (pages, run->call.body, run->call.body_size);
  mprotect (pages, run->call.body_size, PROT_READ);
  run->guard = pages;
  run->guard_size = run->call.body_size;
  run->call.body = pages;
}

void
zm_run_unguard (ZmRun *run)
{
  if (run->guard)
    munmap (run->guard, run->guard_size);
  run->guard = NULL;
}
