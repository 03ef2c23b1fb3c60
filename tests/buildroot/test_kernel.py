"""The kernel fragment on a source of the pinned kernel line: LINUX=tree, or the one that Buildroot unpacked."""

import os
import re
import shutil
import subprocess

import pytest
from external_tree import BOARD, TOP, defconfig, fragment, given

WHAT = "no symbol of the kernel fragment was looked up"


@pytest.fixture(scope="module")
def linux():
    version = defconfig()["BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE"]
    trees = given("LINUX") + [TOP / "build/buildroot/build" / f"linux-{version}"]
    tree = next((t for t in trees if (t / "Kconfig").is_file()), None)
    if tree is None:
        pytest.skip(f"LINUX= is not given and nothing was built: {WHAT}")
    makefile = (tree / "Makefile").read_text()
    line = ".".join(re.search(rf"^{part} = (\d+)$", makefile, re.MULTILINE)[1] for part in ("VERSION", "PATCHLEVEL"))
    assert version.startswith(f"{line}."), f"LINUX= is a {line}, the card's kernel is {version}"
    return tree


def test_every_symbol_is_known_to_that_kernel(linux):
    known = set()
    for path in linux.rglob("Kconfig*"):
        known |= set(re.findall(r"^\s*(?:menu)?config (\w+)", path.read_text(errors="replace"), re.MULTILINE))
    assert len(known) > 15000
    unknown = set(fragment(BOARD / "linux.fragment")) - known
    assert not unknown, f"not in this kernel's Kconfig files: {sorted(unknown)}"


def test_every_line_reaches_the_configuration(linux, tmp_path):
    """bcm2835_defconfig, the fragment over it, and the kernel's own kconfig: what Buildroot does, without Buildroot."""
    missing = [t for t in ("arm-linux-gnueabihf-gcc", "flex", "bison", "make") if not shutil.which(t)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: the kernel was not configured")
    make = ["make", "-s", "-C", linux, f"O={tmp_path}", "ARCH=arm", "CROSS_COMPILE=arm-linux-gnueabihf-"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    defconfig_name = f"{defconfig()['BR2_LINUX_KERNEL_DEFCONFIG']}_defconfig"
    subprocess.run([*make, defconfig_name], check=True, capture_output=True, env=environment, timeout=300)
    config = tmp_path / ".config"
    ours = fragment(BOARD / "linux.fragment")
    kept = [
        line
        for line in config.read_text().splitlines()
        if not ((found := re.match(r"(?:# )?CONFIG_(\w+)[ =]", line)) and found[1] in ours)
    ]
    config.write_text("\n".join(kept) + "\n" + (BOARD / "linux.fragment").read_text())
    subprocess.run([*make, "olddefconfig"], check=True, capture_output=True, env=environment, timeout=300)
    done = subprocess.run([BOARD / "check-config", config, BOARD / "linux.fragment"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_boards_have_device_trees(linux):
    for name in defconfig()["BR2_LINUX_KERNEL_INTREE_DTS_NAME"].split():
        assert (linux / "arch/arm/boot/dts" / f"{name}.dts").is_file(), name
