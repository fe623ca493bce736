"""The layering law: which folder of server/ may include which, and who may see which library."""

import pathlib
import re

import sources

SERVER = sources.ROOT / "server"
# From the top down; a layer includes itself and what is below it.
ORDER = ["rpc", "session", "autograd", "exec", "ops", "graph", "backend", "core"]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')

# Libraries that only some files may see: pattern of the include, pattern of the files, in words.
LIBRARIES = [
    (r"grpc|google/protobuf/|gradwire/v1/", r"rpc/.*|main\.cc", "gRPC and protobuf: only rpc/ and main.cc"),
    (r"(oneapi/dnnl/)?dnnl.*", r"backend/cpu/.*|ops/[^/]*\.cc", "oneDNN: only backend/cpu/ and ops/*.cc"),
    (r"cuda|cublas|cudnn|cub/|thrust/|curand|nvrtc|nccl", r"backend/cuda/.*|ops/[^/]*\.cu",
     "CUDA: only backend/cuda/ and ops/*.cu"),
]  # fmt: skip


def problem_with(file: str, included: str) -> str | None:
    """Why `file` (relative to server/) may not include `included`, or None."""
    layer, target = file.split("/")[0], included.split("/")[0]
    if layer in ORDER and target in ORDER and ORDER.index(target) < ORDER.index(layer):
        return f"{layer}/ may not include {target}/, which is above it"
    if "/" in included and target not in ORDER and (SERVER / target).is_dir():
        return f"{target}/ is not a layer; layers are {', '.join(ORDER)}"
    for library, allowed, words in LIBRARIES:
        if re.match(library, included) and not re.fullmatch(allowed, file):
            return words
    return None


def includes(path: pathlib.Path) -> list[tuple[int, str]]:
    """Line numbers and targets of a file's #include directives."""
    found = ((number, INCLUDE.match(line)) for number, line in enumerate(sources.lines(path), 1))
    return [(number, match.group(1)) for number, match in found if match]


def check() -> list[str]:
    """Names the #include lines in server/ that break the law."""
    problems = []
    for path in sources.files(*sources.CPP_SUFFIXES):
        if path.is_relative_to(SERVER):
            file = str(path.relative_to(SERVER))
            for number, included in includes(path):
                if problem := problem_with(file, included):
                    problems.append(f"{sources.relative(path)}:{number}: {included}: {problem}")
    return problems
