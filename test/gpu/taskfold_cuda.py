"""cuda/taskfold_cuda.h, taskfold_cuda_kernels.h and taskfold_cuda_linalg.h for ctypes.

Structs and functions have the names of the headers without `tf_cuda_`. A call that does not return TF_CUDA_OK raises
CudaError with the status and the message.
"""

import ctypes
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_size_t
from ctypes import c_uint8, c_uint32, c_uint64, c_void_p

ABI = 2
OK, INVALID, OUT_OF_MEMORY, FAILED, DEVICE_LOST, NO_DRIVER = range(6)
F32, F16, BF16, F8_E4M3, F8_E5M2 = range(5)
DTYPE_NAMES = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
ITEM_BYTES = (4, 2, 2, 1, 1)
BLOCK = 65536
MAX_TASKS = 64
LEAF = 262144
IPC_BYTES = 64
MAX_SKETCH = 1024
INDEX_U16, INDEX_BITMAP = 0, 1


class Device(Structure):
    _fields_ = [
        ("name", c_char * 256),
        ("bus_id", c_char * 32),
        ("memory_bytes", c_uint64),
        ("major", c_int32),
        ("minor", c_int32),
        ("multiprocessors", c_int32),
    ]


class Versions(Structure):
    _fields_ = [("driver", c_int32), ("runtime", c_int32)]


class Tally(Structure):
    _fields_ = [("above", c_uint64), ("has_nan", c_uint64)]


class Window(Structure):
    _fields_ = [
        ("low", c_uint32),
        ("end", c_uint32),
        ("shift", c_uint32),
        ("bins", c_uint32),
        ("counts", c_void_p),
        ("tally", c_void_p),
    ]


class MergeJob(Structure):
    _fields_ = [
        ("dtype", c_int32),
        ("task_count", c_uint32),
        ("elements", c_uint64),
        ("base", c_void_p),
        ("tasks", POINTER(c_void_p)),
        ("lambda_", c_float),
        ("merged", c_void_p),
        ("windows", POINTER(Window)),
        ("merged_tally", c_void_p),
    ]


class CountJob(Structure):
    _fields_ = [
        ("dtype", c_int32),
        ("elements", c_uint64),
        ("merged", c_void_p),
        ("task", c_void_p),
        ("window", Window),
    ]


class RankJob(Structure):
    _fields_ = [
        ("dtype", c_int32),
        ("threshold", c_uint32),
        ("elements", c_uint64),
        ("merged", c_void_p),
        ("task", c_void_p),
        ("above", c_void_p),
        ("equal", c_void_p),
        ("tally", c_void_p),
    ]


class PlaceJob(Structure):
    _fields_ = [
        ("blocks", c_uint64),
        ("above", c_void_p),
        ("equal", c_void_p),
        ("ties", c_void_p),
        ("keep_equal", c_void_p),
        ("starts", c_void_p),
    ]


class EmitJob(Structure):
    _fields_ = [
        ("dtype", c_int32),
        ("threshold", c_uint32),
        ("elements", c_uint64),
        ("merged", c_void_p),
        ("task", c_void_p),
        ("keep_equal", c_void_p),
        ("starts", c_void_p),
        ("values", c_void_p),
        ("positions", c_void_p),
        ("bits", c_void_p),
    ]


class Delta(Structure):
    _fields_ = [
        ("starts", c_void_p),
        ("index", c_void_p),
        ("values", c_void_p),
        ("kept", c_uint64),
        ("start_bytes", c_uint32),
        ("index_code", c_int32),
    ]


class ScatterJob(Structure):
    _fields_ = [
        ("dense", c_void_p),
        ("elements", c_uint64),
        ("item_bytes", c_uint32),
        ("delta", Delta),
        ("refused", c_void_p),
    ]


