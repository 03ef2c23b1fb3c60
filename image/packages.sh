#!/bin/bash
# Debian packages for the card, as packages.txt locks them: each with its version, its hash and its place in the pool.
#
#   image/packages.sh fetch DIR   puts every package into DIR, each checked by its hash
#   image/packages.sh update      locks the newest versions that the release and its security updates have now
#
# `fetch` asks for the files alone: no index of a mirror can be in its way, and two builds get the same bytes.
# `update` believes an index only with Debian's signature. While a mirror's index of the release by its name does not
# fit its signed release file, the same release may be whole under another name: SUITE=stable image/packages.sh update.
#
# Exit codes: 75 (EX_TEMPFAIL of sysexits.h) the mirror can't be used now; 69 (EX_UNAVAILABLE) it no longer has a
# package of this version; 1 anything else.
set -euo pipefail
cd "$(dirname "$0")/.."
. image/apt.sh

UNAVAILABLE=69
TEMPFAIL=75
list=image/packages.txt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
read -r _ release components < <(grep '^release ' "$list")
rows() { grep -v -e '^#' -e '^release ' -e '^$' "$list"; }

file_of() { # name architecture version: as apt names the file
    echo "$1_${3//:/%3a}_$2.deb"
}

is() { # file sha256
    [ -s "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]
}

fetch() {
    local to=$1 name arch version sum path file said
    local wanted=()
    said=$(mktemp)
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '$said'" EXIT
    mkdir -p "$to"
    # Downloaded beside, moved when whole: an interrupted fetch leaves no half package under a package's name.
    local incoming=$to/incoming
    rm -rf "$incoming"
    mkdir "$incoming"
    while read -r name arch version sum path; do
        file=$(file_of "$name" "$arch" "$version")
        is "$to/$file" "$sum" || wanted+=("$(debian_uri "${path%%/*}")/${path#*/}" "$incoming/$file" "SHA256:$sum")
    done < <(rows)
    [ ${#wanted[@]} -gt 0 ] || { rmdir "$incoming"; return 0; }
    echo "image: fetching $((${#wanted[@]} / 3)) packages of Debian $release"
    # Without root there is no _apt user to change to. What apt-helper says is looked at when a file is not there.
    LC_ALL=C /usr/lib/apt/apt-helper -q -o APT::Sandbox::User= -o Acquire::Retries=3 download-file "${wanted[@]}" \
        >"$said" 2>&1 || true
    local failed=0
    while read -r name arch version sum path; do
        file=$(file_of "$name" "$arch" "$version")
        [ ! -e "$incoming/$file" ] || ! is "$incoming/$file" "$sum" || mv "$incoming/$file" "$to/$file"
        if ! is "$to/$file" "$sum"; then
            if grep -q "^E: Failed to fetch .*/${path##*/}  *404" <(sed 's/%2b/+/g; s/%7e/~/g' "$said"); then
                echo "image: Debian's pool no longer has $name $version; run 'image/packages.sh update' and commit $list" >&2
                failed=$UNAVAILABLE
            elif [ -e "$incoming/$file.FAILED" ]; then
                echo "image: $path of the mirror is not the file that $list locks (another SHA-256); use another mirror" >&2
                failed=1
            elif [ "$failed" = 0 ]; then
                failed=$TEMPFAIL
            fi
        fi
    done < <(rows)
    if [ "$failed" = "$TEMPFAIL" ]; then
        grep '^E: ' "$said" | head -n 3 >&2 || true
        echo "image: Debian's mirror can't be reached now; look at the network, or try again later" >&2
    fi
    rm -rf "$incoming"
    return "$failed"
}

# Lists of one architecture, fetched and their signatures checked; says where.
apt_for() { # architecture
    local dir=$PWD/build/apt/$1 suite=${SUITE:-$release} name
    private_apt_setup "$dir" "$1" "$keyring" "$suite $components" "$suite-security $components"
    if ! private_apt "$dir" apt-get -qq update -o APT::Update::Error-Mode=any; then
        echo "image: Debian's mirror can't be used now: its lists do not match its signed release file, or it is" \
            "out of reach; try again later, or by another name of the release: SUITE=stable image/packages.sh update" >&2
        return "$TEMPFAIL"
    fi
    for name in "$release" "$release-security"; do
        grep -qx "Codename: $name" "$dir"/lists/*_InRelease ||
            { echo "image: SUITE=$suite is not Debian $release, the release that $list names" >&2; return 1; }
    done
    echo "$dir"
}

update() {
    local new arch dir name asked_arch _
    new=$(mktemp)
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '$new'" EXIT
    for arch in armhf arm64; do
        dir=$(apt_for "$arch") || return $?
        local names=()
        while read -r name asked_arch _; do
            # What is for all architectures stands in each one's list.
            [ "$asked_arch" = "$arch" ] || { [ "$asked_arch" = all ] && [ "$arch" = armhf ]; } || continue
            case $name in
                linux-image-*)
                    # The kernel's version is part of its package's name.
                    name=$(private_apt "$dir" apt-cache depends "linux-image-${name#linux-image-*deb*-}" |
                        sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
                    ;;
            esac
            names+=("$name")
        done < <(rows)
        # 'URI' file size SHA256:hash, the URI percent-encoded.
        private_apt "$dir" apt-get -qq download --print-uris "${names[@]}" |
            sed -E -e "s|^'$(debian_uri debian-security)/|'debian-security/|; s|^'$(debian_uri debian)/|'debian/|" \
                -e "s/^'([^']+)' ([^_]+)_([^_]+)_([a-z0-9]+)\\.deb [0-9]+ SHA256:([0-9a-f]{64})\$/\\2 \\4 \\3 \\5 \\1/" \
                -e 's/%3a/:/g; s/%2b/+/g; s/%7e/~/g' >>"$new"
    done
    if [ "$(grep -cE '^[^ ]+ (armhf|arm64|all) [^ ]+ [0-9a-f]{64} debian(-security)?/pool/[^ %]+\.deb$' "$new")" != "$(rows | wc -l)" ]; then
        echo "image: not every package of $list was found in the release; $list is as it was. What was found:" >&2
        cat "$new" >&2
        return 1
    fi
    { grep -e '^#' -e '^release ' "$list"; LC_ALL=C sort "$new"; } >"$list.new"
    mv "$list.new" "$list"
}

case ${1:-} in
    fetch) fetch "${2:?a directory is missing: image/packages.sh fetch DIR}" ;;
    update) update ;;
    *)
        echo "usage: image/packages.sh fetch DIR | update" >&2
        exit 2
        ;;
esac
