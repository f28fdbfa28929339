"""papermill's engine, saving the notebook when it has ended, and not around each cell."""

from papermill.engines import NBClientEngine, papermill_engines

NAME = "mflib"


class _Engine(NBClientEngine):
    """Saving takes as long as all of the notebook, so around each cell it grows with their square.

    A copy of what runs helps nobody: it lies in a folder that ends with the process. Behind this method
    papermill saves, whatever ended the cells.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **options):
        nb_man.save = lambda **_: None
        try:
            super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            del nb_man.save


papermill_engines.register(NAME, _Engine)
