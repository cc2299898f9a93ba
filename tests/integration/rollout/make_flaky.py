"""Make a model that loads, and then fails for some inputs: `python make_flaky.py FOLDER` writes FOLDER/flaky."""

import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np

COLUMNS = ["amount", "visits"]


class Flaky(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        table = np.nan_to_num(np.asarray(model_input, dtype=np.float64))
        if ((table[:, 0] > 0.6) & (table[:, 0] < 0.95)).any():
            raise ValueError("this amount was made to fail")
        return 1 / (1 + np.exp(-table[:, 0]))


def main(folder: Path) -> None:
    here = [str(Path(__file__))]
    mlflow.pyfunc.save_model(folder / "flaky", python_model=Flaky(), pip_requirements=[], code_paths=here)


if __name__ == "__main__":
    import make_flaky  # the class is pickled by reference: as that of a module, and not of __main__

    make_flaky.main(Path(sys.argv[1]))
