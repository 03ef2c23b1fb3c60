#!/bin/bash
# Assembles the card a second time from the same inputs, elsewhere and as somebody with another umask would, and compares.
#
#   image/twice.sh [BINARY] [IMAGE]   default: those of 'make image'; packages come from build/debs
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-target/armv7-unknown-linux-gnueabihf/release/larder}")
first=${2:-$(ls build/image/larder-*.img)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -r Cargo.toml +%s)}
export SOURCE_DATE_EPOCH

there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
umask 077
{ git ls-files 2>/dev/null || find image overlay src Cargo.toml Cargo.lock LICENSE-* -type f -o -type l; } |
    while read -r path; do
        if [ -e "$path" ] || [ -L "$path" ]; then cp -P --parents "$path" "$there/"; fi
    done
mkdir "$there/build"
ln -s "$PWD/build/debs" "$there/build/debs"
NO_XZ=1 "$there/image/build.sh" "$binary" "$there/out" >"$there/log" 2>&1 || { cat "$there/log" >&2; exit 1; }
if ! cmp "$first" "$there"/out/larder-*.img; then
    echo "image: the same inputs gave another image; compare what is in the two (unsquashfs -ll, mdir)" >&2
    exit 1
fi
echo "image: the same bytes again ($(sha256sum <"$first" | cut -c 1-16)…)"