class SwapTensor(Structure):
    _fields_ = [
        ("dense", c_void_p),
        ("elements", c_uint64),
        ("item_bytes", c_uint32),
        ("reserved", c_uint32),
        ("first_block", c_uint64),
        ("leave", Delta),
        ("enter", Delta),
    ]


class SwapJob(Structure):
    _fields_ = [
        ("tensors", c_void_p),
        ("tensor_count", c_uint32),
        ("blocks", c_uint64),
        ("refused", c_void_p),
    ]


class ConvertJob(Structure):
    _fields_ = [
        ("from_dtype", c_int32),
        ("to_dtype", c_int32),
        ("elements", c_uint64),
        ("from_", c_void_p),
        ("to", c_void_p),
        ("inexact", c_void_p),
    ]


class DigestJob(Structure):
    _fields_ = [("bytes", c_void_p), ("length", c_uint64), ("digests", c_void_p)]


class SketchJob(Structure):
    _fields_ = [
        ("dtype", c_int32),
        ("minus_dtype", c_int32),
        ("rows", c_uint64),
        ("columns", c_uint64),
        ("k", c_uint32),
        ("scale", c_float),
        ("matrix", c_void_p),
        ("minus", c_void_p),
        ("x", c_void_p),
        ("y", c_void_p),
        ("wide_y", c_void_p),
        ("y_stride", c_uint64),
        ("squared_norm", c_void_p),
        ("not_finite", c_void_p),
    ]


class BackwardJob(Structure):
    _fields_ = [
        ("dtype", c_int32),
        ("minus_dtype", c_int32),
        ("rows", c_uint64),
        ("columns", c_uint64),
        ("k", c_uint32),
        ("scale", c_float),
        ("matrix", c_void_p),
        ("minus", c_void_p),
        ("y", c_void_p),
        ("wide_y", c_void_p),
        ("y_stride", c_uint64),
        ("z", c_void_p),
    ]


class Columns(Structure):
    _fields_ = [
        ("s", c_void_p),
        ("r", c_void_p),
        ("narrow", c_void_p),
        ("n", c_uint64),
        ("k", c_uint32),
        ("reserved", c_uint32),
    ]


class ColumnsBatch(Structure):
    _fields_ = [
        ("matrices", POINTER(Columns)),
        ("count", c_uint32),
        ("reserved", c_uint32),
        ("least", c_double),
        ("status", c_void_p),
    ]


class Product(Structure):
    _fields_ = [
        ("m", c_void_p),
        ("s", c_void_p),
        ("out", c_void_p),
        ("n", c_uint64),
        ("stride", c_uint64),
        ("rows", c_uint32),
        ("k", c_uint32),
        ("transposed", c_uint32),
        ("reserved", c_uint32),
    ]


class ProductBatch(Structure):
    _fields_ = [("products", POINTER(Product)), ("count", c_uint32), ("reserved", c_uint32)]


#: Struct of the headers (without `tf_cuda_`) → its mirror here. test_headers.py compares them.
STRUCTS = {
    "device": Device,
    "versions": Versions,
    "tally": Tally,
    "window": Window,
    "merge_job": MergeJob,
    "count_job": CountJob,
    "rank_job": RankJob,
    "place_job": PlaceJob,
    "emit_job": EmitJob,
    "delta": Delta,
    "scatter_job": ScatterJob,
    "swap_tensor": SwapTensor,
    "swap_job": SwapJob,
    "convert_job": ConvertJob,
    "digest_job": DigestJob,
    "sketch_job": SketchJob,
    "backward_job": BackwardJob,
    "columns": Columns,
    "columns_batch": ColumnsBatch,
    "product": Product,
    "product_batch": ProductBatch,
}

