"""The other half of the card: the 64-bit kernel and its RAM disk, which a Pi 4 starts, with the same programs."""

import os

import drives
import pytest

WISHED = "Papers/recipes/bread.txt"


@pytest.fixture(scope="module")
def bits(image):
    if "IMAGE" in os.environ and not (image.parent / "boot/kernel8.img").exists():
        pytest.skip("SKIPPED: the card that IMAGE names has no 64-bit kernel")
    return 64


@pytest.fixture(scope="module")
def drive(folder):
    tree = folder / "tree"
    drives.family_tree(tree)
    return drives.make_drive(folder / "family.img", "FAMILY001", tree=tree)


def test_the_64_bit_kernel_carries_out_a_wish(machine, drive):
    """From power on through ready to the link; what is special to a Pi 4's hardware is not emulated."""
    machine.card.write("larder.toml", '[web]\npassword = "open sesame"\n[devices.HTCphone]\n')
    _, ready = machine.start([drive], "ready", 240)
    print(f"FIGURE: the 64-bit kernel is ready {ready:.1f} s after power on")
    assert machine.sh("uname -m").strip() == "aarch64"
    page = "/drive/BTsync/catalogue/HTCphone/catalogue.html"
    machine.wait("the phone's page", lambda: machine.sh_status(f"test -s {page}")[0] == 0, 60)
    machine.wish(1, WISHED)
    link = f"/drive/BTsync/devices/HTCphone/{WISHED}"
    machine.wait("the link", lambda: machine.sh_status(f"test '{link}' -ef '/drive/BTsync/files/{WISHED}'")[0] == 0, 60)
    machine.power_off()
