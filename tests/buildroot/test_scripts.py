"""The scripts of the Buildroot tree, run on small made-up inputs; no Buildroot needed."""

import hashlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from external_tree import BOARD, TOP, TREE, layout

EPOCH = "1790000000"
FIRMWARE = "bootcode.bin start.elf fixup.dat start_cd.elf fixup_cd.dat start4.elf fixup4.dat start4cd.elf fixup4cd.dat"
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def load(name):
    spec = importlib.util.spec_from_file_location(name, TREE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, **options)


# --- check-config ---------------------------------------------------------------------------------------------------

FINAL = 'CONFIG_A=y\nCONFIG_B=m\nCONFIG_NAME="x"\n# CONFIG_OFF is not set\nCONFIG_AB=y\nBR2_arm=y\n'


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("CONFIG_A=y", True),
        ('CONFIG_NAME="x"', True),
        ("# CONFIG_OFF is not set", True),
        ("# CONFIG_NOWHERE is not set", True),
        ("# a remark", True),
        ("BR2_arm=y", True),
        ("CONFIG_B=y", False),
        ("CONFIG_NOWHERE=y", False),
        ("CONFIG_OFF=y", False),
        ("# CONFIG_A is not set", False),
        ('CONFIG_NAME="y"', False),
        ("CONFIG_.=y", False),
        (" CONFIG_A=y", False),
        ("# BR2_arm is not set", False),
        ("BR2_aarch64=y", False),
    ],
)
def test_check_config(tmp_path, line, accepted):
    (tmp_path / "config").write_text(FINAL)
    # Without a newline at the end: the last line counts too.
    (tmp_path / "fragment").write_text(f"CONFIG_A=y\n{line}")
    done = run(BOARD / "check-config", tmp_path / "config", tmp_path / "fragment")
    assert (done.returncode == 0) == accepted, done.stderr
    assert accepted or line.strip() in done.stderr


def test_check_config_needs_its_files(tmp_path):
    assert run(BOARD / "check-config", tmp_path / "none", BOARD / "linux.fragment").returncode == 2


# --- post-build -----------------------------------------------------------------------------------------------------

READELF = shutil.which("arm-linux-gnueabihf-readelf")
GCC = shutil.which("arm-linux-gnueabihf-gcc")
needs_cross = pytest.mark.skipif(
    not (READELF and GCC), reason="Debian's ARM cross compiler is not installed: post-build.sh was not run"
)


@pytest.fixture
def built(tmp_path):
    """What Buildroot hands to post-build.sh, with programs that need only the C library."""
    target, build, host = tmp_path / "target", tmp_path / "build", tmp_path / "host"
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "etc/init.d", "etc/network"):
        (target / folder).mkdir(parents=True)
    for short in ("bin", "sbin", "lib"):
        (target / short).symlink_to(f"usr/{short}")
    shutil.copytree(TOP / "overlay", target, symlinks=True, dirs_exist_ok=True)
    for row in (BOARD / "programs").read_text().splitlines():
        if row and not row.startswith("#"):
            name = row.split()[0]
            path = target / name.lstrip("/") if name.startswith("/") else target / "usr/bin" / name
            path.touch()
    (tmp_path / "main.c").write_text("#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n")
    run(GCC, "-o", target / "usr/bin/larder", tmp_path / "main.c", check=True)
    shutil.copy(target / "usr/bin/larder", target / "usr/bin/syncthing")
    for library in ("libc.so.6", "ld-linux-armhf.so.3"):
        shutil.copy(f"/usr/arm-linux-gnueabihf/lib/{library}", target / "usr/lib" / library)
    (target / "etc/init.d/S40network").write_text("#!/bin/sh\n")
    (target / "etc/fstab").write_text("")
    (host / "bin").mkdir(parents=True)
    (host / "bin/arm-linux-readelf").symlink_to(READELF)
    for folder, fragment in (("linux-1.2.3", "linux.fragment"), ("busybox-4.5", "busybox.fragment")):
        (build / folder).mkdir(parents=True)
        (build / folder / ".config").write_text((BOARD / fragment).read_text())
    (tmp_path / "config").write_text('BR2_LINUX_KERNEL_VERSION="1.2.3"\n')
    environment = {
        "PATH": PATH,
        "BUILD_DIR": build,
        "HOST_DIR": host,
        "BR2_CONFIG": tmp_path / "config",
        "BR2_EXTERNAL_LARDER_PATH": TREE,
        "BR2_VERSION_FULL": "2025.02.16",
    }

    def post_build():
        return run(BOARD / "post-build.sh", target, env={k: str(v) for k, v in environment.items()})

    post_build.target, post_build.build, post_build.tmp = target, build, tmp_path
    return post_build


