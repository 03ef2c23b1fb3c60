#!/bin/bash
# Assembles the card's image from Debian's packages, overlay/, image/boot/ and the engine's binary. No root needed.
#
#   image/build.sh [BINARY] [OUT]   default: target/armv7-unknown-linux-gnueabihf/release/larder, build/image
#
# Comes in: packages.txt (what and which version), modules.txt, layout.env, the two directories, the binary.
# Goes out: larder-VERSION.img, .img.xz, .img.bmap, .sha256, .packages.txt, .sbom.json, and boot/ for the emulator.
# The same inputs give the same bytes: every time stamp is that of the last commit, everything is sorted.
# What is there from the same inputs is left as it is (AGAIN=1: made again all the same).
# Must never: need root, run code from the packages, or leave a half-written image under the final name.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022
cd "$(dirname "$0")/.."
. image/layout.env

binary=${1:-target/armv7-unknown-linux-gnueabihf/release/larder}
out=${2:-build/image}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -r Cargo.toml +%s)}
export SOURCE_DATE_EPOCH

[ -x "$binary" ] || { echo "image: $binary is missing; run 'make binary' first" >&2; exit 1; }
for tool in mksquashfs mkfs.vfat mcopy sfdisk cpio depmod readelf xz; do
    PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null ||
        { echo "image: $tool is missing; run '.ci/setup image' first" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin:/sbin

debs=build/debs
work=build/work
root=$work/root
boot=$work/boot

step() { echo "image: $*"; }

# --- what is there already ---------------------------------------------------------------------------------------
# By content, not by time: a checkout touches every file, and the card has the time of the commit in it.
inputs=$({
    echo "$version $SOURCE_DATE_EPOCH ${NO_XZ:+without .xz}"
    sha256sum "$binary" Cargo.lock LICENSE-*
    find image overlay -name __pycache__ -prune -o \( -type f -o -type l \) -print | sort | while read -r path; do
        if [ -x "$path" ]; then echo "$path, a program"; else echo "$path"; fi
        if [ -L "$path" ]; then readlink "$path"; else sha256sum <"$path"; fi
    done
} | sha256sum | cut -d ' ' -f 1)
if [ -z "${AGAIN:-}" ] && [ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ] &&
    [ -d "$out/boot" ] && (cd "$out" && sha256sum --quiet --status -c "larder-$version.sha256" 2>/dev/null); then
    echo "image: $out/larder-$version.img is as its sources are"
    exit 0
fi
mkdir -p "$out"
rm -f "$out/inputs"
rm -rf "$work"
mkdir -p "$work" "$root" "$boot"

# --- packages, unpacked side by side -----------------------------------------------------------------------------
image/packages.sh fetch "$debs"
step "unpacking"
# Kept between runs; each folder remembers which file it came from.
pk=build/unpacked
mkdir -p "$pk"
rows() { grep -v -e '^#' -e '^release ' -e '^$' image/packages.txt; }
for folder in "$pk"/*; do
    rows | grep -q "^${folder##*/} " || rm -rf "$folder"
