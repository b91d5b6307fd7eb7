"""The imports run downward, and the command line answers without loading what it does not need."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import seqvae_cli

PACKAGE = Path(seqvae_cli.__file__).parent

BELOW_API = {
    "config",
    "system",
    "data",
    "nn",
    "model",
    "runs",
    "latent",
    "training",
    "sweeps",
    "evaluation",
    "plotting",
    "logs",
    "export",
    "hub",
}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "config": set(),
    "system": set(),
    "data": {"config", "system"},
    "nn": {"config"},
    "model": {"config", "nn", "data.batching", "data.tokenizer"},
    "runs": {"config", "system", "data", "model"},
    "latent": {"system", "data", "nn.decoding", "model"},
    "evaluation": {"config", "system", "data", "nn", "model", "runs", "latent"},
    "training": {
        *("config", "system", "data", "nn", "model", "runs", "latent"),
        *("evaluation.metrics", "evaluation.subset"),
    },
    "sweeps": {"config", "system", "data", "runs", "training"},
    "plotting": {"config", "system", "data", "nn", "model", "runs", "latent", "evaluation"},
    "logs": {"config", "system", "data", "nn", "model", "runs", "latent", "training"},
    "export": {"config", "system", "data", "nn", "model", "runs", "latent"},
    "hub": {"config", "system", "data", "model", "runs", "evaluation", "export"},
    "api": BELOW_API,
    "web": BELOW_API | {"api"},
    "play": BELOW_API | {"api", "web"},
    "serve": BELOW_API | {"api", "web"},
    "sklearn": BELOW_API | {"api"},
    "cli": BELOW_API | {"api", "play", "serve", "web"},
    "__main__": {"cli"},
}
"""What each package, or module at the root, may import besides itself, `errors` and `version`."""

TERMINAL = {"cli", "__main__"}
"""What may know Rich or Typer, print, and exit; the rest is the library."""

ROOT_FILES = 12
"""Python files at the root of the package, at most."""


def name_of(path: Path) -> str:
    """`commands/train.py` -> `commands.train`; a package has the name of its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST) -> set[str]:
    """Full names of all modules that `tree` imports, in functions and under TYPE_CHECKING as well."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top_imports(tree: ast.Module) -> set[str]:
    """Full names of the modules imported as soon as `tree` is: not inside functions, not under TYPE_CHECKING."""
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= imports(node)
        else:
            pending += ast.iter_child_nodes(node)
    return found


def ours(names: set[str]) -> set[str]:
    """Those of our own modules that the imported names belong to."""
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "seqvae_cli":
            inner = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
            found |= {next((module for module in inner if module in SOURCES), "")}
    return found - {""}


def room(module: str) -> str:
    return module.split(".")[0]


GRAPH = {module: ours(imports(tree)) - {module} for module, tree in SOURCES.items()}
MODULES = sorted(set(SOURCES) - {""})
COMMANDS = [module for module in MODULES if module.startswith("cli.commands.")]


def test_a_newcomer_reads_a_dozen_names() -> None:
    at_the_root = [path.name for path in PACKAGE.glob("*.py")]
    assert len(at_the_root) <= ROOT_FILES
    packages = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert packages <= ROOMS.keys()
    assert not [path for path in PACKAGE.rglob("_*.py") if not path.name.startswith("__")], "make a folder"


def test_package_inits_are_empty() -> None:
    full = [path for path in PACKAGE.glob("*/**/__init__.py") if path.read_text(encoding="utf-8").strip()]
    assert not full, "an import in a package's __init__ is paid by every command"


def test_imports_run_downward() -> None:
    for module in MODULES:
        assert room(module) in ROOMS, f"put {room(module)} into the table of this test"
        allowed = ROOMS[room(module)] | {room(module), "errors", "version"}
        for imported in GRAPH[module]:
            assert any(f"{imported}.".startswith(f"{name}.") for name in allowed), f"{module} imports {imported}"


def test_commands_do_not_import_each_other() -> None:
    group = "cli.commands.runs."
    for module in COMMANDS:
        others = {name for name in GRAPH[module] if name.startswith("cli.commands.")}
        if module.startswith(group):
            others = {name for name in others if not name.startswith(group)}
        assert not others, f"{module}: what commands share lies in cli"


def test_no_import_cycle_not_even_in_functions() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for imported in GRAPH[module]:
                visit(imported, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())


def test_only_the_top_layers_know_the_terminal() -> None:
    for module in MODULES:
        if module.split(".")[0] not in TERMINAL:
            terminal = {name for name in imports(SOURCES[module]) if name.split(".")[0] in ("rich", "typer", "click")}
            assert not terminal, f"{module} imports {terminal}"


def test_what_must_start_fast_imports_nothing_slow() -> None:
    for module in MODULES:
        slow = {"matplotlib", "sacrebleu"}
        if room(module) in TERMINAL:
            slow |= {"torch", "numpy", "pydantic", "rich", "safetensors", "yaml"}
        loaded = {name for name in top_imports(SOURCES[module]) if name.split(".")[0] in slow}
        assert not loaded, f"{module} imports {loaded} at its top"


def test_the_library_neither_prints_nor_exits() -> None:
    for module in MODULES:
        if module.split(".")[0] in TERMINAL:
            continue
        for node in ast.walk(SOURCES[module]):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("print", "exit", "quit", "sys.exit", "os._exit"), f"{module}, line {node.lineno}"


def calls(module: str) -> dict[str, list[ast.Call]]:
    """The calls in a module, by the last part of what is called."""
    found: dict[str, list[ast.Call]] = {}
    for node in ast.walk(SOURCES[module]):
        if isinstance(node, ast.Call):
            found.setdefault(ast.unparse(node.func).rpartition(".")[2], []).append(node)
    return found


NOT_DURABLE = {"data.sources": 1, "data.download": 1, "cli.boundary": 3, "logs.tensorboard": 1}
"""Files opened for writing that nothing depends on after a crash: a spooled text, the part of a download that is not
verified yet, the null device, an event file that others read while it grows."""


SYNCED = {"export.weights": [["save_model"]]}
"""Files that a library writes, and `export.exporters` syncs."""


def test_only_one_class_writes_durable_files_and_one_function_verifies_them() -> None:
    for module in MODULES:
        found = calls(module)
        opened = [call for call in found.get("open", []) if ast.unparse(call.func) in ("open", "os.open")]
        writing = [call for call in opened if re.search("['\"][rwaxb+]*[wax+]|O_WRONLY|O_CREAT", ast.unparse(call))]
        by_name = [
            name
            for name in ("write_text", "write_bytes", "save_file", "save_model", "savefig", "copyfile")
            if name in found
        ]
        assert by_name in ([], ["savefig"], *SYNCED.get(module, ())), f"{module} writes files by {by_name}"
        compared = [ast.unparse(node) for node in ast.walk(SOURCES[module]) if isinstance(node, ast.Compare)]
        hashes = [text for text in compared if "sha256" in text]
        if module == "system.files":
            assert len([call for call in writing if "'xb'" in ast.unparse(call)]) == len(writing) == 1
            continue
        assert len(writing) <= NOT_DURABLE.get(module, 0), (module, [ast.unparse(call) for call in writing])
        assert module == "runs.archive" or not hashes, (module, hashes)  # the archive notices what changes meanwhile


def test_top_imports_tell_when_a_module_is_loaded() -> None:
    source = """
