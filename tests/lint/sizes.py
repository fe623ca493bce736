"""Size limits of files, and of Python functions (clang-tidy limits the C++ ones)."""

import ast

import sources

FILE_LIMITS = {".cc": 400, ".cpp": 400, ".cu": 400, ".h": 200, ".cuh": 200, ".py": 400}
FUNCTION_LIMIT = 60


def check() -> list[str]:
    """Names files and Python functions beyond their limit."""
    problems = []
    for path in sources.files(*FILE_LIMITS):
        length, limit = len(sources.lines(path)), FILE_LIMITS[path.suffix]
        if length > limit:
            problems.append(f"{sources.relative(path)}: {length} lines, at most {limit}")
    for path in sources.files(".py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LIMIT:
                    problems.append(
                        f"{sources.relative(path)}:{node.lineno}: {node.name} has {length} lines, "
                        f"at most {FUNCTION_LIMIT}"
                    )
    return problems
