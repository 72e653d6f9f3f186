"""What a user would otherwise run, in torch, as a process that does and times one thing for each line it reads.

Reads lines of JSON {"run": NAME, ...arguments}, answers {"ms": …, ...}; run by bench/peers/run.mjs. Jobs named check_* compare
results and are not timed.
"""

import json
import os
import shutil
import sys
import time

import numpy as np
import safetensors
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

LAMBDA = float(np.float32(0.3))
HELD = {}


def shards(folder):
    return sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))


def tensors_of(folder):
    """Yields (name, tensor) of a checkpoint, in bytewise order of names inside each shard."""
    for shard in shards(folder):
        with safe_open(os.path.join(folder, shard), framework="pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)


class Checkpoint:
    """Tensors by name over all shards."""

    def __init__(self, folder):
        self.files = {}
        for shard in shards(folder):
            file = safe_open(os.path.join(folder, shard), framework="pt")
            self.files.update(dict.fromkeys(file.keys(), file))

    def names(self):
        return sorted(self.files)

    def get(self, name):
        return self.files[name].get_tensor(name)


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)


# --- selection in memory ---


def hold(job):
    """Loads the two arrays."""
    HELD["a"], HELD["b"] = (load_file(job[key])["w"] for key in ("a", "b"))


def select_topk(job):
    torch.topk(torch.abs(HELD["a"] - HELD["b"]), job["k"], sorted=False)


def select_kthvalue(job):
    """The threshold alone, of the first `elements`; the entries would still have to be collected."""
    u = torch.abs(HELD["a"][: job["elements"]] - HELD["b"][: job["elements"]])
    torch.kthvalue(u, u.numel() - job["k"] + 1)


def read_both(_):
    HELD["a"].sum(), HELD["b"].sum()


def check_select(job):
    """Our positions (u32 in a file) against topk: ascending, and the same magnitudes, bit for bit."""
    positions = torch.from_numpy(np.fromfile(job["positions"], dtype="<u4").astype(np.int64))
    u = torch.abs(HELD["a"] - HELD["b"])
    ascending = bool((positions[1:] > positions[:-1]).all())
    theirs = torch.topk(u, job["k"], sorted=False).values.sort().values
    return {"equal": ascending and torch.equal(u[positions].sort().values, theirs)}


# --- the whole fold, tensor by tensor ---


def merge_all(job):
    """θ* = θ0 + λ Σ(θt − θ0) in f32, stored in the base's dtype, shard by shard."""
    tasks = [Checkpoint(folder) for folder in job["tasks"]]
    target = os.path.join(job["output"], "merged")
    fresh(target)
    for shard in shards(job["base"]):
        merged = {}
        with safe_open(os.path.join(job["base"], shard), framework="pt") as file:
            for name in file.keys():
                base = file.get_tensor(name)
                wide = base.float()
                total = torch.zeros_like(wide)
                for task in tasks:
                    total += task.get(name).float() - wide
                merged[name] = torch.add(wide, total, alpha=LAMBDA).to(base.dtype)
        save_file(merged, os.path.join(target, shard), metadata={"format": "pt"})
    return tasks, Checkpoint(target)


def residual(task, merged, name):
    return (task.get(name).float() - merged.get(name).float()).abs_().flatten()


def kth_by_kthvalue(task, merged, k):
    """Magnitude of rank k: all residuals in memory, torch.kthvalue."""
    everything = torch.cat([residual(task, merged, name) for name in merged.names()])
    return torch.kthvalue(everything, everything.numel() - k + 1).values


def kth_by_bincount(task, merged, k):
    """Magnitude of rank k in bounded memory: counts of the upper 16 bits, then of the lower ones in the bin of rank k."""
    counts = torch.zeros(1 << 15, dtype=torch.int64)
    for name in merged.names():
        counts += torch.bincount(residual(task, merged, name).view(torch.int32) >> 16, minlength=1 << 15)
    above = counts.flip(0).cumsum(0)
    upper = (1 << 15) - 1 - int(torch.searchsorted(above, k))
    left = k - int(counts[upper + 1 :].sum())
    lower = torch.zeros(1 << 16, dtype=torch.int64)
    for name in merged.names():
        bits = residual(task, merged, name).view(torch.int32)
        lower += torch.bincount(bits[(bits >> 16) == upper] & 0xFFFF, minlength=1 << 16)
    low = (1 << 16) - 1 - int(torch.searchsorted(lower.flip(0).cumsum(0), left))
    return torch.tensor((upper << 16) | low, dtype=torch.int32).view(torch.float32)