done
while read -r name arch ver _; do
    file=${name}_${ver//:/%3a}_$arch.deb
    [ "$(cat "$pk/$name/unpacked-from" 2>/dev/null)" != "$file" ] || continue
    rm -rf "${pk:?}/$name"
    mkdir -p "$pk/$name"
    # Of a kernel, the modules for other machines are left out where nothing here can need them.
    dpkg-deb --fsys-tarfile "$debs/$file" | tar -x -C "$pk/$name" --exclude='*/drivers/gpu/*' \
        --exclude='*/drivers/media/*' --exclude='*/kernel/sound/*' --exclude='*/drivers/infiniband/*' \
        --exclude='*/drivers/iio/*' --exclude='*/net/ethernet/mellanox/*' --exclude='./usr/share/man/*'
    if [[ $name == linux-image-* ]]; then
        # depmod wants lib/modules; Debian has usr/lib/modules.
        [ -e "$pk/$name/lib" ] || ln -s usr/lib "$pk/$name/lib"
        depmod -b "$pk/$name" "${name#linux-image-}"
    fi
    echo "$file" >"$pk/$name/unpacked-from"
done < <(rows)

# take PACKAGE PATH...: copies files of a package to the same place in the root (merged /usr).
take() {
    local from=$pk/$1 path target
    shift
    for path in "$@"; do
        [ -e "$from/$path" ] || [ -L "$from/$path" ] || path=${path#usr/}
        target=$root/usr/${path#usr/}
        mkdir -p "$(dirname "$target")"
        cp -a "$from/$path" "$target"
    done
}

# --- root file system --------------------------------------------------------------------------------------------
step "root file system"
mkdir -p "$root"/{usr/bin,usr/sbin,usr/lib,etc,boot,drive,dev,proc,sys,run,tmp,var}
ln -s usr/bin "$root/bin"
ln -s usr/sbin "$root/sbin"
ln -s usr/lib "$root/lib"
for link in run:run lib:run/lib log:run/log cache:run/cache tmp:tmp; do
    ln -s "../${link#*:}" "$root/var/${link%%:*}"
done

take busybox-static usr/bin/busybox
# Applets that another program here does better keep their full program's place.
without="busybox init sh dpkg dpkg-deb rpm rpm2cpio mke2fs mkfs.ext2 httpd telnetd ftpget ftpput tftp"
for applet in $("${RUN_ARM:-qemu-arm-static}" "$root/usr/bin/busybox" 2>/dev/null |
    sed -n '/^Currently defined/,$p' | tail -n +2 | tr -d ' \t\n' | tr ',' ' '); do
    [[ " $without " == *" $applet "* ]] || ln -s busybox "$root/usr/bin/$applet"
done
ln -s busybox "$root/usr/bin/sh"
for applet in init mdev modprobe syslogd klogd reboot poweroff halt; do
    ln -sf ../bin/busybox "$root/usr/sbin/$applet"
done

take e2fsprogs usr/sbin/e2fsck usr/sbin/mke2fs usr/sbin/tune2fs usr/sbin/dumpe2fs etc/mke2fs.conf
mv "$root/usr/etc/mke2fs.conf" "$root/etc/"
rmdir "$root/usr/etc"
ln -s mke2fs "$root/usr/sbin/mkfs.ext4"
ln -s e2fsck "$root/usr/sbin/fsck.ext4"
take fdisk usr/sbin/sfdisk
take syncthing usr/bin/syncthing
take dropbear-bin usr/sbin/dropbear usr/bin/dropbearkey
take wpasupplicant usr/sbin/wpa_supplicant
take avahi-daemon usr/sbin/avahi-daemon
take avahi-autoipd usr/sbin/avahi-autoipd
take openntpd usr/sbin/ntpd usr/sbin/ntpctl
take wireless-regdb usr/lib/firmware/regulatory.db usr/lib/firmware/regulatory.db.p7s 2>/dev/null ||
    take wireless-regdb usr/lib/firmware/regulatory.db-debian usr/lib/firmware/regulatory.db.p7s-debian
for file in "$root"/usr/lib/firmware/*-debian; do
    [ ! -e "$file" ] || mv "$file" "${file%-debian}"
done
take netbase etc/protocols etc/services
mv "$root"/usr/etc/* "$root/etc/"
rmdir "$root/usr/etc"
mkdir -p "$root/etc/ssl/certs"
find "$pk/ca-certificates/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat >"$root/etc/ssl/certs/ca-certificates.crt"

# Wi-Fi firmware of the boards' own radios: the chip files and these boards' calibration.
fw=usr/lib/firmware
mkdir -p "$root/$fw/brcm"
for chip in 43430 43455; do
    cp -L "$pk/firmware-brcm80211/$fw/cypress/cyfmac$chip-sdio.bin" "$root/$fw/brcm/brcmfmac$chip-sdio.bin"
    cp -L "$pk/firmware-brcm80211/$fw/cypress/cyfmac$chip-sdio.clm_blob" "$root/$fw/brcm/brcmfmac$chip-sdio.clm_blob"
    for nvram in "$pk/firmware-brcm80211/$fw/brcm/brcmfmac$chip-sdio.raspberrypi,"*.txt; do
        cp -L "$nvram" "$root/$fw/brcm/"
    done
done

install -m 0755 "$binary" "$root/usr/bin/larder"
cp -a overlay/. "$root/"
cat >"$root/etc/os-release" <<OS
NAME=Larder
ID=larder
ID_LIKE=debian
VERSION="$version"
VERSION_ID=$version
VARIANT="Debian packages"
VARIANT_ID=debian
PRETTY_NAME="Larder $version"
OS

# Shared libraries: what the programs name, and what those name, from our packages only.
libs_of() { readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
mapfile -t queue < <(find "$root/usr/bin" "$root/usr/sbin" -type f)
cp -L "$(find "$pk/libc6" -name 'ld-linux-armhf.so.3' | head -n 1)" "$root/usr/lib/ld-linux-armhf.so.3"
chmod 0755 "$root/usr/lib/ld-linux-armhf.so.3"
while [ ${#queue[@]} -gt 0 ]; do
    next=()
    for file in "${queue[@]}"; do
        for lib in $(libs_of "$file"); do
            [ ! -e "$root/usr/lib/$lib" ] || continue
            found=$(find "$pk" -name "$lib" -path '*/lib/*' | sort | head -n 1)
            [ -n "$found" ] || { echo "image: no package has $lib, which ${file#"$root"} needs" >&2; exit 1; }
            cp -L "$found" "$root/usr/lib/$lib"
            next+=("$root/usr/lib/$lib")
        done
    done
    queue=("${next[@]}")
done

# --- kernels: modules, initial RAM disks, boot files --------------------------------------------------------------
step "kernels"
mkdir -p "$boot"
dtbs=$(echo "$pk"/linux-image-*-armmp-lpae/usr/lib/linux-image-*)
dtbs64=$(echo "$pk"/linux-image-*-arm64/usr/lib/linux-image-*/broadcom)
for board in $BOARDS; do
    case $board in
        bcm2711-*) [ ! -e "$dtbs64/$board.dtb" ] || cp "$dtbs64/$board.dtb" "$boot/" ;;
        *) cp "$dtbs/$board.dtb" "$boot/" ;;
    esac
