"""What is on the card after some work, seen from outside: STATUS.txt as an owner's computer reads it, and nothing else."""

import sdcard


def status(machine, *words):
    """STATUS.txt on one line, or None while one of the words is missing. It is rewritten at most once a minute."""
    text = " ".join(machine.card.read("STATUS.txt").decode("utf-8", "replace").split())
    return text if all(word in text for word in words) else None


def only_the_status(machine, before):
    """No sector of the root was written, and of the boot partition only those of STATUS.txt. `before`: a copy of the card
    from before it was started."""
    # Sectors written are the seventh figure (Documentation/block/stat.rst).
    sectors = {part: int(machine.sh(f"cat /sys/block/mmcblk0/{part}/stat").split()[6]) for part in ("mmcblk0p1", "mmcblk0p2")}
    assert sectors["mmcblk0p2"] == 0, "sectors were written to the root"
    place = machine.card.path.read_bytes().find(b"\xef\xbb\xbfLARDER STATUS")
    assert sdcard.BOOT_OFFSET < place < sdcard.ROOT_OFFSET
    length = len(machine.card.read("STATUS.txt"))
    changed = machine.card.changed_ranges(before)
    assert changed, "nothing was written at all: then STATUS.txt was not either"
    assert [offset for offset in changed if not place <= offset < place + length] == []
    print(f"FIGURE: {sectors['mmcblk0p1']} sectors written to the card, all of STATUS.txt, none to the root")
