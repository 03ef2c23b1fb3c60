# shellcheck shell=bash
# A private apt for another architecture, to be sourced by the image builder and the cross build.
#
# Comes in: a directory to work in (under build/, kept between runs). Goes out: .deb files whose hashes were checked
# against an index, and that index against Debian's signed release file. The machine's own package lists, its dpkg
# state and its sources stay as they are; its apt settings (a proxy, for one) stay in force.
# Must never: download anything without a checked signature, or install anything on this machine.

# debian_uri debian|debian-security: where this machine gets that archive from; Debian's own address when it has none.
# LARDER_DEBIAN names another place for the archive `debian`.
debian_uri() {
    local archive=$1 found
    [ "$archive" != debian ] || [ -z "${LARDER_DEBIAN:-}" ] || { echo "${LARDER_DEBIAN%/}"; return; }
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        grep -v '^[[:space:]]*#' | grep -oE "[a-z+]+://[^[:space:]]+/$archive/?([[:space:]]|$)" | head -n 1 |
        tr -d '[:space:]') || true
    found=${found:-http://deb.debian.org/$archive}
    echo "${found%/}"
}

# private_apt_setup DIR ARCH KEYRING_GLOB "SUITE COMPONENTS" ...: writes the settings and the source list.
# A suite that ends in -security comes from the security archive.
private_apt_setup() {
    local dir=$1 arch=$2 keyring=$3 archive entry
    shift 3
    mkdir -p "$dir"/etc "$dir"/lists/partial "$dir"/cache/archives/partial "$dir"/state
    : >"$dir/status"
    {
        echo "Dir::Etc::SourceList \"$dir/etc/sources.list\";"
        echo 'Dir::Etc::SourceParts "/dev/null";'
        echo 'Dir::Etc::Preferences "/dev/null";'
        echo 'Dir::Etc::PreferencesParts "/dev/null";'
        echo "Dir::State \"$dir/state\";"
        echo "Dir::State::Lists \"$dir/lists\";"
        echo "Dir::State::Status \"$dir/status\";"
        echo "Dir::Cache \"$dir/cache\";"
        echo "APT::Architecture \"$arch\";"
        echo "APT::Architectures { \"$arch\"; };"
        echo 'Acquire::Languages "none";'
        echo 'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";'
        echo 'APT::Get::AllowUnauthenticated "false";'
        echo 'Acquire::AllowInsecureRepositories "false";'
        echo 'Acquire::Retries "3";'
        # Without root there is no _apt user to change to.
        echo 'APT::Sandbox::User "";'
        # Scripts that the machine's own apt runs after an update have no business here.
        echo '#clear APT::Update::Post-Invoke-Success;'
        echo '#clear APT::Update::Post-Invoke;'
    } >"$dir/etc/apt.conf"
    for entry in "$@"; do
        archive=debian
        case ${entry%% *} in *-security) archive=debian-security ;; esac
        echo "deb [arch=$arch signed-by=$keyring] $(debian_uri "$archive") $entry"
    done >"$dir/etc/sources.list"
}

private_apt() {
    local dir=$1
    shift
    APT_CONFIG="$dir/etc/apt.conf" "$@"
}
