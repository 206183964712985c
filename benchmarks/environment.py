"""What the benchmark ran on, as far as it bears on the figures. No names, no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PEERS = ("uvloop", "aiohappyeyeballs", "aiohttp", "anyio", "httpcore", "trio", "aiodns")


def describe(*, namespace: str | None) -> dict[str, Any]:
    """Return system, processor, interpreter and the versions of everything measured.

    `namespace` is why there is no network namespace, or None if each scenario has its own.
    """
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": _cores(),
        "memory_gib": _memory(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "built_with": platform.python_compiler(),
        "openssl": _openssl(),
        "aioconnect": _version("aioconnect"),
        "peers": {name: version for name in PEERS if (version := _version(name))},
        "compiler": _compiler(),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "pinned": hasattr(os, "sched_setaffinity"),
        "namespace": "one for each scenario" if namespace is None else f"none: {namespace}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return platform.processor() or "unknown"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _openssl() -> str:
    import ssl

    return ssl.OPENSSL_VERSION


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "from this checkout" if package == "aioconnect" else ""


def _compiler() -> str:
    program = shutil.which("cc")
    if program is None:
        return "none: the servers run in Python"
    asked = subprocess.run([program, "--version"], capture_output=True, text=True)
    return asked.stdout.splitlines()[0] if asked.returncode == 0 else "unknown"
