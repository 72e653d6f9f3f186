"""Times on the GPU: events on the queue's own stream, medians of warm runs, and the memory's peak to compare with."""

import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "gpu"))

import gpu  # noqa: E402

torch = gpu.torch()
ROUNDS = 15

#: GB/s by a part of the device's name, from NVIDIA's data sheets; the first that fits.
PEAKS = (
    ("H200", 4800),
    ("H100 PCIe", 2000),
    ("H100 NVL", 3900),
    ("H100", 3350),
    ("A100-SXM4-40GB", 1555),
    ("A100", 2039),
    ("B200", 8000),
    ("L40S", 864),
    ("RTX 4090", 1008),
    ("RTX 5090", 1792),
)


def queue_stream():
    return torch.cuda.ExternalStream(gpu.library().queue_stream(gpu.queue()), device=gpu.device())


def _events(stream, run, rounds, before):
    times = []
    for i in range(rounds + 3):
        if before is not None:
            before()
            torch.cuda.synchronize()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record(stream)
        run()
        end.record(stream)
        torch.cuda.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def ours(run, rounds=ROUNDS, before=None):
    """Median milliseconds of calls on the queue. `before` runs outside of the clock."""
    return _events(queue_stream(), run, rounds, before)


def torchs(run, rounds=7, before=None):
    """The same of torch's own work."""
    return _events(torch.cuda.current_stream(), run, rounds, before)


def wall(run, rounds=7):
    """The same by the host's clock, for what goes to and fro between host and GPU."""
    times = []
    for i in range(rounds + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        if i >= 2:
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


class Report:
    """Collects what was measured, and prints it."""

    def __init__(self):
        self.rows = []
        self.wrong = []
        self.peak, self.peak_source = self._peak()

    def _peak(self):
        name = gpu.info().name.decode()
        for part, peak in PEAKS:
            if part in name:
                return peak, f"data sheet of {part}"
        first, second = (gpu.Array(1 << 30, "u1") for _ in range(2))
        ms = ours(lambda: gpu.library().copy(gpu.queue(), second.address, first.address, 1 << 30))
        return 2 * (1 << 30) / ms / 1e6, "a copy on this device"

    def add(self, name, ms, count=0, **against):
        """count: bytes that have to be read and written. against: what → its milliseconds."""
        row = {"name": name, "ms": round(ms, 4)}
        if count:
            speed = count / ms / 1e6
            row.update({"GB/s": round(speed, 1), "% of peak": round(100 * speed / self.peak, 1)})
        if against:
            row["against"] = {k: {"ms": round(v, 4), "times slower": round(v / ms, 2)} for k, v in against.items()}
        self.rows.append(row)
        extra = "".join(f"; {k} {v:.3f} ms = {v / ms:.1f}×" for k, v in against.items())
        speed = f", {row['GB/s']:.0f} GB/s, {row['% of peak']:.0f} % of peak" if count else ""
        print(f"{name}: {ms:.3f} ms{speed}{extra}")

    def check(self, name, holds):
        """A result that is not as it should be spoils the figures: it is named in the report."""
        if not holds:
            self.wrong.append(name)
            print(f"WRONG RESULT: {name}")
