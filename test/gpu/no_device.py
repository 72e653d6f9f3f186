"""What the real plug-in says on a machine without a GPU: python3 no_device.py taskfold_cuda.so. Without numpy."""

import sys
from ctypes import byref, c_int32, c_void_p

import taskfold_cuda as tf


def main():
    library = tf.Library(sys.argv[1])
    versions = library.versions()
    print(f"interface {library.abi()}, CUDA runtime {versions.runtime}, driver {versions.driver or 'none'}")
    count = c_int32(7)
    try:
        library.device_count(byref(count))
        print(f"devices: {count.value}")
    except tf.CudaError as error:
        # A machine without a driver: as much of an answer.
        print(error)
        if error.status != tf.NO_DRIVER:
            return 1
    if count.value != 0:
        print("there is a GPU here: this check is for machines without one")
        return 1
    found = c_void_p()
    for name, call in {
        "device_info": lambda: library.device_info(0, byref(tf.Device())),
        "device_memory": lambda: library.memory(0),
        "allocate": lambda: library.allocate(0, 16, byref(found)),
        "allocate_pinned": lambda: library.allocate_pinned(16, byref(found)),
        "queue_create": lambda: library.queue_create(0, byref(found)),
    }.items():
        try:
            call()
        except tf.CudaError as error:
            print(error)
            continue
        print(f"{name} claims to have worked")
        return 1
    if found.value is not None:
        print("a failed call left a pointer")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
