#!/bin/sh
# The last word on the root file system, after packages and overlays.
#
# Buildroot gives: $1 (the root), BUILD_DIR, BR2_CONFIG, HOST_DIR,
# BR2_EXTERNAL_LARDER_PATH. Whatever is wrong here stops the build: a card that
# starts without one of its programs is found out in somebody's cupboard.
set -eu

target=$1
board=$BR2_EXTERNAL_LARDER_PATH/board/larder_rpi
top=$BR2_EXTERNAL_LARDER_PATH/..

fail() {
	echo "larder: $*" >&2
	exit 1
}

setting() { # name: its value in Buildroot's .config, without quotes
	sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "$BR2_CONFIG"
}

# The configuration fragments, line by line, in what was really configured.
kernel=$BUILD_DIR/linux-$(setting BR2_LINUX_KERNEL_VERSION)
"$board/check-config" "$kernel/.config" "$board/linux.fragment"
set -- "$BUILD_DIR"/busybox-[0-9]*/.config
[ $# -eq 1 ] || fail "several BusyBox versions in $BUILD_DIR: run 'make clean' in it"
"$board/check-config" "$1" "$board/busybox.fragment"

# The overlay's inittab starts everything; what packages bring for an rcS that
# would run init.d/S* is dead weight, and so are tools for a writable root.
rm -f "$target"/etc/init.d/S[0-9][0-9]*
for leftover in etc/ntpd.conf etc/fstab etc/network etc/cron etc/init.d/functions; do
	[ -e "$top/overlay/$leftover" ] || rm -rf "${target:?}/$leftover"
done

# Who made this card: the only place where the two builders tell themselves apart.
version=$(sed -n '/^version = /{s/^version = "\(.*\)"$/\1/p;q;}' "$top/Cargo.toml")
[ -n "$version" ] || fail "no version in $top/Cargo.toml"
rm -f "$target/etc/os-release"
cat >"$target/usr/lib/os-release" <<-EOT
	NAME="Larder"
	ID=larder
	ID_LIKE=buildroot
	VERSION="$version"
	VERSION_ID="$version"
	PRETTY_NAME="Larder $version"
	VARIANT="Card built by Buildroot"
	VARIANT_ID=buildroot
	BUILD_ID="$BR2_VERSION_FULL"
EOT
ln -s ../usr/lib/os-release "$target/etc/os-release"

# Every program that the overlay calls, and the mount points.
while read -r path _; do
	case $path in
	'' | '#'*) continue ;;
	/*) places=$path ;;
	*) places="/usr/bin/$path /usr/sbin/$path" ;;
	esac
	found=
	for place in $places; do
		if [ -e "$target$place" ] || [ -L "$target$place" ]; then found=$place; fi
	done
	[ -n "$found" ] || fail "the root has no $path (asked for in board/larder_rpi/programs)"
done <"$board/programs"
grep -q '^::respawn:.*/usr/bin/larder appliance' "$target/etc/inittab" ||
	fail "the overlay's inittab does not start 'larder appliance'"

# Prebuilt programs meet this root's libraries for the first time here.
readelf=
for tool in "$HOST_DIR"/bin/*-readelf; do
	[ -x "$tool" ] && readelf=$tool && break
done
[ -n "$readelf" ] || fail "no readelf in $HOST_DIR/bin"
for program in larder syncthing; do
	file=$target/usr/bin/$program
	"$readelf" -h "$file" | grep -q 'Machine: *ARM$' || fail "/usr/bin/$program is not for 32-bit ARM"
	for needed in $(
		"$readelf" -l "$file" | sed -n 's/.*program interpreter: .*\/\([^]]*\)\]/\1/p'
		"$readelf" -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
	); do
		[ -e "$target/lib/$needed" ] || [ -e "$target/usr/lib/$needed" ] ||
			fail "/usr/bin/$program needs $needed, which the root does not have"
	done
	# A build machine newer than the toolchain asks for symbols that the
	# card's C library does not have yet.
	for symbols in $("$readelf" -V "$file" | grep -o 'GLIBC_[0-9.]*' | sort -u); do
		"$readelf" -V "$target/lib/libc.so.6" | grep -q "Name: $symbols\( \|$\)" ||
			fail "/usr/bin/$program needs $symbols; the card's C library is older: build it on an older system"
	done
done
