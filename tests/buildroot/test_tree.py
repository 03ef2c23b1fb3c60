"""The external tree on real Buildroot trees: BUILDROOT=tree[:tree…]. Configures and asks; builds nothing."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from external_tree import BOARD, TOP, TREE, defconfig, fragment

WHAT = "no check-package, no configuring, no hash check, no show-info was run"


def make(buildroot, output, *targets, check=True):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "BR2_"))}
    command = ["make", "-s", "--no-print-directory", "-C", buildroot, f"O={output}", f"BR2_EXTERNAL={TREE}", *targets]
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, timeout=600, env={**environment, "LC_ALL": "C"}
    )
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def configured(buildroot, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    done = make(buildroot, output, "larder_rpi_defconfig")
    assert "warning" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
    return output


@pytest.fixture(scope="module")
def packages(buildroot, configured):
    return json.loads(make(buildroot, configured, "show-info").stdout)


def test_check_package_has_nothing_to_say(buildroot):
    for module in ("magic", "flake8"):
        if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode:
            pytest.skip(f"check-package needs Python's {module} ('pip install python-magic flake8'): it was not run")
    if not shutil.which("shellcheck"):
        pytest.skip("check-package needs shellcheck: it was not run")
    files = [p for p in sorted(TREE.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, buildroot / "utils/check-package", "-b", *files],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0 and "\n0 warnings generated" in done.stdout + done.stderr, done.stdout + done.stderr


def test_every_line_of_the_defconfig_counts(configured):
    done = subprocess.run(
        [BOARD / "check-config", configured / ".config", TREE / "configs/larder_rpi_defconfig"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_defconfig_is_what_savedefconfig_writes(buildroot, configured, tmp_path):
    make(buildroot, configured, "savedefconfig", f"BR2_DEFCONFIG={tmp_path}/saved")
    assert (tmp_path / "saved").read_text() == (TREE / "configs/larder_rpi_defconfig").read_text()


def test_the_settings_that_the_card_stands_on(configured):
    text = (configured / ".config").read_text()
    for line in (
        "BR2_INIT_BUSYBOX=y",
        "BR2_ARM_CPU_HAS_NEON=y",
        "BR2_TOOLCHAIN_EXTERNAL_BOOTLIN_ARMV7_EABIHF_GLIBC_STABLE=y",
        "BR2_PACKAGE_LARDER=y",
        "BR2_PACKAGE_SYNCTHING_BIN=y",
        "BR2_PACKAGE_CA_CERTIFICATES=y",
        "BR2_PACKAGE_E2FSPROGS=y",
        'BR2_SYSTEM_DHCP=""',
    ):
        assert f"\n{line}\n" in text, line


def test_no_package_without_a_hash(buildroot, packages):
    """Every download of every package, of the build machine's tools as well, is named in a hash file."""
    assert len(packages) > 40 and "larder" in packages and "host-genimage" in packages
    for name, package in packages.items():
        for download in package.get("downloads", []):
            if any(uri.startswith("local+") for uri in download["uris"]):
                continue
            lines = [
                line.split() for path in package["hashes"] for line in (buildroot / path).read_text().splitlines()
            ]
            good = [row for row in lines if len(row) == 3 and row[2] == download["source"] and row[0] in ("sha256", "sha512")]
            assert good, f"{name}: no sha256 of {download['source']} in {package['hashes'] or 'any file'}"


def test_a_package_without_a_hash_file_stops_the_build(buildroot, tmp_path):
    """Buildroot only warns; our check must not."""
    shutil.copytree(TREE, tmp_path / "tree/buildroot")
    shutil.copy(TOP / "Cargo.toml", tmp_path / "tree")
    (tmp_path / "tree/buildroot/package/syncthing-bin/syncthing-bin.hash").unlink()
    external, output = f"BR2_EXTERNAL={tmp_path}/tree/buildroot", tmp_path / "output"
    make(buildroot, output, external, "larder_rpi_defconfig")
    # "prepare" comes before the first download of any package.
    done = make(buildroot, output, external, "prepare", check=False)
    assert done.returncode != 0 and "no hash file: syncthing-bin" in done.stderr, done.stderr


def test_the_check_for_hashes_passes(buildroot, configured):
    make(buildroot, configured, "larder-check-hashes")


def test_versions_come_from_one_place(packages):
    cargo = re.search(r'^version = "(.*)"$', (TOP / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert packages["larder"]["version"] == cargo
    assert packages["linux"]["version"] == defconfig()["BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE"]


def test_every_package_on_the_card_names_its_licence(packages):
    # Of the toolchain the C library and libgcc come on the card; Buildroot lists no licence of a prebuilt toolchain,
    # so the release notes name them.
    assert "toolchains.bootlin.com" in (TREE / "release-notes.md.in").read_text()
    for name, package in packages.items():
        if package.get("install_target") and package.get("downloads") and name != "toolchain-external-bootlin":
            assert package["licenses"] not in ("", "unknown"), name
            assert package["license_files"], name


def test_busybox_does_not_run_as_root_for_everybody(buildroot, configured):
    """The last line for a file wins; BusyBox's package makes it setuid, ours takes that back."""
    table = make(buildroot, configured, "printvars", "VARS=PACKAGES_PERMISSIONS_TABLE").stdout
    modes = re.findall(r"/bin/busybox +f +(\d+)", table)
    assert modes == ["4755", "0755"], modes


def test_busybox_knows_the_fragment(buildroot):
    """Buildroot's own BusyBox settings name every symbol that its BusyBox has."""
    known = set(fragment(buildroot / "package/busybox/busybox.config"))
    assert len(known) > 800
    assert set(fragment(BOARD / "busybox.fragment")) <= known


def test_the_device_trees_have_a_wanted_kernel(packages):
    assert packages["linux"]["version"].startswith("6.12.")
    assert any(path.endswith("patches/linux/linux.hash") for path in packages["linux"]["hashes"])


def test_bill_of_materials(buildroot, packages, tmp_path):
    """Buildroot's own tool and our finish on the real list; the table of licence names is put there, as a download is."""
    (tmp_path / "dl/cyclonedx").mkdir(parents=True)
    (tmp_path / "dl/cyclonedx/spdx-1.6.schema.json").write_text('{"enum": ["MIT", "GPL-2.0", "MPL-2.0"]}')
    (tmp_path / "info.json").write_text(json.dumps(packages))
    done = subprocess.run(
        [buildroot / "utils/generate-cyclonedx", "--project-name", "larder-image", "--project-version", "1",
         "-i", tmp_path / "info.json", "-o", tmp_path / "sbom.json"],
        capture_output=True, text=True, env={**os.environ, "BR2_DL_DIR": str(tmp_path / "dl")},
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, TREE / "sbom.py", "--sbom", tmp_path / "sbom.json", "--lock", TOP / "Cargo.lock",
         "--packages", tmp_path / "packages.txt", "--version", "1"],
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    names = {c["name"] for c in json.loads(done.stdout)["components"]}
    assert {"linux", "busybox", "syncthing-bin", "larder", "rusqlite"} <= names
    listed = [line.split()[0] for line in (tmp_path / "packages.txt").read_text().splitlines()]
    assert {"linux", "busybox", "larder", "rpi-firmware"} <= set(listed)
    assert not any(name.startswith("host-") for name in listed)
