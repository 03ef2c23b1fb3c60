#!/bin/bash
# Cross compiles the engine for the card (ARMv7, hard float) with Debian's Rust and Debian's cross compiler.
#
#   image/binary.sh            builds target/armv7-unknown-linux-gnueabihf/release/larder
#   image/binary.sh test       runs the tests of the pure rooms for that target, under qemu-user
#
# rustup's compiler can't be used: the standard library for the target must come from the very same build as the
# compiler, and Debian has one for its own. It is unpacked under build/, so nothing of a foreign architecture is
# installed on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. image/apt.sh

target=armv7-unknown-linux-gnueabihf
export PATH=/usr/bin:$PATH
unset RUSTUP_TOOLCHAIN RUSTC CARGO

for tool in cargo rustc arm-linux-gnueabihf-gcc; do
    if [ ! -x "/usr/bin/$tool" ]; then
        echo "binary: /usr/bin/$tool is missing; run '.ci/setup rust' first" >&2
        exit 1
    fi
done

# Where the compiler finds the target's standard library: its own directory when the package is installed there,
# otherwise build/rust-std.
std_version=$(dpkg-query -W -f '${Version}' rustc-web)
sysroot=$(rustc --print sysroot)
if [ ! -d "$sysroot/lib/rustlib/$target/lib" ]; then
    sysroot=$PWD/build/rust-std/$std_version
    if [ ! -d "$sysroot/lib/rustlib/$target/lib" ]; then
        echo "binary: fetching the standard library of rustc-web $std_version for armhf"
        work=$PWD/build/apt-std
        release=$(. /etc/os-release && echo "$VERSION_CODENAME")
        keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        # A mirror in the middle of a synchronization has, for hours, an index that its own signed release file does
        # not know. The same archive stands there under its suite's name too, with a signature of its own.
        fetched=no
        for suite in "$release-security" oldstable-security stable-security; do
            rm -rf "$work"
            private_apt_setup "$work" armhf "$keyring" "$release main" "$suite main"
            if private_apt "$work" apt-get -qq update 2>"$work/update.log" &&
                (cd "$work/cache/archives" &&
                    private_apt "$work" apt-get -qq download "libstd-rust-web-dev=$std_version") 2>>"$work/update.log"; then
                fetched=yes
                break
            fi
        done
        if [ "$fetched" = no ]; then
            cat "$work/update.log" >&2
            echo "binary: no mirror has libstd-rust-web-dev $std_version for armhf; update rustc-web (apt-get update," \
                "apt-get install rustc-web) or wait until the mirror is whole" >&2
            exit 1
        fi
        rm -rf "$work/unpacked"
        dpkg-deb -x "$work"/cache/archives/libstd-rust-web-dev_*_armhf.deb "$work/unpacked"
        mkdir -p "$sysroot/lib/rustlib"
        mv "$work/unpacked/usr/lib/rustlib/$target" "$sysroot/lib/rustlib/"
        rm -rf "$work/unpacked"
    fi
    # The other variables are split at spaces, which the clone's folder may have in its name.
    export CARGO_ENCODED_RUSTFLAGS="--sysroot=$sysroot"
fi

if [ "${1:-build}" = test ]; then
    # The rooms that decide, and those that act through the drive in memory. What opens a real drive can't run here:
    # qemu-user (7.2) answers openat2 with ENOSYS. It runs on the emulated Pi instead, in the card's own tests.
    rooms=(model config worklist plan catalogue status apply ledger engine)
    # A life takes 30 times as long as on this machine, which lives a thousand.
    export LARDER_LIVES=${LARDER_LIVES:-40}
    log=build/armv7-tests.log
    mkdir -p build
    # Nor what takes tens of thousands of files: minutes here, seconds on this machine.
    cargo test --locked --target "$target" --lib -- "${rooms[@]/%/::}" --skip a_real_ --skip a_large_folder_ 2>&1 | tee "$log"
    # A filter that matches nothing is no failure to cargo.
    for room in "${rooms[@]}"; do
        if ! grep -q "^test $room::.* ok$" "$log"; then
            echo "binary: no test of the room '$room' ran; see $log" >&2
            exit 1
        fi
    done
    exit
fi
cargo build --release --locked --target "$target" --bin larder
binary=target/$target/release/larder
ls -l "$binary"
