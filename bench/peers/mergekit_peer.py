"""mergekit as a process that merges once for each line it reads; imports and start are not timed.

Reads lines of JSON {"method", "base", "tasks", "output", "dtype", "density"?}, answers {"ms": …}; run by bench/peers/merge.mjs.
"""

import contextlib
import importlib.metadata
import json
import logging
import os
import shutil
import sys
import time

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions


def merge(job, threads):
    parameters = {"weight": 0.3, **({"density": job["density"]} if "density" in job else {})}
    config = {
        "merge_method": job["method"],
        "base_model": job["base"],
        "models": [{"model": folder, "parameters": parameters} for folder in job["tasks"]],
        "parameters": {"normalize": False, "int8_mask": False},
        "dtype": job["dtype"],
        "out_dtype": "bfloat16",
    }
    parsed = MergeConfiguration.model_validate(yaml.safe_load(json.dumps(config)))
    options = {"copy_tokenizer": False, "lazy_unpickle": True, "quiet": True, "allow_crimes": False, "num_threads": threads}
    fields = MergeOptions.model_fields
    options = MergeOptions(**{key: value for key, value in options.items() if key in fields})
    shutil.rmtree(job["output"], ignore_errors=True)
    run_merge(parsed, job["output"], options)


def main():
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)
    os.environ["HF_HUB_OFFLINE"] = "1"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print must not mix with the answers
    print(json.dumps({"mergekit": importlib.metadata.version("mergekit"), "torch": torch.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        start = time.perf_counter()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                merge(job, threads)
            answer = {"ms": (time.perf_counter() - start) * 1000}
        except Exception as error:  # a peer that cannot do it is reported, the suite goes on
            answer = {"missing": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


main()