done
for kernel in "$pk"/linux-image-*; do
    release=$(basename "$kernel")
    release=${release#linux-image-}
    case $release in
        *armmp-lpae) image=kernel7.img initrd=initrd.img boards=("$boot"/bcm283[67]-*.dtb) ;;
        *arm64) image=kernel8.img initrd=initrd8.img boards=("$boot"/bcm2711-*.dtb) ;;
    esac
    closure() { # module names: their files, in the order to load them
        local name
        for name in "$@"; do
            modprobe -d "$kernel" -S "$release" --show-depends "$name" 2>/dev/null | sed -n 's/^insmod \(.*\.ko\(\.xz\)\{0,1\}\).*/\1/p' || true
        done | awk '!seen[$0]++'
    }
    copy_modules() { # destination root; module names follow
        local to=$1 file rel
        shift
        closure "$@" | while read -r file; do
            rel=lib/modules/$release/${file##*/lib/modules/"$release"/}
            mkdir -p "$to/$(dirname "$rel")"
            xz -dc "$file" >"$to/${rel%.xz}"
        done
        cp "$kernel/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$to/lib/modules/$release/"
        depmod -b "$to" "$release" 2>/dev/null
        # Only the text tables: BusyBox reads those, and the binary ones double the size.
        rm -f "$to/lib/modules/$release"/modules.{*.bin,devname,softdep,builtin,builtin.modinfo,order}
    }
    mapfile -t early < <(sed -n 's/^initramfs //p' image/modules.txt)
    mapfile -t all < <(sed -e 's/#.*//' -e 's/^initramfs //' image/modules.txt | awk 'NF')
    copy_modules "$root" "${all[@]}"

    ramdisk=$work/initramfs-$release
    mkdir -p "$ramdisk"/{bin,dev,proc,sys}
    cp "$root/usr/bin/busybox" "$ramdisk/bin/"
    # The few applets that init calls; all four hundred would take a second to link.
    for applet in sh mount insmod dd hexdump usleep mkdir switch_root sleep reboot; do
        ln -s busybox "$ramdisk/bin/$applet"
    done
    copy_modules "$ramdisk" "${early[@]}"
    closure "${early[@]}" | sed "s|^.*\(/lib/modules/$release/.*\.ko\)\(\.xz\)\?\$|\1|" >"$ramdisk/modules"
    python3 image/boards.py "$kernel" "$release" "$ramdisk/modules" "${boards[@]}"
    install -m 0755 image/initramfs/init "$ramdisk/init"
    find "$ramdisk" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    (cd "$ramdisk" && find . -mindepth 1 -printf '%P\n' | sort | cpio --quiet -o -H newc --reproducible -R 0:0) |
        gzip -9n >"$boot/$initrd"
    cp "$kernel/boot/vmlinuz-$release" "$boot/$image"
done

for file in bootcode.bin start.elf fixup.dat start_cd.elf fixup_cd.dat start4.elf fixup4.dat start4cd.elf fixup4cd.dat; do
    cp "$pk/raspi-firmware/usr/lib/raspi-firmware/$file" "$boot/"
done
cp -L image/boot/* "$boot/"
sed -i "s/root=PARTUUID=[0-9a-f]*-02/root=PARTUUID=$DISK_ID-02/" "$boot/cmdline.txt"

# Licences travel with what they cover.
for package in "$pk"/*; do
    name=$(basename "$package")
    if [ -e "$package/usr/share/doc/$name/copyright" ]; then
        mkdir -p "$root/usr/share/doc/$name"
        cp -L "$package/usr/share/doc/$name/copyright" "$root/usr/share/doc/$name/"
    fi
done
mkdir -p "$root/usr/share/doc/larder"
cp LICENSE-MIT LICENSE-APACHE "$root/usr/share/doc/larder/"

# --- the card ----------------------------------------------------------------------------------------------------
step "squashfs"
find "$root" -type d -exec chmod 0755 {} +
# Whoever checked the sources out, and under whichever umask.
find "$root" -type f -perm -u+x -exec chmod 0755 {} +
find "$root" -type f ! -perm -u+x -exec chmod 0644 {} +
chmod 0640 "$root/etc/shadow"
rm -f "$work/root.squashfs"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mksquashfs "$root" "$work/root.squashfs" -noappend -comp zstd -Xcompression-level 19 -b 256K -all-root -no-xattrs \
    -no-exports -quiet -no-progress >/dev/null

step "boot partition"
find "$boot" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
fat=$work/boot.fat
truncate -s "${BOOT_MIB}M" "$fat"
mkfs.vfat -F 32 -s 1 -n "$BOOT_LABEL" --invariant -i "$DISK_ID" "$fat" >/dev/null
# The small files first: an owner sees them at the top, and STATUS.txt lies in one piece.
(cd "$boot" && for file in README.txt STATUS.txt larder.toml $(find . -type f -printf '%P\n' | sort); do
    [ ! -e "$file" ] || echo "$file"
done | awk '!seen[$0]++') | while read -r file; do
    mcopy -m -i "$fat" "$boot/$file" "::$file"
done

step "image"
name=larder-$version
img=$work/$name.img
truncate -s "${CARD_MIB}M" "$img"
start=$((BOOT_START_MIB * 2048))
size=$((BOOT_MIB * 2048))
root_start=$((start + size))
root_size=$((CARD_MIB * 2048 - root_start))
[ "$(stat -c %s "$work/root.squashfs")" -le $((root_size * 512)) ] ||
    { echo "image: the root is larger than its partition; raise CARD_MIB in image/layout.env" >&2; exit 1; }
sfdisk --quiet "$img" <<TABLE
label: dos
label-id: 0x$DISK_ID
start=$start, size=$size, type=c, bootable
start=$root_start, size=$root_size, type=83
TABLE
dd if="$fat" of="$img" bs=1M seek="$BOOT_START_MIB" conv=notrunc,sparse status=none
dd if="$work/root.squashfs" of="$img" bs=1M seek=$((BOOT_START_MIB + BOOT_MIB)) conv=notrunc,sparse status=none

step "compressing, listing"
# NO_XZ=1: while working on the card, without the compressed copy.
if [ -z "${NO_XZ:-}" ]; then
    xz -T0 -6 --block-size=16MiB -k -f "$img"
    [ "$(stat -c %s "$img.xz")" -le $((COMPRESSED_MB * 1000000)) ] ||
        { echo "image: compressed it is larger than $COMPRESSED_MB MB; see what came in, or raise COMPRESSED_MB in" \
            "image/layout.env" >&2; exit 1; }
fi
python3 image/bmap.py "$img" >"$img.bmap"
python3 image/sbom.py --version "$version" --packages image/packages.txt --unpacked "$pk" --lock Cargo.lock \
    --list "$work/$name.packages.txt" >"$work/$name.sbom.json"
(cd "$work" && sha256sum "$name".img* "$name".packages.txt "$name".sbom.json >"$name.sha256")
mkdir -p "$out/boot"
rm -f "$out"/larder-*
cp "$boot"/kernel[78].img "$boot"/initrd*.img "$boot"/*.dtb "$boot"/cmdline.txt "$out/boot/"
mv "$work/$name".* "$out/"
echo "$inputs" >"$out/inputs"
find "$out" -maxdepth 1 -type f -printf 'image: %s %f\n' | sort -k 3
