"""Merging, counting, selecting, conversion, digests and copies between host and device."""

from ctypes import byref

import numpy as np

import gpu
import measure
import reference as ref
import taskfold_cuda as tf
import xxh3

torch = measure.torch
BIG = 1 << 28


def device_tensor(array, dtype):
    return array.memory.tensor[: array.bytes].view(dtype)


def random_array(count, dtype, spread=1.0):
    """An array of random normal values, as (array, torch view)."""
    item = {torch.float32: np.uint32, torch.bfloat16: np.uint16, torch.float8_e4m3fn: np.uint8}[dtype]
    array = gpu.Array(count, item)
    view = device_tensor(array, dtype)
    for at in range(0, count, 1 << 27):
        part = view[at : at + (1 << 27)]
        part.copy_((torch.randn(part.numel(), device=view.device) * spread).to(dtype))
    torch.cuda.synchronize()
    return array, view


def near(base, spread=0.02):
    """A fine-tune of a tensor."""
    array = gpu.Array(base.numel(), np.uint16 if base.element_size() == 2 else np.uint32)
    view = device_tensor(array, base.dtype)
    for at in range(0, base.numel(), 1 << 27):
        part = base[at : at + (1 << 27)]
        view[at : at + (1 << 27)].copy_((part.float() + torch.randn(part.numel(), device=base.device) * spread).to(base.dtype))
    torch.cuda.synchronize()
    return array, view


class Window:
    def __init__(self, low, end, shift):
        self.low, self.end, self.shift = low, end, shift
        self.bins = ((end - 1 - low) >> shift) + 1
        self.counts, self.tally = gpu.zeros(self.bins, np.uint64), gpu.zeros(2, np.uint64)

    def struct(self):
        return tf.Window(self.low, self.end, self.shift, self.bins, self.counts.address, self.tally.address)

    def clear(self):
        for array in (self.counts, self.tally):
            gpu.library().fill(gpu.queue(), array.address, 0, array.bytes)


def key_at(task, merged, share):
    """Key above which about this share of a sample ranks."""
    sample = (task[: 1 << 24].float() - merged[: 1 << 24].float()).abs()
    return int(np.float32(sample.kthvalue(int(sample.numel() * (1 - share)))[0].item()).view(np.uint32))


def torch_keys(task, merged):
    return (task.float() - merged.float()).abs().view(torch.int32)


def merge(report):
    base, base_view = random_array(BIG, torch.bfloat16)
    tasks, views = zip(*[near(base_view) for _ in range(4)])
    merged = gpu.Array(BIG, np.uint16)
    merged_view = device_tensor(merged, torch.bfloat16)
    pointers = gpu.pointers(tasks)

    def job(windows):
        return tf.MergeJob(tf.BF16, 4, BIG, base.address, pointers, 0.3, merged.address, windows, None)

    run = lambda windows: gpu.library().merge(gpu.queue(), byref(job(windows)))  # noqa: E731
    count = 6 * 2 * BIG
    ms = measure.ours(lambda: run(None))

    def in_torch():
        start = base_view.float()
        total = torch.zeros_like(start)
        for view in views:
            total += view.float() - start
        return (total * 0.3 + start).bfloat16()

    report.add("merge of 4 bf16 tasks", ms, count, torch=measure.torchs(in_torch, 5))
    head = [t[: 1 << 20].view(torch.int16).cpu().numpy().view(np.uint16) for t in (base_view, *views)]
    wanted = ref.merge(tf.BF16, head[0], head[1:], 0.3)
    found = merged_view[: 1 << 20].view(torch.int16).cpu().numpy().view(np.uint16)
    report.check("merge", (wanted == found).all())

    low = key_at(views[0], merged_view, 0.12)
    for name, bounds in {"from a sampled bound on": (low, ref.KEY_END, 12), "all keys": (0, ref.KEY_END, 16)}.items():
        windows = [Window(*bounds) for _ in tasks]
        structs = (tf.Window * 4)(*[w.struct() for w in windows])
        ms = measure.ours(lambda: run(structs))
        report.add(f"merge of 4 bf16 tasks and tallies, {name}", ms, count)
        for w in windows:
            w.clear()
        run(structs)
        gpu.wait()
        keys = torch_keys(views[1], merged_view)
        inside = int((keys >= bounds[0]).sum())
        report.check(f"tallies, {name}", int(windows[1].counts.read().sum()) == inside)
        del keys
    window = Window(low, ref.KEY_END, 12)
    job2 = tf.CountJob(tf.BF16, BIG, merged.address, tasks[0].address, window.struct())
    ms = measure.ours(lambda: gpu.library().count(gpu.queue(), byref(job2)))
    report.add("count, bf16, from a sampled bound on", ms, 2 * 2 * BIG)


