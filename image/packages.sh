#!/bin/bash
# Debian packages for the card.
#
#   image/packages.sh fetch DIR   puts every package of packages.txt into DIR, signatures and hashes checked
#   image/packages.sh update      rewrites packages.txt with the newest versions that the release has now
set -euo pipefail
cd "$(dirname "$0")/.."
. image/apt.sh

# The mirror's fault and not ours (EX_TEMPFAIL of sysexits.h): try again later.
NO_MIRROR=75
list=image/packages.txt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
read -r _ release components < <(grep '^release ' "$list")
rows() { grep -v -e '^#' -e '^release ' -e '^$' "$list"; }

apt_for() { # architecture
    local dir=$PWD/build/apt/$1
    if [ ! -e "$dir/updated" ]; then
        private_apt_setup "$dir" "$1" "$keyring" "$release $components"
        if ! private_apt "$dir" apt-get -qq update -o APT::Update::Error-Mode=any; then
            echo "image: Debian's mirror can't be used now: its lists do not match its signed release file, or it is" \
                "out of reach; try again later" >&2
            return "$NO_MIRROR"
        fi
        : >"$dir/updated"
    fi
    echo "$dir"
}

file_of() { # name architecture version: as apt names the file
    echo "$1_${3//:/%3a}_$2.deb"
}

fetch() {
    local to=$1 name arch version file missing=()
    mkdir -p "$to"
    while read -r name arch version; do
        file=$(file_of "$name" "$arch" "$version")
        [ -s "$to/$file" ] || missing+=("$name $arch $version")
    done < <(rows)
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "image: fetching ${#missing[@]} packages of Debian $release"
    # Old lists know nothing of a version that was pinned since.
    rm -f build/apt/*/updated
    local dir per_arch
    for per_arch in armhf arm64; do
        local wanted=()
        for row in "${missing[@]}"; do
            read -r name arch version <<<"$row"
            [ "$arch" = all ] && arch=armhf
            [ "$arch" != "$per_arch" ] || wanted+=("$name=$version")
        done
        [ ${#wanted[@]} -gt 0 ] || continue
        dir=$(apt_for "$per_arch") || exit $?
        mkdir -p build/incoming
        if ! (cd build/incoming && private_apt "$dir" apt-get -qq download "${wanted[@]}"); then
            echo "image: the mirror no longer has one of these versions; run 'image/packages.sh update' and commit" \
                "image/packages.txt" >&2
            exit 1
        fi
        mv build/incoming/*.deb "$to"/
    done
}

update() {
    local new name arch version dir
    rm -f build/apt/*/updated
    new=$(mktemp)
    grep -e '^#' -e '^release ' "$list" >"$new"
    while read -r name arch version; do
        if [ "$arch" = arm64 ]; then dir=$(apt_for arm64); else dir=$(apt_for armhf); fi
        case $name in
            linux-image-*)
                # The kernel's version is part of its package's name.
                name=$(private_apt "$dir" apt-cache depends "linux-image-${name#linux-image-*deb*-}" |
                    sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
                ;;
        esac
        version=$(private_apt "$dir" apt-cache show --no-all-versions "$name" | sed -n 's/^Version: //p')
        echo "$name $arch $version"
    done < <(rows) >>"$new"
    cat "$new" >"$list"
    rm -f "$new"
}

case ${1:-} in
    fetch) fetch "$2" ;;
    update) update ;;
    *)
        echo "usage: image/packages.sh fetch DIR | update" >&2
        exit 2
        ;;
esac