import a
from b import c
if TYPE_CHECKING:
    import d
else:
    import e
try:
    import f
except ImportError:
    pass
class K:
    import g
    def method(self):
        import h
"""
    assert top_imports(ast.parse(source)) == {"a", "b.c", "e", "f", "g"}
    assert imports(ast.parse(source)) == {"a", "b.c", "d", "e", "f", "g", "h"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sample", "--help"]])
def test_help_loads_neither_torch_nor_numpy_nor_pydantic(arguments: list[str]) -> None:
    script = f"""
import sys
from seqvae_cli.cli import boundary
code = boundary.main({arguments})
slow = {{"torch", "numpy", "pydantic", "rich", "yaml", "safetensors", "matplotlib"}} & set(sys.modules)
sys.exit(f"loaded: {{slow}}" if slow else code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "seqvae" in done.stdout


@pytest.mark.parametrize("arguments", [["runs", "list"], ["runs", "path"], ["runs", "watch"], ["presets"], ["corpora"]])
def test_commands_that_list_do_not_load_torch(arguments: list[str]) -> None:
    script = f"""
import sys
from seqvae_cli.cli import boundary
code = boundary.main({arguments})
sys.exit("torch was loaded" if "torch" in sys.modules else code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (3 if arguments[-1] in ("path", "watch") else 0), done.stderr
