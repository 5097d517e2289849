"""One module of River without the rest of its package, where the rest would take a second of each start.

`river.reco` imports the optimisers and SciPy's special functions, and `river.drift` SciPy's statistics. A blend needs
one class of each.
"""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import river


def import_alone(name: str) -> ModuleType:
    """Import a module of River, but not the package that it stands in.

    River finds the same module if it imports the package later, so there is one class of each name.

    Args:
        name: Full name, such as `river.drift.adwin`.

    >>> import_alone("river.drift.adwin").ADWIN.__name__
    'ADWIN'
    >>> from river import drift
    >>> drift.ADWIN is import_alone("river.drift.adwin").ADWIN
    True
    """
    file = Path(river.__file__).parent.joinpath(*name.split(".")[1:]).with_suffix(".py")
    spec = spec_from_file_location(name, file) if name not in sys.modules and file.exists() else None
    if spec is None or spec.loader is None:  # it is imported already, or another release of River has it elsewhere
        return import_module(name)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