def fold(job):
    """Merged model, then of each task the k largest residuals of the whole model, exactly; first positions among equals."""
    kth = {"fold kthvalue": kth_by_kthvalue, "fold bincount": kth_by_bincount}[job["run"]]
    tasks, merged = merge_all(job)
    elements = sum(merged.get(name).numel() for name in merged.names())
    k = int(elements * job["density"] + 0.5)
    for number, task in enumerate(tasks):
        threshold = kth(task, merged, k)
        kept, left = {}, k - sum(int((residual(task, merged, n) > threshold).sum()) for n in merged.names())
        for name in merged.names():
            u = residual(task, merged, name)
            mask = u > threshold
            ties = torch.nonzero(u == threshold).flatten()[:left]
            left -= ties.numel()
            mask[ties] = True
            index = torch.nonzero(mask).flatten()
            kept[name + ".index"] = index.to(torch.int32)
            kept[name + ".value"] = task.get(name).flatten()[index]
        folder = os.path.join(job["output"], f"t{number}")
        fresh(folder)
        save_file(kept, os.path.join(folder, "delta.safetensors"))


def dense(job):
    """A task of this fold: yields shard, tensors."""
    with safe_open(os.path.join(job["family"], job["task"], "delta.safetensors"), framework="pt") as delta:
        for shard in shards(os.path.join(job["family"], "merged")):
            model = load_file(os.path.join(job["family"], "merged", shard))
            for name, tensor in model.items():
                tensor.view(-1)[delta.get_tensor(name + ".index").long()] = delta.get_tensor(name + ".value")
            yield shard, model


def unfold(job):
    """Merged model with a task's entries put in, saved."""
    fresh(job["output"])
    for shard, model in dense(job):
        save_file(model, os.path.join(job["output"], shard), metadata={"format": "pt"})


def load_save(job):
    """A checkpoint loaded and saved as it is."""
    fresh(job["output"])
    for shard in shards(job["input"]):
        save_file(load_file(os.path.join(job["input"], shard)), os.path.join(job["output"], shard), metadata={"format": "pt"})


# --- comparisons ---


def ordered(tensor):
    """Floats as integers in the order of the numbers: neighbours differ by 1."""
    bits = tensor.flatten().view(torch.int16 if tensor.element_size() == 2 else torch.int32).long()
    return torch.where(bits < 0, -(bits & (0x7FFF if tensor.element_size() == 2 else 0x7FFFFFFF)), bits)


def check_models(job):
    """Two checkpoints: elements, how many differ, by how many units in the last place at most, and relative error."""
    a, b = Checkpoint(job["a"]), Checkpoint(job["b"])
    names = sorted(set(a.names()) & set(b.names()))
    found = {"elements": 0, "differ": 0, "ulps": 0, "tensors": len(names)}
    error = norm = 0.0
    for name in names:
        x, y = a.get(name), b.get(name)
        apart = (ordered(x) - ordered(y)).abs()
        found["elements"] += x.numel()
        found["differ"] += int((apart > 0).sum())
        found["ulps"] = max(found["ulps"], int(apart.max()))
        error += float((x.double() - y.double()).square().sum())
        norm += float(x.double().square().sum())
    found["missing"] = sorted(set(a.names()) ^ set(b.names()))
    found["relative"] = (error / max(norm, 1e-300)) ** 0.5
    return found


JOBS = {
    "hold": hold, "topk": select_topk, "kthvalue": select_kthvalue, "read": read_both, "check_select": check_select,
    "merge": merge_all, "fold kthvalue": fold, "fold bincount": fold, "unfold": unfold, "load save": load_save,
    "check_models": check_models,
}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_grad_enabled(False)
    versions = {"python": sys.version.split()[0], "torch": torch.__version__, "safetensors": safetensors.__version__}
    print(json.dumps({**versions, "numpy": np.__version__}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        start = time.perf_counter()
        answer = JOBS[job["run"]](job)
        ms = (time.perf_counter() - start) * 1000
        print(json.dumps({"ms": ms, **(answer if isinstance(answer, dict) else {})}), flush=True)


main()
