"""Delegates of LiteRT that are libraries of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

#: Names of variants to the libraries that makers of hardware call their delegate.
LIBRARIES: Mapping[str, str] = {
    "armnn": "libarmnnDelegate.so",
    "edgetpu": "libedgetpu.so.1",
    "ethosu": "libethosu_delegate.so",
    "gpu": "libtensorflowlite_gpu_delegate.so",
    "qnn": "libQnnTFLiteDelegate.so",
    "vx": "libvx_delegate.so",
}


def present() -> dict[str, str]:
    """Names of the delegates that are here to the paths of their libraries. Loads none of them."""
    found = {}
    for name, library in LIBRARIES.items():
        path = next((folder / library for folder in _folders() if (folder / library).is_file()), None)
        if path is not None:
            found[name] = str(path)
    return found


def _folders() -> list[Path]:
    """Where the dynamic linker looks, as far as environment and custom tell."""
    told = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    usual = [
        "/usr/local/lib",
        "/usr/lib",
        "/lib",
        *(f"/usr/lib/{machine}-linux-gnu" for machine in ("aarch64", "x86_64")),
    ]
    return [Path(folder) for folder in (*told, f"{sys.prefix}/lib", *usual) if folder]
