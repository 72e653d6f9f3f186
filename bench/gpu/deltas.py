"""Scattering one delta, and switching a model of Llama 7B's shapes between two tasks in place."""

from ctypes import byref

import numpy as np

import gpu
import measure
import reference as ref
import taskfold_cuda as tf

torch = measure.torch
#: The matrices of Llama 7B: 226 tensors, 6.74 · 10^9 elements.
SHAPES = [(32000, 4096)] * 2 + [*[(4096, 4096)] * 4, *[(11008, 4096)] * 3] * 32


def device():
    return f"cuda:{gpu.device()}"


def array_of(tensor, dtype):
    array = gpu.Array(tensor.numel(), dtype)
    array.memory.tensor[: array.bytes].copy_(tensor.contiguous().view(torch.uint8))
    torch.cuda.synchronize()
    return array


class RandomDelta:
    """A delta of random entries, on the device. `places` are kept for torch when asked for."""

    def __init__(self, elements, share, code=tf.INDEX_U16, keep_places=False):
        mask = torch.rand(elements, device=device()) < share
        places = mask.nonzero()[:, 0]
        blocks = ref.block_count(elements)
        padded = torch.zeros(blocks * tf.BLOCK, dtype=torch.bool, device=device())
        padded[:elements] = mask
        counts = padded.view(blocks, -1).sum(dim=1)
        starts = torch.zeros(blocks + 1, dtype=torch.int64, device=device())
        starts[1:] = counts.cumsum(0)
        self.kept, self.code = len(places), code
        self.starts = array_of(starts.int(), np.uint32)
        if code == tf.INDEX_U16:
            self.index = array_of((places & 0xFFFF).to(torch.int16), np.uint16)
        else:
            powers = (2 ** torch.arange(8, device=device())).to(torch.uint8)
            packed = (padded.view(-1, 8) * powers).sum(dim=1, dtype=torch.uint8)
            self.index = array_of(packed[: -(-elements // 8)], np.uint8)
        self.values = array_of(torch.randn(self.kept, device=device()).bfloat16(), np.uint16)
        self.places = places if keep_places else None

    def struct(self):
        return tf.Delta(self.starts.address, self.index.address, self.values.address, self.kept, 4, self.code)

    def view(self):
        return self.values.memory.tensor[: self.values.bytes].view(torch.bfloat16)


def dense_array(elements):
    array = gpu.Array(elements, np.uint16)
    view = array.memory.tensor[: array.bytes].view(torch.bfloat16)
    view.normal_()
    torch.cuda.synchronize()
    return array, view


def scatter(report):
    elements = 1 << 28
    dense, view = dense_array(elements)
    refused = gpu.zeros(1, np.uint64)
    for share in (0.1, 0.01):
        for code in (tf.INDEX_U16, tf.INDEX_BITMAP):
            delta = RandomDelta(elements, share, code, keep_places=True)
            job = tf.ScatterJob(dense.address, elements, 2, delta.struct(), refused.address)
            run = lambda: gpu.library().scatter(gpu.queue(), byref(job))  # noqa: E731
            wanted = view.clone()
            wanted[delta.places] = delta.view()
            run()
            gpu.wait()
            name = f"scatter {share:.0%} of 256 Mi bf16, {'bitmap' if code else 'u16'}"
            report.check(name, torch.equal(view, wanted) and int(refused.read()[0]) == 0)
            ms = measure.ours(run)
            put = measure.torchs(lambda: wanted.index_put_((delta.places,), delta.view()))
            plain = measure.torchs(lambda: wanted.scatter_(0, delta.places, delta.view()))
            report.add(name, ms, delta.kept * 2 + delta.values.bytes + delta.index.bytes, index_put_=put, scatter_=plain)
            del wanted


class Model:
    def __init__(self, share):
        sizes = [rows * columns for rows, columns in SHAPES]
        self.dense, self.views = zip(*[dense_array(size) for size in sizes])
        self.sizes = sizes
        self.deltas = [[RandomDelta(size, share) for size in sizes] for _ in range(2)]
        self.refused = gpu.zeros(1, np.uint64)
        self.tables = {}
        for leave, enter in ((None, 0), (0, 1), (1, 0), (0, None)):
            self.tables[leave, enter] = self.table(leave, enter)

    def table(self, leave, enter):
        nothing = tf.Delta(None, None, None, 0, 4, tf.INDEX_U16)
        structs, blocks = [], 0
        for i, size in enumerate(self.sizes):
            parts = [nothing if task is None else self.deltas[task][i].struct() for task in (leave, enter)]
            structs.append(tf.SwapTensor(self.dense[i].address, size, 2, 0, blocks, *parts))
            blocks += ref.block_count(size)
        table = gpu.upload_structs(structs)
        return table, tf.SwapJob(table.address, len(structs), blocks, self.refused.address)

    def swap(self, leave, enter):
        gpu.library().swap(gpu.queue(), byref(self.tables[leave, enter][1]))


def swap(report):
    for share in (0.1, 0.01):
        torch.cuda.empty_cache()
        model = Model(share)
        sample = (0, 2, 5, 117, 225)
        before = {i: model.views[i].clone() for i in sample}
        tasks = {i: model.deltas[0][i].view().clone() for i in sample}
        model.swap(None, 0)
        gpu.wait()
        for i in sample:
            # Both tensors' entries are where they belong: a sum over positions of what changed would hide an exchange.
            changed = (model.views[i] != before[i]).nonzero()[:, 0]
            stored = model.deltas[0][i].view()
            report.check("swap keeps θ*", len(changed) <= len(stored) <= len(changed) * 1.02 + 16)
            wanted = before[i].clone()
            places = places_of(model.deltas[0][i])
            wanted[places] = tasks[i]
            report.check("swap enters", torch.equal(model.views[i], wanted))
            report.check("swap saves", torch.equal(stored, before[i][places]))
        turn = [(0, 1), (1, 0)]

        def there_and_back():
            for leave, enter in turn:
                model.swap(leave, enter)

        ms = measure.ours(there_and_back, 9) / 2
        kept = sum(d.kept for d in model.deltas[0])
        # Of each delta: positions, values in and out; of the model: what is exchanged.
        in_torch = torch_switch(model) if share == 0.01 else None
        against = {"torch index_put_": in_torch} if in_torch else {}
        report.add(f"switch of a 7B model (226 bf16 tensors), {share:.0%}", ms, 2 * kept * (2 + 4 + 4), **against)
        model.swap(0, None)
        gpu.wait()
        report.check("swap restores", all(torch.equal(model.views[i], before[i]) for i in sample))
        report.check("swap refuses nothing", int(model.refused.read()[0]) == 0)
        del model, before, tasks, wanted, places, stored, changed


def places_of(delta):
    """Flat positions of a u16 delta."""
    positions = delta.index.memory.tensor[: delta.index.bytes].view(torch.int16).long() & 0xFFFF
    starts = delta.starts.memory.tensor[: delta.starts.bytes].view(torch.int32).long()
    block = torch.repeat_interleave(torch.arange(len(starts) - 1, device=device()), starts.diff())
    return block * tf.BLOCK + positions


def torch_switch(model):
    """The same in torch, tensor by tensor: put θ*'s values back, save what the next task will hide, write it."""
    places = [[places_of(d) for d in task] for task in model.deltas]
    saved = [d.view().clone() for d in model.deltas[0]]

    def run():
        for i, view in enumerate(model.views):
            view.index_put_((places[0][i],), saved[i])
            hidden = view[places[1][i]]
            view.index_put_((places[1][i],), hidden)

    return measure.torchs(run, 3)
