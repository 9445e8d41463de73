"""Compilers, runtimes and the libraries that the benchmarks need: installed by apt and npm, or named when missing.

Writes build/toolchains/ (node modules, Rust libraries). Afterwards everything works offline.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sandbox import languages

APT = {
    "javascript": ["nodejs", "npm"],
    "java": ["default-jdk-headless"],
    "go": ["golang-go", "golang-github-stretchr-testify-dev"],
    "cpp": ["g++", "libboost-dev", "libssl-dev"],
    "rust": [
        "rustc",
        "cargo",
        "librust-rand-dev",
        "librust-regex-dev",
        "librust-aho-corasick-dev",
        "librust-memchr-dev",
        "librust-md5-dev",
    ],
}
_VERSION = {
    "node": ["--version"], "java": ["-version"], "javac": ["-version"], "go": ["version"], "g++": ["--version"],
    "rustc": ["--version"], "cc": ["--version"],
}  # fmt: skip
_RUST_CRATES = ("rand", "regex", "md5")


def library_checks() -> dict[str, bool]:
    """Each library that a benchmark needs, and whether it is here."""
    rust = languages.TOOLS / "rust"
    return {
        "javascript: js-md5 (HumanEval-X JavaScript/162)": (languages.TOOLS / "node_modules" / "js-md5").is_dir(),
        "cpp: boost (HumanEval-X CPP/22, 137)": os.path.exists("/usr/include/boost/any.hpp"),
        "cpp: openssl (HumanEval-X CPP/162)": os.path.exists("/usr/include/openssl/md5.h"),
        "go: testify (HumanEval-X Go)": os.path.isdir("/usr/share/gocode/src/github.com/stretchr/testify"),
        "rust: rand, regex, md5 (HumanEval-X Rust)": all(any(rust.glob(f"lib{c}-*.rlib")) for c in _RUST_CRATES),
    }


def versions() -> dict[str, dict[str, str | None]]:
    """Tools of every language with their versions, None where one is missing."""
    found: dict[str, dict[str, str | None]] = {}
    for language, tools in languages.NEEDS.items():
        found[language] = {}
        for tool in tools:
            path = languages.executable(tool)
            answer = None
            if path:
                done = subprocess.run([path, *_VERSION[tool]], capture_output=True, text=True, check=False)
                answer = next(iter((done.stdout or done.stderr).strip().splitlines()), path)
            found[language][tool] = answer
    return found


def install() -> list[str]:
    """Installs what is missing as far as this user may. Returns sentences about what is still missing."""
    wanted = [package for language in APT for package in APT[language] if _lacks(language, package)]
    complaints = []
    if wanted:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            complaints.append(
                f"Not root on Debian: run `sudo apt-get install --no-install-recommends {' '.join(wanted)}`."
            )
        else:
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "update", "-qq"], check=False, env=quiet)
            for package in wanted:  # one by one, so that one missing name does not cost the others
                done = subprocess.run(
                    ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
                    check=False, env=quiet, capture_output=True, text=True,
                )  # fmt: skip
                if done.returncode:
                    complaints.append(f"apt could not install {package}: {done.stderr.strip()[-200:]}")
    languages.executable.cache_clear()
    languages.TOOLS.mkdir(parents=True, exist_ok=True)
    complaints += _install_js_md5() + _build_rust_crates() + _warm_go()
    return complaints + [f"Missing library: {name}." for name, here in library_checks().items() if not here]


def _lacks(language: str, package: str) -> bool:
    if package in ("nodejs", "npm", "default-jdk-headless", "golang-go", "g++", "rustc", "cargo"):
        tool = {"nodejs": "node", "default-jdk-headless": "javac", "golang-go": "go"}.get(package, package)
        return shutil.which(tool) is None
    return subprocess.run(["dpkg", "-s", package], capture_output=True, check=False).returncode != 0


def _install_js_md5() -> list[str]:
    if (languages.TOOLS / "node_modules" / "js-md5").is_dir() or not shutil.which("npm"):
        return []
    done = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "js-md5@0.8.3"],
        cwd=languages.TOOLS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [f"npm could not install js-md5: {done.stderr.strip()[-200:]}"] if done.returncode else []


def _build_rust_crates() -> list[str]:
    """Compiles Debian's crate sources once, offline, so that a sample links them without cargo."""
    target = languages.TOOLS / "rust"
    registry = Path("/usr/share/cargo/registry")
    if any(target.glob("librand-*.rlib")) or not shutil.which("cargo") or not registry.is_dir():
        return []
    with tempfile.TemporaryDirectory() as place:
        project = Path(place)
        (project / "src").mkdir()
        (project / "src" / "lib.rs").touch()
        dependencies = "\n".join(f'{crate} = "*"' for crate in _RUST_CRATES)
        (project / "Cargo.toml").write_text(
            f'[package]\nname = "crates"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n{dependencies}\n'
        )
        (project / ".cargo").mkdir()
        (project / ".cargo" / "config.toml").write_text(
            f'[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = {json.dumps(str(registry))}\n'
        )
        done = subprocess.run(
            ["cargo", "build", "--offline", "--quiet"], cwd=project, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return [f"cargo could not build rand, regex and md5: {' '.join(done.stderr.split())[-300:]}"]
        target.mkdir(parents=True, exist_ok=True)
        for library in (project / "target" / "debug" / "deps").iterdir():
            if library.suffix in (".rlib", ".so"):
                shutil.copy2(library, target)
    return []


def _warm_go() -> list[str]:
    """Compiles testify once: rooms read the cache, and a test takes a tenth of the time."""
    go = languages.executable("go")
    if languages.GO_CACHE.is_dir() or not go or not os.path.isdir("/usr/share/gocode/src/github.com/stretchr/testify"):
        return []
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory(dir=languages.TOOLS) as cache:
        source = (
            'package main\nimport ("fmt"; "os"; "sort"; "math"; "strings"; "strconv"; "testing"\n'
            '"github.com/stretchr/testify/assert")\nfunc TestF(t *testing.T) { assert.Equal(t, 1, 1)\n'
            "fmt.Fprint(os.Stdout, sort.IsSorted(nil), math.Pi, strings.ToUpper(strconv.Itoa(1))) }\n"
        )
        (Path(place) / "warm_test.go").write_text(source)
        environment = {**os.environ, **languages.GO_ENVIRONMENT, "GOCACHE": cache}
        done = subprocess.run(
            [go, "test", "-vet=off", "-c", "-o", "warm", "warm_test.go"],
            cwd=place, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            return [f"go could not compile testify: {' '.join(done.stderr.split())[-300:]}"]
        shutil.copytree(cache, languages.GO_CACHE)
    subprocess.run(["chmod", "-R", "a+rX", languages.GO_CACHE], check=False)  # rooms have another uid
    return []
