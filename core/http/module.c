/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens zm-http.so for the daemon. */
#include "config.h"

#include "http/zm-http.h"

#include "build-id.h"

#include <dlfcn.h>
#include <string.h>

const char *
zm_http_build (void)
{
  return ZM_BUILD_ID;
}

/* As the helper programs are found: a build tree's daemon takes the module of its own tree. */
static char *
find_module (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self != NULL ? g_path_get_dirname (self) : g_strdup (".");
  /* libtool keeps the real program and the module in folders of its own. */
  const char *const places[] = { "core/.libs/zm-http.so", "../core/.libs/zm-http.so", NULL };

  for (const char *const *place = places; *place != NULL; place++) {
    g_autofree char *beside = g_build_filename (folder, *place, NULL);

    if (g_file_test (beside, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer (&beside);
  }
  return g_strdup (ZM_PKGLIBDIR "/zm-http.so");
}

/* RTLD_NODELETE: a handler that comes back late finds its code. */
const ZmHttpModule *
zm_http_module_open (GError **error)
{
  g_autofree char *path = find_module ();
  void *handle;
  const ZmHttpModule *module;

  if (!g_file_test (path, G_FILE_TEST_IS_REGULAR)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "[http] listen: there is no %s: this zmanager was built without the HTTP API", path);
    return NULL;
  }
  handle = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  module = handle != NULL ? dlsym (handle, ZM_HTTP_MODULE_SYMBOL) : NULL;
  if (module == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "[http] listen: %s cannot be opened: %s", path, dlerror ());
    return NULL;
  }
  if (module->struct_size != sizeof *module || strcmp (module->build, ZM_BUILD_ID) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_ABI,
                 "[http] listen: %s is of another build than this daemon: install both anew", path);
    return NULL;
  }
  return module;
}