class Selection:
    """rank, place and emit of task − merged, f32."""

    def __init__(self, task, merged, elements, most):
        blocks = ref.block_count(elements)
        self.task, self.merged, self.elements = task, merged, elements
        self.above, self.equal, self.keep = (gpu.Array(blocks, np.uint32) for _ in range(3))
        self.ties, self.starts = gpu.zeros(1, np.uint64), gpu.Array(blocks + 1, np.uint64)
        self.values, self.positions = gpu.Array(most, np.uint32), gpu.Array(most, np.uint16)
        self.blocks = blocks
        self.windows = {}

    def emit(self, threshold):
        library, queue = gpu.library(), gpu.queue()
        tensors = (self.merged.address, self.task.address)
        rank = tf.RankJob(tf.F32, threshold, self.elements, *tensors, self.above.address, self.equal.address, None)
        library.rank(queue, byref(rank))
        place = tf.PlaceJob(
            *(self.blocks, self.above.address, self.equal.address, self.ties.address),
            *(self.keep.address, self.starts.address),
        )
        library.place(queue, byref(place))
        emit = tf.EmitJob(
            *(tf.F32, threshold, self.elements, *tensors, self.keep.address, self.starts.address),
            *(self.values.address, self.positions.address, None),
        )
        library.emit(queue, byref(emit))

    def count(self, low, end, shift):
        window = self.windows.setdefault((low, end, shift), None) or Window(low, end, shift)
        self.windows[low, end, shift] = window
        window.clear()
        job = tf.CountJob(tf.F32, self.elements, self.merged.address, self.task.address, window.struct())
        gpu.library().count(gpu.queue(), byref(job))
        return window.counts.read().astype(np.int64), int(window.tally.read()[0])

    def threshold(self, keep):
        """Exact, in two counts over all keys: first their high halves, then the low halves of one bin."""
        counts, above = self.count(0, ref.KEY_END, 16)
        behind = np.cumsum(counts[::-1])[::-1]
        bin_ = int(np.flatnonzero(behind >= keep)[-1])
        low, end = bin_ << 16, min((bin_ + 1) << 16, ref.KEY_END)
        counts, above = self.count(low, end, 0)
        behind = above + np.cumsum(counts[::-1])[::-1]
        key = int(np.flatnonzero(behind >= keep)[-1])
        more = int(behind[key + 1]) if key + 1 < len(behind) else above
        return low + key, keep - more

    def set_ties(self, ties):
        self.ties.write([ties])

    def whole(self, keep):
        threshold, ties = self.threshold(keep)
        self.set_ties(ties)
        self.emit(threshold)
        gpu.wait()


