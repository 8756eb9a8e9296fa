"""Memory of one forward pass, in a fresh process, on which no earlier work has left its mark."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import torch
from torch import nn

from moelib.heads.head import build_head
from moelib.records.kinds import Footprint
from moelib.study.study import Study
from moelib.training import device
from moelib.training.backbones import build_backbone
from moelib.training.model import Classifier

MIB = 2**20


def footprint(
    study: Study, head: str, batch: int, shape: tuple[int, ...], classes: int
) -> Footprint:
    """Weights and peak memory of a study's model on a batch of images, in evaluation mode.

    On the CPU the peak is that of the process's resident memory, above what it was just before the
    first pass (outside Linux the peak of its whole life); on a GPU it is torch's allocator's, above
    the weights and the images.

    Args:
        study: of the model; its training, resolved, says device and format.
        head: the study's name of the head.
        batch: images.
        shape: (height, width, channels) of an image.
        classes: c.
    """
    request = {"study": study.model_dump(mode="json"), "head": head, "batch": batch}
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name],
        input=json.dumps(request | {"shape": shape, "classes": classes}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"The process that measures memory failed:\n{done.stderr}")
    return Footprint.model_validate_json(done.stdout)


def measure(study: Study, head: str, batch: int, shape: tuple[int, ...], classes: int) -> Footprint:
    """What `footprint` asks of its fresh process, measured in this one."""
    training = study.training
    height, width, channels = shape
    memory = torch.channels_last if training.channels_last else torch.contiguous_format
    with device.numerics(training) as on, device.autocast(training), torch.inference_mode():
        backbone = build_backbone(study.backbone, channels=channels)
        head = build_head(study.heads[head], backbone.features, classes, study.protocol)
        model = Classifier(backbone, head).eval().to(on, memory_format=memory)
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        images = torch.randn(batch, channels, height, width, device=on)
        images = images.contiguous(memory_format=memory)
        # Libraries that are loaded at first use are no part of a pass; this one takes nothing else.
        nn.Conv2d(channels, 1, 1, device=on)(images[:1, :, :1, :1])
        before = _reset_peak(training.device)
        model(images)
        peak = peak_memory(training.device) - before
    return Footprint(batch=batch, weights_mib=weights / MIB, peak_mib=peak / MIB)


def _reset_peak(device: str) -> int:
    """Bytes in use now, from which on a peak is looked for."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): forget the peak so far
    return psutil.Process().memory_info().rss


def peak_memory(device: str) -> int:
    """Bytes that this process (or on a GPU its tensors) had in use at most."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "linux":  # where getrusage's peak is inherited from the parent process
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        return int(status["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    request = json.load(sys.stdin)
    study = Study.model_validate_json(json.dumps(request.pop("study")))
    print(measure(study, **request).model_dump_json())
