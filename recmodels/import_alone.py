"""One module of a library without the rest of its package, where the rest would take a second of each start.

`river.reco` imports the optimisers and SciPy's special functions, and `river.drift` SciPy's statistics. A blend needs
one class of each. `scipy.linalg` imports a hundred modules, of which numba looks for one.
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType


def import_alone(name: str) -> ModuleType:
    """Import a module of a library, but not the package that it stands in.

    The library finds the same module if it imports the package later, so there is one class of each name.

    Args:
        name: Full name, such as `river.drift.adwin`.

    >>> import_alone("river.drift.adwin").ADWIN.__name__
    'ADWIN'
    >>> from river import drift
    >>> drift.ADWIN is import_alone("river.drift.adwin").ADWIN
    True
    """
    library, *folders, _ = name.split(".")
    folder = Path(import_module(library).__file__ or "").parent.joinpath(*folders)
    spec = PathFinder.find_spec(name, [str(folder)]) if name not in sys.modules else None
    if spec is None or spec.loader is None:  # it is imported already, or another release has it elsewhere
        return import_module(name)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