def select(report):
    count = 1 << 26
    merged, merged_view = random_array(count, torch.float32)
    task, task_view = near(merged_view)
    selection = Selection(task, merged, count, count // 10 + 8)
    for percent in (1, 5, 10):
        keep = count * percent // 100
        threshold, ties = selection.threshold(keep)
        kth = measure.torchs(lambda: (task_view - merged_view).abs().kthvalue(count - keep + 1), 3)
        top = measure.torchs(lambda: (task_view - merged_view).abs().topk(keep, sorted=False), 3)
        ms = measure.ours(lambda: selection.emit(threshold), before=lambda: selection.set_ties(ties))
        # Both tensors twice, and what is kept.
        report.add(f"rank, place, emit {percent} % of a difference, 64 Mi f32", ms, 4 * 4 * count + 6 * keep)
        whole = measure.wall(lambda: selection.whole(keep))
        report.add(f"whole selection of {percent} %, two counts included", whole, 0, topk=top, kthvalue=kth)

        selection.whole(keep)
        keys = torch_keys(task_view, merged_view)
        mask = keys > threshold
        mask[(keys == threshold).nonzero()[:ties, 0]] = True
        places = mask.nonzero()[:, 0]
        stored = device_tensor(selection.positions, torch.int16)[:keep].int() & 0xFFFF
        same = len(places) == keep and torch.equal(stored, (places % tf.BLOCK).int())
        values = device_tensor(selection.values, torch.float32)[:keep]
        report.check(f"selection of {percent} %", same and torch.equal(values, task_view[places]))
        best = torch.topk((task_view - merged_view).abs(), keep, sorted=False).values.min().item()
        report.check(f"threshold of {percent} %", int(np.float32(best).view(np.uint32)) == threshold)


def convert(report):
    kinds = {tf.F32: torch.float32, tf.BF16: torch.bfloat16, tf.F8_E4M3: torch.float8_e4m3fn}
    for source, target in ((tf.F32, tf.BF16), (tf.BF16, tf.F32), (tf.F8_E4M3, tf.BF16), (tf.BF16, tf.F8_E4M3)):
        array, view = random_array(BIG, kinds[source])
        result = gpu.Array(BIG, ref.RAW[target])
        job = tf.ConvertJob(source, target, BIG, array.address, result.address, None)
        ms = measure.ours(lambda: gpu.library().convert(gpu.queue(), byref(job)))
        in_torch = measure.torchs(lambda: view.to(kinds[target]))
        count = (tf.ITEM_BYTES[source] + tf.ITEM_BYTES[target]) * BIG
        name = f"convert {tf.DTYPE_NAMES[source]} to {tf.DTYPE_NAMES[target]}"
        report.add(name, ms, count, torch=in_torch)
        raw = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[tf.ITEM_BYTES[target]]
        report.check(name, torch.equal(device_tensor(result, raw), view.to(kinds[target]).view(raw)))


def digest(report):
    count = 4 << 30
    array = gpu.Array(count, np.uint8)
    array.memory.tensor.random_(0, 256)
    torch.cuda.synchronize()
    result = gpu.Array(count // tf.LEAF * 16, np.uint8)
    job = tf.DigestJob(array.address, count, result.address)
    ms = measure.ours(lambda: gpu.library().digest(gpu.queue(), byref(job)), 7)
    report.add("digests of 4 GiB", ms, count)
    found = result.read()
    for leaf in (0, 777, count // tf.LEAF - 1):
        data = array.memory.tensor[leaf * tf.LEAF : (leaf + 1) * tf.LEAF].cpu().numpy().tobytes()
        report.check("digest", found[leaf * 16 : leaf * 16 + 16].tobytes() == xxh3.digest(data))


def host_copies(report):
    count = 1 << 30
    host, device = gpu.pinned(count), gpu.Array(count, np.uint8)
    host[:] = 7
    library, queue = gpu.library(), gpu.queue()
    theirs = torch.empty(count, dtype=torch.uint8, pin_memory=True)
    tensor = device.memory.tensor[:count]
    for name, ends, in_torch in (
        ("host to device", (device.address, host.ctypes.data), lambda: tensor.copy_(theirs, non_blocking=True)),
        ("device to host", (host.ctypes.data, device.address), lambda: theirs.copy_(tensor, non_blocking=True)),
    ):
        ms = measure.ours(lambda: library.copy(queue, *ends, count), 7)
        report.add(f"copy 1 GiB pinned, {name}", ms, 0, torch=measure.torchs(in_torch))
        report.rows[-1]["GB/s"] = round(count / ms / 1e6, 1)
    gpu.wait()
    gpu.free_pinned(host)
