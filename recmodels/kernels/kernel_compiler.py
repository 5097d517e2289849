"""Configuration of numba for short compile times: seconds and not minutes. And for short starts.

- *Kernels are optimised once, in the entries.* By itself numba optimises each function together with all that it calls,
  and makes machine code of it. A function at the bottom would be optimised once more for each function above it.
- *Passes that change nothing in a kernel are left out,* such as those for closures, `with` and array expressions.
- *The signature of a call of a built-in function is resolved once* for each combination of argument types.
- *Garbage collection is off while an entry is compiled.* There are millions of objects to look at, and hardly garbage.
- *SciPy's linear algebra is not imported.* numba looks for its BLAS when it first loads a function, and would import a
  hundred modules beside it: 0.2 s of each start.
"""

import gc
from contextlib import suppress
from typing import Any, Final

from numba._dynfunc import make_function
from numba.core import types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import DumpParforDiagnostics, InlineOverloads, NativeLowering, NopythonRewrites
from typing_extensions import override

from recmodels.import_alone import import_alone

with suppress(ImportError):  # another SciPy has it elsewhere, and numba finds it or goes without
    import_alone("scipy.linalg.cython_blas")

NEEDLESS: Final = frozenset(
    {
        untyped_passes.WithLifting,
        untyped_passes.InlineClosureLikes,
        untyped_passes.RewriteDynamicRaises,
        untyped_passes.MakeFunctionToJitFunction,
        untyped_passes.InlineInlinables,
        untyped_passes.FindLiterallyCalls,
        untyped_passes.LiteralUnroll,
        untyped_passes.LiteralPropagationSubPipelinePass,
        InlineOverloads,
        NopythonRewrites,
        DumpParforDiagnostics,
    }
)
"""Passes that change nothing in a kernel."""


class _LinkedCode(JITCodeLibrary):
    """The code of a kernel and of all that it calls, before optimisation and without machine code."""

    @override
    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    _name = "kernel_lowering"

    @override
    def run_pass(self, state: Any) -> bool:
        state.library = _LinkedCode(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state.cr
        name = lowered.fndesc.qualname
        key = make_function(lowered.fndesc.lookup_module(), name, "a kernel", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state.cr = lowered._replace(cfunc=key)
        return True


class _TypingContext:
    """numba's typing context, with a cache of the signatures of calls of built-in functions."""

    _known: Final[dict[Any, Any]] = {}

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def resolve_function_type(self, function: Any, arguments: Any, keywords: Any) -> Any:
        """Return the signature of a call, or None if there is no such function."""
        if not isinstance(function, types.Function) or keywords:
            return self._context.resolve_function_type(function, arguments, keywords)
        call = (function, tuple(arguments))
        if call not in self._known:
            signature = self._context.resolve_function_type(function, arguments, keywords)
            if signature is None:
                return None
            self._known[call] = signature
        return self._known[call]


class KernelCompiler(CompilerBase):
    """numba's compiler, up to the code that is linked into entries."""

    def __init__(self, typing_context: Any, *others: Any) -> None:
        super().__init__(typing_context, *others)
        self.state.typingctx = _TypingContext(typing_context)

    @override
    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("kernel")
        for step, description in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if step not in NEEDLESS:
                passes.add_pass(_KernelLowering if step is NativeLowering else step, description)
        passes.finalize()
        return [passes]


class EntryCompiler(CompilerBase):
    """numba's compiler for functions that Python calls."""

    @override
    def define_pipelines(self) -> list[PassManager]:
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]

    @override
    def compile_extra(self, function: Any) -> Any:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if was_enabled:
                gc.enable()