_QUEUE = c_void_p
_OUT_POINTER = POINTER(c_void_p)
#: Function → its arguments before the two of the error text. All return a status.
FUNCTIONS = {
    "get_versions": [POINTER(Versions)],
    "device_count": [POINTER(c_int32)],
    "device_info": [c_int32, POINTER(Device)],
    "device_memory": [c_int32, POINTER(c_uint64), POINTER(c_uint64)],
    "allocate": [c_int32, c_uint64, _OUT_POINTER],
    "free": [c_int32, c_void_p],
    "allocate_pinned": [c_uint64, _OUT_POINTER],
    "free_pinned": [c_void_p],
    "ipc_export": [c_int32, c_void_p, POINTER(c_uint8)],
    "ipc_open": [c_int32, POINTER(c_uint8), _OUT_POINTER],
    "ipc_close": [c_int32, c_void_p],
    "queue_create": [c_int32, _OUT_POINTER],
    "queue_destroy": [_QUEUE],
    "queue_wait": [_QUEUE],
    "copy": [_QUEUE, c_void_p, c_void_p, c_uint64],
    "fill": [_QUEUE, c_void_p, c_uint8, c_uint64],
    "merge": [_QUEUE, POINTER(MergeJob)],
    "count": [_QUEUE, POINTER(CountJob)],
    "rank": [_QUEUE, POINTER(RankJob)],
    "place": [_QUEUE, POINTER(PlaceJob)],
    "emit": [_QUEUE, POINTER(EmitJob)],
    "scatter": [_QUEUE, POINTER(ScatterJob)],
    "swap": [_QUEUE, POINTER(SwapJob)],
    "convert": [_QUEUE, POINTER(ConvertJob)],
    "digest": [_QUEUE, POINTER(DigestJob)],
    "sketch_forward": [_QUEUE, POINTER(SketchJob)],
    "sketch_backward": [_QUEUE, POINTER(BackwardJob)],
    "gram": [_QUEUE, POINTER(ColumnsBatch)],
    "cholesky": [_QUEUE, POINTER(ColumnsBatch)],
    "solve": [_QUEUE, POINTER(ColumnsBatch)],
    "multiply": [_QUEUE, POINTER(ProductBatch)],
}


class CudaError(Exception):
    def __init__(self, function, status, message):
        super().__init__(f"tf_cuda_{function}: status {status}: {message}")
        self.status = status
        self.message = message


class Library:
    """The opened plug-in: library.merge(queue, byref(job)) and so on."""

    def __init__(self, path):
        self.path = path
        self._dll = ctypes.CDLL(path)
        for name, arguments in FUNCTIONS.items():
            setattr(self, name, self._bind(name, arguments))
        self._dll.tf_cuda_abi.restype = c_int
        self._dll.tf_cuda_abi.argtypes = []
        self._dll.tf_cuda_queue_stream.restype = c_void_p
        self._dll.tf_cuda_queue_stream.argtypes = [c_void_p]
        if self.abi() != ABI:
            raise RuntimeError(f"{path} has interface {self.abi()}, these tests know {ABI}")

    def _bind(self, name, arguments):
        function = getattr(self._dll, f"tf_cuda_{name}")
        function.restype = c_int
        function.argtypes = [*arguments, c_char_p, c_size_t]

        def call(*values):
            error = ctypes.create_string_buffer(512)
            status = function(*values, error, len(error))
            if status != OK:
                raise CudaError(name, status, error.value.decode(errors="replace"))

        return call

    def abi(self):
        return self._dll.tf_cuda_abi()

    def queue_stream(self, queue):
        return self._dll.tf_cuda_queue_stream(queue)

    def versions(self):
        found = Versions()
        self.get_versions(byref(found))
        return found

    def devices(self):
        """Descriptions of all devices."""
        count = c_int32()
        self.device_count(byref(count))
        found = []
        for i in range(count.value):
            info = Device()
            self.device_info(i, byref(info))
            found.append(info)
        return found

    def memory(self, device=0):
        """Free and total bytes."""
        free, total = c_uint64(), c_uint64()
        self.device_memory(device, byref(free), byref(total))
        return free.value, total.value
