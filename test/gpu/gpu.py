"""One device, one queue and arrays on the device, for the tests and benches of this folder.

Arrays are torch tensors when torch sees a GPU, else memory of the plug-in itself (tf_cuda_allocate), so that the same
tests run against the emulated plug-in with numpy alone. Environment:

  TASKFOLD_CUDA_LIBRARY   the plug-in to test; needed
  TASKFOLD_TEST_MEMORY    torch | plugin: where arrays live (torch where it sees a GPU)
  TASKFOLD_TEST_SIZE      small | normal | big: how much is tested (normal; big adds tensors above 4 GiB)
  TASKFOLD_TEST_DEVICE    number of the device (0)
"""

import ctypes
import functools
import os
from ctypes import byref, c_void_p

import numpy as np

import taskfold_cuda as tf

#: Behind every array lie this many bytes that no kernel may change. None with the plug-in's memory on a GPU: there
#: compute-sanitizer knows where an allocation ends.
GUARD = 64
GUARD_BYTE = 0xA5

#: Figures that tests found on the way: name → the largest seen (run_tests.py reports them).
NOTES = {}


def note(name, value):
    NOTES[name] = max(NOTES.get(name, 0.0), float(value))


def small():
    return os.environ.get("TASKFOLD_TEST_SIZE") == "small"


def big():
    return os.environ.get("TASKFOLD_TEST_SIZE") == "big"


@functools.cache
def torch():
    """The torch module when it sees a GPU and may be used, else None."""
    if os.environ.get("TASKFOLD_TEST_MEMORY", "torch") != "torch":
        return None
    try:
        import torch as module
    except ImportError:
        return None
    return module if module.cuda.is_available() else None


@functools.cache
def library():
    path = os.environ.get("TASKFOLD_CUDA_LIBRARY")
    if not path:
        raise RuntimeError("TASKFOLD_CUDA_LIBRARY must name the plug-in to test")
    return tf.Library(os.path.abspath(path))


def device():
    return int(os.environ.get("TASKFOLD_TEST_DEVICE", "0"))


@functools.cache
def info():
    return library().devices()[device()]


@functools.cache
def emulated():
    return b"Emulated" in info().name


@functools.cache
def queue():
    found = c_void_p()
    library().queue_create(device(), byref(found))
    return found


def wait():
    library().queue_wait(queue())


class _PluginMemory:
    def __init__(self, count):
        self.pointer = c_void_p()
        library().allocate(device(), max(count, 1), byref(self.pointer))
        self.address = self.pointer.value

    def __del__(self):
        library().free(device(), self.pointer)


class _TorchMemory:
    def __init__(self, count):
        module = torch()
        self.tensor = module.empty(max(count, 1), dtype=module.uint8, device=f"cuda:{device()}")
        self.address = self.tensor.data_ptr()


class Array:
    """`count` items of a numpy dtype on the device."""

    def __init__(self, count, dtype):
        self.count = int(count)
        self.dtype = np.dtype(dtype)
        self.bytes = self.count * self.dtype.itemsize
        self.guard = 0 if torch() is None and not emulated() else GUARD
        memory = _PluginMemory if torch() is None else _TorchMemory
        self.memory = memory(self.bytes + self.guard)
        self.address = self.memory.address
        if self.guard:
            library().fill(queue(), self.address + self.bytes, GUARD_BYTE, self.guard)
        # torch frees and reuses memory in the order of its own stream, which is not this queue's.
        if torch() is not None:
            torch().cuda.synchronize(device())

    def read(self):
        """Waits for the queue and copies the array to the host. Fails when a kernel wrote behind its end."""
        whole = np.empty(self.bytes + self.guard, np.uint8)
        if whole.size:
            library().copy(queue(), whole.ctypes.data, self.address, whole.size)
        wait()
        if (whole[self.bytes :] != GUARD_BYTE).any():
            raise AssertionError(f"something wrote behind the end of an array of {self.count} {self.dtype}")
        return whole[: self.bytes].view(self.dtype)

    def write(self, values):
        values = np.ascontiguousarray(values, self.dtype)
        assert values.size == self.count
        if values.nbytes:
            library().copy(queue(), self.address, values.ctypes.data, values.nbytes)
        wait()
        return self

    def __del__(self):
        # Kernels that still run may use it.
        wait()


def upload(values):
    values = np.ascontiguousarray(values)
    return Array(values.size, values.dtype).write(values.reshape(-1))


def zeros(count, dtype):
    return upload(np.zeros(count, dtype))


def garbage(count, dtype):
    """Memory that a kernel is to overwrite: filled with a pattern, so that what it leaves out shows."""
    array = Array(count, dtype)
    if array.bytes:
        library().fill(queue(), array.address, 0xCD, array.bytes)
    return array


def upload_structs(structs):
    """A list of ctypes structs of one kind, as they lie in memory."""
    packed = (type(structs[0]) * len(structs))(*structs)
    return upload(np.frombuffer(bytes(packed), np.uint8))


def address(array):
    return None if array is None else array.address


def pointers(arrays):
    """Host array of device pointers."""
    return (c_void_p * len(arrays))(*[a.address for a in arrays])


def pinned(count):
    """Pinned host memory as a numpy array; the caller frees it with free_pinned."""
    memory = c_void_p()
    library().allocate_pinned(count, byref(memory))
    return np.ctypeslib.as_array(ctypes.cast(memory, ctypes.POINTER(ctypes.c_uint8)), (count,))


def free_pinned(array):
    library().free_pinned(array.ctypes.data)
