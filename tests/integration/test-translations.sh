#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every text that the programs mark for translation reaches the translators, and German is complete.
set -eu

if ! command -v msgmerge >/dev/null; then
  echo "ok - translations # SKIP gettext's tools are not installed"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
cd "$ZM_SRCDIR"

# shellcheck disable=SC2046
grep -l '[^A-Za-z0-9_]N\{0,1\}_ *("' $(find core -name '*.c') | LC_ALL=C sort >"$folder/used"
grep -v '^#' po/POTFILES.in | LC_ALL=C sort >"$folder/listed"
if diff "$folder/used" "$folder/listed" >"$folder/difference"; then
  echo "ok - po/POTFILES.in lists the files with texts"
else
  sed -n 's/^< /po\/POTFILES.in lacks /p; s/^> /po\/POTFILES.in has without need /p' "$folder/difference"
  echo "not ok - po/POTFILES.in lists the files with texts"
  failed=1
fi

# From the sources, not from the template, which is only as new as the last build.
xgettext --from-code=UTF-8 --keyword=_ --keyword=N_ -o "$folder/now.pot" --files-from="$folder/used"
while read -r language; do
  msgmerge -q --no-fuzzy-matching -o "$folder/now.po" "po/$language.po" "$folder/now.pot"
  msgfmt -c -o /dev/null "$folder/now.po"
  msgattrib --untranslated --no-obsolete --no-wrap "$folder/now.po" >"$folder/left"
  if [ -s "$folder/left" ]; then
    grep '^#:\|^msgid' "$folder/left"
    echo "not ok - po/$language.po is complete (make -C po update-po adds what it lacks)"
    failed=1
  else
    echo "ok - po/$language.po is complete"
  fi
done <po/LINGUAS
exit $failed
