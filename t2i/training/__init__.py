"""Training: :func:`fit` runs the loop, a recipe for each kind of model says what one step is."""

from t2i.training.loop import fit
from t2i.training.recipe import Basis
from t2i.training.recipes import RECIPES, prepare
from t2i.training.run import Run

__all__ = ["RECIPES", "Basis", "Run", "fit", "prepare"]
