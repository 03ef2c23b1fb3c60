"""Shared by the tests of the Buildroot tree.

BUILDROOT=tree[:tree…]  Buildroot trees to configure with (both lines, ideally)
LINUX=tree              an unpacked source of the pinned kernel line
IMAGE=img[:img…]        finished cards of either builder

What is not given is skipped, and the end of the run says in capitals what was therefore not checked.
"""

import os
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
TREE = TOP / "buildroot"
BOARD = TREE / "board" / "larder_rpi"


def given(name):
    """The paths of a colon-separated setting."""
    return [pathlib.Path(p).resolve() for p in os.environ.get(name, "").split(":") if p]


def layout():
    """image/layout.env as a dictionary; it holds plain assignments only."""
    text = (TOP / "image" / "layout.env").read_text()
    return {k: v.strip('"') for k, v in re.findall(r'^([A-Z_]+)=("[^"\n]*"|\S*)$', text, re.MULTILINE)}


def defconfig():
    """The settings of larder_rpi_defconfig: name to value without quotes, "n" for those switched off."""
    settings = {}
    for line in (TREE / "configs" / "larder_rpi_defconfig").read_text().splitlines():
        if found := re.fullmatch(r'(BR2_\w+)="?(.*?)"?', line):
            settings[found[1]] = found[2]
        elif found := re.fullmatch(r"# (BR2_\w+) is not set", line):
            settings[found[1]] = "n"
        else:
            raise AssertionError(f"larder_rpi_defconfig: not a line kconfig writes: {line!r}")
    return settings


def fragment(path):
    """A kconfig fragment: symbol without CONFIG_ to value, "n" for those switched off."""
    symbols = {}
    for line in path.read_text().splitlines():
        if found := re.fullmatch(r"CONFIG_(\w+)=(.*)", line):
            symbols[found[1]] = found[2]
        elif found := re.fullmatch(r"# CONFIG_(\w+) is not set", line):
            symbols[found[1]] = "n"
    return symbols
