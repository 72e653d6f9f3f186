"""taskfold_cuda.py against the headers of cuda/: functions by name, structs by size and offsets, as a C compiler lays
them out. No GPU and no plug-in needed."""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import taskfold_cuda as tf

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cuda")
HEADERS = ("taskfold_cuda.h", "taskfold_cuda_kernels.h", "taskfold_cuda_linalg.h")


def text():
    parts = []
    for name in HEADERS:
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            parts.append(re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S))
    return "\n".join(parts)


class Headers(unittest.TestCase):
    def test_functions(self):
        declared = set(re.findall(r"TF_CUDA_EXPORT\s[^;]*?\btf_cuda_(\w+)\(", text()))
        self.assertEqual(declared, {*tf.FUNCTIONS, "abi", "queue_stream"})

    def test_constants(self):
        values = dict(re.findall(r"#define TF_CUDA_(\w+) (\d+)", text()))
        for name in ("ABI", "BLOCK", "MAX_TASKS", "LEAF", "MAX_SKETCH", "IPC_BYTES"):
            self.assertEqual(int(values[name]), getattr(tf, name), name)

    def test_structs(self):
        names = re.findall(r"typedef struct tf_cuda_(\w+) \{", text())
        self.assertEqual(set(names), set(tf.STRUCTS))
        compiler = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang") if c and shutil.which(c)), None)
        if compiler is None:
            self.skipTest("no C compiler")
        lines = ["#include <stdio.h>"] + [f'#include "{name}"' for name in HEADERS] + ["int main(void) {"]
        wanted = []
        for name, struct in tf.STRUCTS.items():
            lines.append(f'printf("%zu\\n", sizeof(tf_cuda_{name}));')
            wanted.append((name, "size", ctypes.sizeof(struct)))
            for field, *_ in struct._fields_:
                lines.append(f'printf("%zu\\n", offsetof(tf_cuda_{name}, {field.rstrip("_")}));')
                wanted.append((name, field, getattr(struct, field).offset))
        with tempfile.TemporaryDirectory() as folder:
            source, program = os.path.join(folder, "layout.c"), os.path.join(folder, "layout")
            with open(source, "w", encoding="utf-8") as file:
                file.write("\n".join([*lines, "return 0; }"]))
            subprocess.run([compiler, "-I", FOLDER, source, "-o", program], check=True)
            found = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
        self.assertEqual([(a, b, int(n)) for (a, b, _), n in zip(wanted, found)], wanted)


if __name__ == "__main__":
    unittest.main()
