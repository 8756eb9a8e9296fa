"""Whether this machine has a GPU: asked without torch, which takes seconds to import."""

import shutil
from pathlib import Path

# One of them is there, or nvidia-smi is, where there is a driver: of Linux, of containers, of
# Linux in Windows, of AMD.
DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def has_gpu() -> bool:
    """Whether there is a driver that torch could find a CUDA device by."""
    return any(Path(path).exists() for path in DRIVERS) or shutil.which("nvidia-smi") is not None
