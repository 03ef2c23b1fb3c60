"""What the emulator's loader is given, since there is no firmware: board, kernel and device tree."""

import contextlib
import lzma
import pathlib
import re
import struct
import zlib

# By the bits of the kernel: the emulator, its board, and what the card has for it. A Pi 4 runs the 64-bit half of the card;
# QEMU 7.2 has no Pi 4, so a Pi 3 runs it there.
BOARDS = {
    32: ("qemu-system-arm", "raspi2b", "bcm2836-rpi-2-b.dtb", "kernel7.img", "initrd.img"),
    64: ("qemu-system-aarch64", "raspi3b", "bcm2837-rpi-3-b.dtb", "kernel8.img", "initrd8.img"),
}


# How an ARMv7 kernel forgets its own translations of a range (arch/arm/mm/tlb-v7.S, v7wbi_flush_kern_tlb_range): page by
# page, `mcr p15, 0, r0, c8, c3, 3` in a loop. After each module that it loads the range is a gigabyte, and each of those
# 50,000 instructions stops all four emulated processors: 10 s a time on an idle machine, over a minute on a busy one, in
# which nothing else runs, while a Pi needs milliseconds. With `c8, c3, 0` it forgets everything, once: more than it has to,
# which is always right (arm64's kernel does the same beyond a limit of its own).
RANGE_FLUSH = struct.pack("<12I", 0xF57FF04B, 0xE1A00620, 0xE1A01621, 0xE1A00600, 0xE1A01601, 0xEE080F73, 0xE2800A01,
                          0xE1500001, 0x3AFFFFFB, 0xF57FF04B, 0xF57FF06F, 0xE12FFF1E)
ALL_AT_ONCE, NOTHING = struct.pack("<I", 0xEE080F13), struct.pack("<I", 0xE1A00000)


def flushing_at_once(kernel):
    """The kernel with that loop run once, for all; as it is where the loop is not found."""
    if kernel.count(RANGE_FLUSH) != 1:
        return kernel
    begin = kernel.index(RANGE_FLUSH)
    words = [RANGE_FLUSH[at : at + 4] for at in range(0, len(RANGE_FLUSH), 4)]
    words[5], words[8] = ALL_AT_ONCE, NOTHING
    return kernel[:begin] + b"".join(words) + kernel[begin + len(RANGE_FLUSH) :]


def unpacked_kernel(packed, folder):
    """The kernel as it is after unpacking itself, for the emulator's loader (U-Boot's image format says where it goes).
    The emulated processor takes a quarter of a minute for what a Pi does in a second or two: no start is worth that.
    A kernel that is packed otherwise than by xz unpacks itself."""
    data = pathlib.Path(packed).read_bytes()
    for found in re.finditer(re.escape(b"\xfd7zXZ\0"), data):
        with contextlib.suppress(lzma.LZMAError):
            kernel = flushing_at_once(lzma.LZMADecompressor().decompress(data[found.start() :]))
            break
    else:
        return packed
    # Where it wants to be stands in the table of its packed form (arch/arm/boot/compressed/vmlinux.lds.S).
    table = data.find(struct.pack("<2I", 6, 0x5A534C4B))
    if table < 0:
        return packed
    (at,) = struct.unpack_from("<I", data, table + 16)
    linux, arm, kind, not_packed = 5, 2, 2, 0
    fields = [0, len(kernel), at, at, zlib.crc32(kernel), linux, arm, kind, not_packed, b"larder"]
    header = struct.pack(">7I4B32s", 0x27051956, 0, *fields)
    header = struct.pack(">7I4B32s", 0x27051956, zlib.crc32(header), *fields)
    path = pathlib.Path(folder) / "kernel.uimage"
    path.write_bytes(header + kernel)
    return path


def without_bluetooth(dtb, folder):
    """A Pi 3's radio has the serial line that is the console here: what makes Linux look for it is blotted out in the
    device tree (its `compatible` property becomes words that mean nothing)."""
    data = bytearray(pathlib.Path(dtb).read_bytes())
    found = data.find(b"brcm,bcm43438-bt\0")
    if found < 0:
        return dtb
    header, nop = found - 12, struct.pack(">I", 4)
    (length,) = struct.unpack_from(">I", data, header + 4)
    words = 3 + (length + 3) // 4
    data[header : header + 4 * words] = nop * words
    path = pathlib.Path(folder) / "board.dtb"
    path.write_bytes(data)
    return path
