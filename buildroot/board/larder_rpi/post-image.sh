#!/bin/sh
# Puts the card together: boot files, the root, the partition table.
#
# Buildroot gives: $1 (the folder of images), BUILD_DIR, TARGET_DIR,
# SOURCE_DATE_EPOCH, BR2_EXTERNAL_LARDER_PATH and genimage in the PATH.
# Comes in as well: image/layout.env and image/boot/, shared with the builder
# that uses Debian's packages. Goes out: larder-VERSION-buildroot.img.
set -eu
umask 022

images=$1
board=$BR2_EXTERNAL_LARDER_PATH/board/larder_rpi
top=$BR2_EXTERNAL_LARDER_PATH/..

fail() {
	echo "larder: $*" >&2
	exit 1
}

# shellcheck source=/dev/null # image/layout.env: plain assignments
. "$top/image/layout.env"
for value in "$CARD_MIB" "$BOOT_START_MIB" "$BOOT_MIB" "$BOOT_LABEL" "$DISK_ID" "$BOARDS"; do
	[ -n "$value" ] || fail "$top/image/layout.env leaves a setting empty"
done
version=$(sed -n '/^version = /{s/^version = "\(.*\)"$/\1/p;q;}' "$top/Cargo.toml")
name=larder-$version-buildroot

# Boot files: the firmware's, the kernel's, and ours, the last ones winning.
boot=$images/boot
rm -rf "$boot"
mkdir "$boot"
for file in bootcode.bin start.elf fixup.dat start_cd.elf fixup_cd.dat \
	start4.elf fixup4.dat start4cd.elf fixup4cd.dat; do
	cp "$images/rpi-firmware/$file" "$boot/" || fail "the firmware package has no $file"
done
for dtb in $BOARDS; do
	cp "$images/$dtb.dtb" "$boot/" ||
		fail "the kernel built no $dtb.dtb: is it in BR2_LINUX_KERNEL_INTREE_DTS_NAME?"
done
cp "$images/zImage" "$boot/kernel7.img"
cp "$top"/image/boot/* "$boot/"
cp "$board/config.txt" "$boot/"
grep -q "root=PARTUUID=$DISK_ID-02" "$boot/cmdline.txt" ||
	fail "image/boot/cmdline.txt does not name PARTUUID $DISK_ID-02 as root"
find "$boot" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

# The owner's files first: they stand at the top of the folder, and STATUS.txt,
# which is rewritten in place, lies in one piece.
list=$(
	cd "$boot"
	for file in README.txt STATUS.txt larder.toml; do
		[ ! -e "$file" ] || echo "$file"
	done
	find . -type f | sed 's|^\./||' | grep -vx -e README.txt -e STATUS.txt -e larder.toml | LC_ALL=C sort
)
echo "$list" | sed 's|.*|\t\t\t"boot/&",|' >"$images/boot.list"

sed -e "/@BOOT_FILES@/{r $images/boot.list
	d;}" \
	-e "s|@BOOT_LABEL@|$BOOT_LABEL|" -e "s|@DISK_ID@|$DISK_ID|" -e "s|@NAME@|$name|" \
	-e "s|@BOOT_START_MIB@|$BOOT_START_MIB|" -e "s|@BOOT_MIB@|$BOOT_MIB|" \
	-e "s|@ROOT_START_MIB@|$((BOOT_START_MIB + BOOT_MIB))|" \
	-e "s|@ROOT_MIB@|$((CARD_MIB - BOOT_START_MIB - BOOT_MIB))|" \
	"$board/genimage.cfg.in" >"$images/genimage.cfg"
rm "$images/boot.list"

# genimage copies the whole of a root path; there is nothing to copy.
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
rm -rf "$BUILD_DIR/genimage.tmp" "$images/$name.img"
genimage --rootpath "$empty" --tmppath "$BUILD_DIR/genimage.tmp" \
	--inputpath "$images" --outputpath "$images" --config "$images/genimage.cfg"

# What is on the root, for comparing cards.
(cd "$TARGET_DIR" && find . -mindepth 1 | sed 's|^\./||' | LC_ALL=C sort) >"$images/$name.files.txt"
