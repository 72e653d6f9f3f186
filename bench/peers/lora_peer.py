"""What a user would otherwise run for LoRA, as a process that times one thing for each line it reads.

Reads lines of JSON {"run": NAME, ...arguments}, answers {"ms": …, "error": …}; run by bench/lora.mjs.
"""

import json
import sys
import time

import torch
from safetensors import safe_open


def load(path, names):
    with safe_open(path, framework="pt") as file:
        return [file.get_tensor(name) for name in names]


def relative(product, b, a):
    """Relative Frobenius error of B·A against a matrix."""
    return (torch.linalg.norm(product - b @ a) / torch.linalg.norm(product)).item()


def split(u, s, vt, rank):
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vt[:rank]


def full_svd(b, a, rank):
    """The way of peft and kohya: form the product, take a full SVD of it."""
    return split(*torch.linalg.svd(b @ a, full_matrices=False), rank)


def lowrank_svd(b, a, rank):
    """kohya's way for large layers: form the product, approximate its SVD."""
    u, s, v = torch.svd_lowrank(b @ a, q=2 * rank, niter=2)
    return split(u, s, v.T, rank)


def qr_svd(b, a, rank):
    """The algorithm of taskfold, in torch."""
    qb, rb = torch.linalg.qr(b)
    qa, ra = torch.linalg.qr(a.T)
    u, s, vt = torch.linalg.svd(rb @ ra.T)
    return split(qb @ u, s, vt @ qa.T, rank)


def peft_svd(job):
    """peft's add_weighted_adapter with combination_type svd, on a model of one layer."""
    from peft import LoraConfig, get_peft_model

    b, a = load(job["file"], ["b", "a"])
    layer = torch.nn.Sequential(torch.nn.Linear(a.shape[1], b.shape[0], bias=False))
    config = LoraConfig(r=a.shape[0], lora_alpha=a.shape[0], target_modules=["0"])
    model = get_peft_model(layer, config)
    weights = model.base_model.model[0]
    # With one adapter peft copies it, whatever combination is asked for; a second one of zeros changes nothing.
    model.add_adapter("zero", config)
    weights.lora_B["zero"].weight.data.zero_()
    weights.lora_A["default"].weight.data = a
    weights.lora_B["default"].weight.data = b
    start = time.perf_counter()
    model.base_model.add_weighted_adapter(
        ["default", "zero"], [1.0, 1.0], "small", combination_type="svd", svd_rank=job["rank"]
    )
    ms = (time.perf_counter() - start) * 1000
    with torch.no_grad():
        return ms, relative(b @ a, weights.lora_B["small"].weight, weights.lora_A["small"].weight)


RESIZE = {"torch full svd": full_svd, "torch svd_lowrank": lowrank_svd, "torch qr, qr, svd": qr_svd}


def resize(job):
    b, a = load(job["file"], ["b", "a"])
    start = time.perf_counter()
    new_b, new_a = RESIZE[job["run"]](b, a, job["rank"])
    ms = (time.perf_counter() - start) * 1000
    return ms, relative(b @ a, new_b, new_a)


def extract(job):
    """torch.svd_lowrank of a difference, load and subtraction included."""
    start = time.perf_counter()
    tuned, base = load(job["tuned"], ["w"])[0], load(job["base"], ["w"])[0]
    difference = tuned.float() - base.float()
    torch.manual_seed(0)
    u, s, v = torch.svd_lowrank(difference, q=job["rank"] + job["oversample"], niter=job["niter"])
    new_b, new_a = split(u, s, v.T, job["rank"])
    ms = (time.perf_counter() - start) * 1000
    return ms, relative(difference, new_b, new_a)


def error(job):
    """Relative error of factors in a file, computed here for both sides alike."""
    if "tuned" in job:
        product = load(job["tuned"], ["w"])[0].float() - load(job["base"], ["w"])[0].float()
    else:
        b, a = load(job["file"], ["b", "a"])
        product = b @ a
    b, a = load(job["factors"], ["b", "a"])
    return 0, relative(product, b.float(), a.float())


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_grad_enabled(False)
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        run = {"error": error, "peft svd": peft_svd}.get(job["run"], extract if "tuned" in job else resize)
        try:
            ms, found = run(job)
            print(json.dumps({"ms": ms, "error": found}), flush=True)
        except ImportError as missing:
            print(json.dumps({"missing": str(missing)}), flush=True)


main()