@needs_cross
def test_post_build_leaves_a_root_that_names_itself(built):
    done = built()
    assert done.returncode == 0, done.stderr
    release = dict(line.split("=", 1) for line in (built.target / "etc/os-release").read_text().splitlines())
    version = (TOP / "Cargo.toml").read_text().split('version = "', 1)[1].split('"', 1)[0]
    assert release["VARIANT_ID"] == "buildroot" and release["VERSION_ID"] == f'"{version}"'
    assert not (built.target / "etc/init.d/S40network").exists()
    assert not (built.target / "etc/fstab").exists()
    assert (built.target / "etc/init.d/rcS").exists()
    again = built()
    assert again.returncode == 0, "post-build.sh runs again when the build is taken up again"


@needs_cross
@pytest.mark.parametrize("program", ["e2fsck", "/usr/sbin/avahi-daemon"])
def test_post_build_misses_a_program(built, program):
    for path in built.target.rglob(program.rsplit("/", 1)[-1]):
        path.unlink()
    done = built()
    assert done.returncode != 0 and program in done.stderr


@needs_cross
def test_post_build_misses_a_library(built):
    (built.target / "usr/lib/libc.so.6").unlink()
    done = built()
    assert done.returncode != 0 and "libc.so.6" in done.stderr


@needs_cross
def test_post_build_refuses_a_program_for_another_machine(built):
    shutil.copy("/bin/true", built.target / "usr/bin/syncthing")
    done = built()
    assert done.returncode != 0 and "not for 32-bit ARM" in done.stderr


@needs_cross
def test_post_build_refuses_an_older_c_library(built):
    # A C library that lacks the version of the symbols that the program asks for.
    (built.tmp / "old.c").write_text("int puts(const char *s) { return s != 0; }\n")
    run(GCC, "-shared", "-nostdlib", "-fPIC", "-o", built.target / "usr/lib/libc.so.6", built.tmp / "old.c", check=True)
    done = built()
    assert done.returncode != 0 and "GLIBC_" in done.stderr and "older" in done.stderr


@needs_cross
def test_post_build_sees_a_fragment_that_did_not_arrive(built):
    config = built.build / "linux-1.2.3/.config"
    config.write_text(config.read_text().replace("CONFIG_NEON=y", "# CONFIG_NEON is not set"))
    done = built()
    assert done.returncode != 0 and "CONFIG_NEON=y" in done.stderr


@needs_cross
def test_post_build_wants_the_supervisor_started(built):
    inittab = built.target / "etc/inittab"
    inittab.write_text(inittab.read_text().replace("larder appliance", "larder run"))
    done = built()
    assert done.returncode != 0 and "larder appliance" in done.stderr


# --- post-image -----------------------------------------------------------------------------------------------------

needs_genimage = pytest.mark.skipif(
    not all(shutil.which(t, path=PATH) for t in ("genimage", "mkfs.vfat", "mcopy")),
    reason="genimage, dosfstools or mtools is not installed: no card was put together",
)


def put_together(folder):
    images = folder / "images"
    (images / "rpi-firmware").mkdir(parents=True)
    for name in FIRMWARE.split():
        (images / "rpi-firmware" / name).write_bytes(name.encode() * 500)
    for board in layout()["BOARDS"].split():
        (images / f"{board}.dtb").write_bytes(board.encode() * 100)
    (images / "zImage").write_bytes(b"kernel" * 9999)
    (images / "rootfs.squashfs").write_bytes(b"root" * 9999)
    (folder / "build").mkdir()
    (folder / "target/etc").mkdir(parents=True)
    (folder / "target/etc/issue").write_text("")
    environment = {
        "PATH": PATH,
        "BUILD_DIR": str(folder / "build"),
        "TARGET_DIR": str(folder / "target"),
        "SOURCE_DATE_EPOCH": EPOCH,
        "BR2_EXTERNAL_LARDER_PATH": str(TREE),
    }
    return images, lambda: run(BOARD / "post-image.sh", images, env=environment, cwd=folder)


