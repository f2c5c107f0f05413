# SPDX-License-Identifier: LGPL-2.1-or-later
# For scripts that source it: the build tree as if it were installed. built_tree FOLDER sets PATH, ZM_PLUGIN_PATH,
# ZM_TEMPLATE_PATH and PKG_CONFIG_PATH; what it has to make is made in FOLDER.
built_tree () {
  mkdir -p "$1/plugins" "$1/pkgconfig" "$1/bin"
  for library in "$ZM_BUILDDIR"/plugins/*/*/.libs/*.so; do cp -L "$library" "$1/plugins/"; done
  for file in "$ZM_SRCDIR"/plugins/*/*/*.actions.ini; do cp "$file" "$1/plugins/"; done
  chmod -R u+w,go-w "$1/plugins"
  sed -e "s|^Cflags:.*|Cflags: -I$ZM_SRCDIR/include|" "$ZM_BUILDDIR/data/zmanager-plugin.pc" >"$1/pkgconfig/zmanager-plugin.pc"
  # The compiler of the build; configured ones may be several words.
  printf '#!/bin/sh\nexec %s "$@"\n' "$ZM_TEST_CC" >"$1/bin/cc"
  chmod +x "$1/bin/cc"
  PATH=$1/bin:$ZM_BUILDDIR:$PATH
  ZM_PLUGIN_PATH=$1/plugins
  ZM_TEMPLATE_PATH=$ZM_SRCDIR/data/templates
  PKG_CONFIG_PATH=$1/pkgconfig
  export PATH ZM_PLUGIN_PATH ZM_TEMPLATE_PATH PKG_CONFIG_PATH
}
