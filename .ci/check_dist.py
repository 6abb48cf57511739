"""Checks what `make dist` built: that wheel and sdist hold everything, and that the wheel works away from the source.

python .ci/check_dist.py dist                       installs the wheel with all it needs (torch: minutes)
python .ci/check_dist.py dist --reuse PYTHON …      the wheel alone, over the packages of that interpreter's environment
python .ci/check_dist.py dist --python PYTHON …     with another Python than this one
"""

from __future__ import annotations

import argparse
import configparser
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_SHIPPED = (".ci/", ".github/", ".gitignore", ".pre-commit-config.yaml")
DEMO = ("--out", "demo", "--size", "small", "--seeds", "1", "--epochs", "1")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=sys.executable, help="builds the fresh environment")
    parser.add_argument("--reuse", help="a Python whose installed packages stand in for those that pip would fetch")
    chosen = parser.parse_args()
    (wheel,) = chosen.folder.glob("*.whl")
    (sdist,) = chosen.folder.glob("*.tar.gz")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    tracked = _output("git", "-C", str(ROOT), "ls-files").splitlines()
    check_wheel(wheel, tracked, setup)
    check_sdist(sdist, tracked)
    with tempfile.TemporaryDirectory(prefix="camoe-dist-") as folder:
        try_wheel(wheel, Path(folder), chosen.reuse or chosen.python, chosen.reuse is not None, setup)


def check_wheel(wheel: Path, tracked: list[str], setup: configparser.ConfigParser) -> None:
    """Every file of the packages is in it, under its mapped name, and nothing else."""
    folders = dict(line.split(" = ") for line in setup["options"]["package_dir"].strip().splitlines())
    names = {place: package.replace(".", "/") for package, place in folders.items()}
    expected = set()
    for path in tracked:
        place = max((place for place in names if path.startswith(place + "/")), key=len, default=None)
        if place is not None:
            expected.add(names[place] + path[len(place) :])
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    _same(wheel.name, expected, held)


def check_sdist(sdist: Path, tracked: list[str]) -> None:
    """Every file of the repository but what only serves to develop it."""
    expected = {path for path in tracked if not path.startswith(NOT_SHIPPED)}
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {"PKG-INFO", *(name for name in held if ".egg-info/" in name)}
    _same(sdist.name, expected, held - made)


def _same(what: str, expected: set[str], held: set[str]) -> None:
    lacking, stray = sorted(expected - held), sorted(held - expected)
    if lacking or stray:
        sys.exit(f"{what} lacks {lacking or 'nothing'} and holds besides {stray or 'nothing'}")
    print(f"{what}: {len(held)} files, all of them")


def try_wheel(wheel: Path, folder: Path, python: str, reuse: bool, setup: configparser.ConfigParser) -> None:
    """Install it into a new environment and use the commands there, in a folder of its own."""
    environment = folder / "environment"
    base = _output(python, "-c", "import sys; print(getattr(sys, '_base_executable', sys.executable))").strip()
    _output(base, "-m", "venv", str(environment))
    binaries = environment / "bin"
    if reuse:
        paths = _output(python, "-c", "import sys; print(*(p for p in sys.path if 'site-packages' in p), sep='\\n')")
        site = _output(str(binaries / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        # Plain folders: what an editable install hooks into Python stays out.
        Path(site, "reused.pth").write_text("".join(f"{path}\n" for path in paths.splitlines()), encoding="utf-8")
    _output(str(binaries / "python"), "-m", "pip", "install", "-q", *(["--no-deps"] * reuse), str(wheel.resolve()))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CAMOE"))}

    def run(*command: str) -> str:
        return _output(str(binaries / command[0]), *command[1:], cwd=folder, env=clean)

    where = run("python", "-c", "import camoe.train, sys; print(camoe.train.__file__, sys.version.split()[0])").split()
    if not where[0].startswith(str(environment)):
        sys.exit(f"camoe comes from {where[0]}, not from the wheel")
    scripts = [line.split(" = ")[0] for line in setup["options.entry_points"]["console_scripts"].strip().splitlines()]
    for script in scripts:
        run(script, "--help")
        print(run(script, "--version").strip())
    run("camoe-demo", *DEMO)
    run("camoe", "sweep", "--features", "demo/shards.h5", "--grid", "gate", "--dry-run")
    print(run("camoe", "store", "verify", "demo/shards.h5").splitlines()[-1])
    print(f"{wheel.name} works on Python {where[1]}, away from the source")


def _output(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