@needs_genimage
def test_the_card_is_as_the_layout_says(tmp_path):
    images, post_image = put_together(tmp_path)
    done = post_image()
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = images.glob("larder-*-buildroot.img")
    card, want = image.read_bytes(), layout()
    mib = 1 << 20
    assert len(card) == int(want["CARD_MIB"]) * mib
    assert card[510:512] == b"\x55\xaa"
    assert f"{struct.unpack_from('<I', card, 440)[0]:08x}" == want["DISK_ID"]
    boot_start, boot_size = int(want["BOOT_START_MIB"]) * mib, int(want["BOOT_MIB"]) * mib
    partitions = [struct.unpack_from("<B3xB3xII", card, 446 + 16 * n) for n in range(4)]
    assert partitions[0] == (0x80, 0x0C, boot_start // 512, boot_size // 512)
    root_start = boot_start + boot_size
    assert partitions[1] == (0, 0x83, root_start // 512, (len(card) - root_start) // 512)
    assert partitions[2:] == [(0, 0, 0, 0)] * 2
    boot = card[boot_start : boot_start + boot_size]
    assert boot[82:90] == b"FAT32   " and boot[71:82].decode().strip() == want["BOOT_LABEL"]
    assert f"{struct.unpack_from('<I', boot, 67)[0]:08x}" == want["DISK_ID"]
    assert card[root_start:].startswith(b"rootroot")
    tmp_path.joinpath("boot.vfat").write_bytes(boot)
    names = run("mdir", "-b", "-i", tmp_path / "boot.vfat", "::", env={"PATH": PATH}).stdout.split()
    present = {n.removeprefix("::/") for n in names}
    shared = {p.name for p in (TOP / "image/boot").iterdir()}
    boards = {f"{board}.dtb" for board in want["BOARDS"].split()}
    assert present == shared | boards | set(FIRMWARE.split()) | {"kernel7.img"}
    config = run("mtype", "-i", tmp_path / "boot.vfat", "::config.txt", env={"PATH": PATH}).stdout
    assert config == (BOARD / "config.txt").read_text()
    assert (images / f"{image.stem}.files.txt").read_text() == "etc\netc/issue\n"


@needs_genimage
def test_the_card_is_the_same_twice(tmp_path):
    sums = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        images, post_image = put_together(folder)
        # Another order of the same files in the folder, and other times of theirs.
        if name == "two":
            for path in sorted(images.iterdir(), reverse=True):
                os.utime(path, (1, 1))
        assert post_image().returncode == 0
        (image,) = images.glob("*.img")
        sums.append(hashlib.sha256(image.read_bytes()).hexdigest())
    assert sums[0] == sums[1]


@pytest.mark.parametrize("missing", ["rpi-firmware/start4cd.elf", "bcm2711-rpi-4-b.dtb"])
def test_a_missing_boot_file_stops_the_card(tmp_path, missing):
    images, post_image = put_together(tmp_path)
    (images / missing).unlink()
    done = post_image()
    assert done.returncode != 0 and pathlib.Path(missing).name in done.stderr
    assert not list(images.glob("*.img"))


# --- list of contents, release notes, release -------------------------------------------------------------------------

BILL = {
    "metadata": {"timestamp": "2026-11-23T10:00:00Z", "component": {"name": "larder-image"}},
    "serialNumber": "urn:uuid:0",
    "components": [
        {"bom-ref": "larder", "name": "larder", "version": "0.1.0"},
        {"bom-ref": "linux", "name": "linux", "version": "6.12.104"},
        {"bom-ref": "busybox", "name": "busybox", "version": "1.37.0"},
        {"bom-ref": "syncthing-bin", "name": "syncthing-bin", "version": "2.1.3"},
        {"bom-ref": "toolchain-external-bootlin", "name": "toolchain-external-bootlin", "version": "2024.05-1"},
        {"bom-ref": "host-xz", "name": "xz", "version": "5.6"},
    ],
    "dependencies": [{"ref": "larder", "dependsOn": ["linux"]}],
}
LOCK = """
[[package]]
name = "larder"
version = "0.1.0"
[[package]]
name = "toml"
version = "1.2"
source = "r"
checksum = "aa"
"""


def bill(**changes):
    return {**json.loads(json.dumps(BILL)), **changes}


def test_sbom_has_the_crates_and_no_time():
    sbom = load("sbom")
    done = sbom.finish(bill(), LOCK)
    assert "timestamp" not in done["metadata"]
    assert [c["name"] for c in done["components"]][-1] == "toml"
    assert done["dependencies"][0]["dependsOn"] == ["linux", "pkg:cargo/toml@1.2"]
    later = sbom.finish(bill(metadata={"timestamp": "later", "component": {"name": "larder-image"}}, serialNumber="x"), LOCK)
    assert later == done, "the run leaves no trace"
    assert sbom.listed(done, "0.1.0") == (
        "busybox 1.37.0\nlarder 0.1.0\nlinux 6.12.104\nsyncthing-bin 2.1.3\ntoolchain-external-bootlin 2024.05-1\n"
    )


def test_sbom_without_the_engine_is_refused():
    with pytest.raises(SystemExit, match="larder"):
        load("sbom").finish(bill(components=[]), LOCK)


def test_notes_list_what_is_open_on_the_card():
    text = load("notes").vulnerabilities(
        bill(
            vulnerabilities=[
                {"id": "CVE-1", "affects": [{"ref": "linux"}], "analysis": {"state": "exploitable"}},
                {"id": "CVE-2", "affects": [{"ref": "linux"}], "analysis": {"state": "resolved"}},
                {"id": "CVE-3", "affects": [{"ref": "host-xz"}], "analysis": {"state": "exploitable"}},
                {"id": "CVE-4", "affects": [{"ref": "busybox"}]},
            ]
        )
    )
    assert text.startswith("2 open on the card, 1 fixed or not applying, 1 in tools")
    assert "| linux 6.12.104 | CVE-1 | exploitable |" in text and "| busybox 1.37.0 | CVE-4 | not judged yet |" in text
    assert "CVE-2" not in text and "CVE-3" not in text


def test_notes_fill_the_template(tmp_path):
    image = tmp_path / "larder-0.1.0-buildroot.img.xz"
    image.write_bytes(b"x" * 3_000_000)
    (tmp_path / "sbom.json").write_text(json.dumps(BILL))
    base = ("python3", TREE / "notes.py", "--version", "0.1.0", "--buildroot", "2025.02.16")
    base += ("--sbom", tmp_path / "sbom.json", "--image", image)
    done = run(*base, "--template", TREE / "release-notes.md.in")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(image.read_bytes()).hexdigest() in done.stdout
    assert "made with CVE=0" in done.stdout and "Linux 6.12.104" in done.stdout and "3 MB" in done.stdout
    assert "@" not in done.stdout.replace("pkg@", "")
    (tmp_path / "odd.in").write_text("@NOBODY@")
    refused = run(*base, "--template", tmp_path / "odd.in")
    assert refused.returncode != 0 and "NOBODY" in refused.stderr


def release(tmp_path, *arguments, **settings):
    """buildroot/release as an ordinary user, who is `nobody` when the tests run as root."""
    environment = {"PATH": PATH, "HOME": str(tmp_path), "DL": f"{tmp_path}/dl", "OUTPUT": f"{tmp_path}/out", **settings}
    if os.getuid() != 0:
        return run(TREE / "release", *arguments, env=environment)
    for folder in (tmp_path, *tmp_path.rglob("*")):
        os.chown(folder, 65534, 65534)
    # pytest's folders are its user's alone.
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o011 != 0o011:
            parent.chmod(parent.stat().st_mode | 0o011)
    return run(TREE / "release", *arguments, env=environment, user=65534, group=65534, extra_groups=[])


TOOLS_MISSING = [
    t for t in "make gcc g++ patch perl cpio unzip rsync bc file wget python3 xz tar".split() if not shutil.which(t)
]
needs_tools = pytest.mark.skipif(
    bool(TOOLS_MISSING), reason=f"{', '.join(TOOLS_MISSING)} not installed: buildroot/release was not run"
)


def test_release_does_not_run_as_root(tmp_path):
    if os.getuid() != 0:
        pytest.skip("not root: that buildroot/release refuses root was not tried")
    done = run(TREE / "release", "configure", env={"PATH": PATH, "DL": f"{tmp_path}/dl", "OUTPUT": f"{tmp_path}/out"})
    assert done.returncode != 0 and "root" in done.stderr
    assert not list(tmp_path.iterdir())


@needs_tools
def test_release_refuses_a_buildroot_with_another_hash(tmp_path):
    pinned = (TREE / "buildroot.hash").read_text().split()[-1]
    (tmp_path / "dl").mkdir()
    (tmp_path / "dl" / pinned).write_bytes(b"something else")
    done = release(tmp_path, "configure")
    assert done.returncode != 0 and "buildroot.hash" in done.stderr
    assert [p.name for p in (tmp_path / "dl").iterdir()] == [pinned], "nothing of it was unpacked"


@needs_tools
def test_release_refuses_what_is_no_buildroot(tmp_path):
    done = release(tmp_path, "configure", BUILDROOT=str(tmp_path))
    assert done.returncode != 0 and "no Buildroot tree" in done.stderr


def test_release_pins_a_long_term_release_by_sha256():
    rows = [r.split() for r in (TREE / "buildroot.hash").read_text().splitlines() if not r.startswith("#")]
    ((kind, value, name),) = rows
    assert kind == "sha256" and len(value) == 64 and name.startswith("buildroot-2025.02.")


# --- the lock file of the Debian card ---------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def pool(tmp_path):
    """A mirror with two packages and no index, and a tree whose lock file names them: (tree, pool, environment)."""
    pool = tmp_path / "mirror/debian/pool/main/a"
    pool.mkdir(parents=True)
    tree = tmp_path / "tree"
    (tree / "image").mkdir(parents=True)
    for script in ("packages.sh", "apt.sh"):
        shutil.copy(TOP / "image" / script, tree / "image")
    rows = ["# remarks", "release trixie main"]
    for name, version, file in (("a", "1:1.0-1+b2", "a_1.0-1+b2_armhf.deb"), ("b", "2.0~rc1", "b_2.0~rc1_all.deb")):
        (pool / file).write_bytes(name.encode() * 1000)
        sha256 = hashlib.sha256((pool / file).read_bytes()).hexdigest()
        rows.append(f"{name} {file.rsplit('_', 1)[1][:-4]} {version} {sha256} debian/pool/main/a/{file}")
    (tree / "image/packages.txt").write_text("\n".join(rows) + "\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Quiet(*a, directory=tmp_path / "mirror"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "LARDER_DEBIAN": f"http://127.0.0.1:{server.server_port}/debian", "no_proxy": "127.0.0.1"}
    yield tree, pool, environment
    server.shutdown()
    server.server_close()


needs_apt = pytest.mark.skipif(
    not pathlib.Path("/usr/lib/apt/apt-helper").exists(), reason="no apt here: how locked packages are fetched"
)


def fetch(pool, **more):
    tree, _, environment = pool
    done = run(tree / "image/packages.sh", "fetch", tree / "debs", env={**environment, **more})
    there = sorted(path.name for path in (tree / "debs").iterdir())
    return done.returncode, done.stdout + done.stderr, there


BOTH = ["a_1%3a1.0-1+b2_armhf.deb", "b_2.0~rc1_all.deb"]


@needs_apt
def test_locked_packages_are_fetched_without_an_index(pool):
    code, said, there = fetch(pool)
    assert (code, there) == (0, BOTH), said
    assert fetch(pool, LARDER_DEBIAN="http://127.0.0.1:9/debian")[:2] == (0, ""), "asked again for what is there"
    # One that was damaged meanwhile is fetched again.
    (pool[0] / "debs" / BOTH[1]).write_bytes(b"x")
    assert fetch(pool)[0] == 0
    assert (pool[0] / "debs" / BOTH[1]).read_bytes() == b"b" * 1000


@needs_apt
def test_a_package_that_left_the_pool_is_told_with_what_to_do(pool):
    (pool[1] / "a_1.0-1+b2_armhf.deb").unlink()
    code, said, there = fetch(pool)
    assert (code, there) == (69, BOTH[1:])
    assert "no longer has a 1:1.0-1+b2; run 'image/packages.sh update'" in said


@needs_apt
def test_another_file_under_a_locked_name_is_refused(pool):
    (pool[1] / "b_2.0~rc1_all.deb").write_bytes(b"x" * 1000)
    code, said, there = fetch(pool)
    assert (code, there) == (1, BOTH[:1])
    assert "b_2.0~rc1_all.deb of the mirror is not the file that image/packages.txt locks" in said


@needs_apt
def test_a_mirror_out_of_reach_is_nobodys_fault(pool):
    code, said, there = fetch(pool, LARDER_DEBIAN="http://127.0.0.1:9/debian")
    assert (code, there) == (75, [])
    assert "can't be reached now" in said


# --- mdns: the name on the network -----------------------------------------------------------------------------------


class Responder:
    """The card's mdns script with made-up programs: an avahi whose title a file says, and a kernel whose name is a file."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        for name in ("proc", "etc"):
            (folder / name).mkdir()
        (folder / "etc/hostname").write_text("larder\n")
        (folder / "etc/avahi-daemon.conf").write_text("[server]\nhost-name=larder\nuse-ipv4=yes\n")
        (folder / "kernel").write_text("larder\n")
        (folder / "larder.toml").write_text("larder\n")
        self.program("larder", f'[ "$*" = "config hostname {folder}/larder.toml" ] && cat "$3"')
        self.program("hostname", f'echo "$1" >{folder}/kernel')
        self.program("logger", f'echo "$*" >>{folder}/log')
        self.program("sleep", "exec /bin/sleep 0.05")
        self.program("avahi-daemon", f"""case $* in *--kill*) exit 1 ;; esac
cp "${{4:?}}" {folder}/conf.seen
mkdir -p {folder}/proc/$$
ln -sfn {folder}/title {folder}/proc/$$/cmdline
exec /bin/sleep 60""")
        script = (TOP / "overlay/usr/lib/larder/mdns").read_text()
        for there, here in (
            ("/usr/sbin:/usr/bin:/sbin:/bin", f"{folder}/bin:{PATH}"), ("/proc/sys/kernel/hostname", f"{folder}/kernel"),
            ("/proc/$pid", f"{folder}/proc/$pid"), ("/boot/larder.toml", f"{folder}/larder.toml"),
            ("/run/larder/", f"{folder}/"), ("/etc/avahi/avahi-daemon.conf", f"{folder}/etc/avahi-daemon.conf"),
            ("/etc/hostname", f"{folder}/etc/hostname"),
        ):
            assert there in script
            script = script.replace(there, here)
        (folder / "mdns").write_text(script)
        self.process = None

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def begin(self):
        self.process = subprocess.Popen(["/bin/sh", self.folder / "mdns"], stderr=subprocess.DEVNULL)

    def title(self, text):
        # As the kernel shows it: the room of the former title is full of NUL.
        (self.folder / "title.new").write_bytes(text.encode() + bytes(40))
        (self.folder / "title.new").replace(self.folder / "title")

    def wait(self, what, condition):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, what
            time.sleep(0.05)

    def kernel(self):
        return (self.folder / "kernel").read_text().strip()

    def asked_for(self):
        seen = self.folder / "conf.seen"
        return re.findall("host-name=(.*)", seen.read_text()) if seen.exists() else []


@pytest.fixture
def responder(tmp_path):
    made = Responder(tmp_path)
    yield made
    if made.process:
        made.process.terminate()
        made.process.wait(60)


def test_the_kernel_has_the_name_that_the_responder_got(responder):
    responder.title("avahi-daemon: registering [larder-9.local]")
    responder.begin()
    responder.wait("avahi", lambda: responder.asked_for() == ["larder"])
    time.sleep(0.5)
    assert responder.kernel() == "larder", "a name that is still asked for is nobody's"
    for name in ("larder-2", "larder-3", "larder"):
        responder.title(f"avahi-daemon: running [{name}.local]")
        responder.wait(name, lambda: responder.kernel() == name)
    assert "larder-2.local now, it was larder.local" in (responder.folder / "log").read_text()


def test_the_responder_asks_for_the_name_of_the_settings(responder):
    (responder.folder / "larder.toml").write_text("attic\n")
    responder.title("avahi-daemon: running [attic-2.local]")
    responder.begin()
    responder.wait("avahi", lambda: responder.asked_for() == ["attic"])
    responder.wait("its name", lambda: responder.kernel() == "attic-2")
    # Broken settings say nothing: it goes on.
    (responder.folder / "larder.toml").write_text("")
    time.sleep(0.5)
    assert responder.process.poll() is None
    # Begun again by init under broken settings, it asks for what they said last.
    responder.process.terminate()
    responder.process.wait(60)
    (responder.folder / "conf.seen").unlink()
    responder.begin()
    responder.wait("avahi", lambda: responder.asked_for() == ["attic"])
    # Another name ends it, for init to begin it with that one.
    (responder.folder / "larder.toml").write_text("cellar\n")
    responder.process.wait(60)
    responder.begin()
    responder.wait("avahi", lambda: responder.asked_for() == ["cellar"])


def test_the_responder_ends_with_its_script(responder):
    responder.title("avahi-daemon: running [larder.local]")
    responder.begin()
    responder.wait("avahi", lambda: list((responder.folder / "proc").iterdir()))
    pid = int(next((responder.folder / "proc").iterdir()).name)
    responder.process.terminate()
    responder.process.wait(60)
    responder.wait("avahi ends", lambda: not pathlib.Path(f"/proc/{pid}").exists())
