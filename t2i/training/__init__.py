"""Training: :func:`fit` runs the loop, a :class:`Recipe` per model says what one step is."""

from t2i.config import COMPOSITIONS, STAGE_ONE
from t2i.training.char_cnn_rnn import CharCnnRnnRecipe
from t2i.training.damsm import Damsm
from t2i.training.gan_cls import GanCls
from t2i.training.loop import fit
from t2i.training.multi_stage import MultiStage
from t2i.training.run import Run
from t2i.training.stackgan import StackGan, StackGanStage2
from t2i.training.stackgan2 import StackGanTree

RECIPES = {"char-cnn-rnn": CharCnnRnnRecipe, "damsm": Damsm, "gan-cls": GanCls, "gan-cls-int": GanCls}
RECIPES |= dict.fromkeys(COMPOSITIONS, MultiStage)
RECIPES |= dict.fromkeys(STAGE_ONE, StackGan) | {"stackgan-stage2": StackGanStage2, "stackgan2": StackGanTree}

__all__ = ["RECIPES", "Run", "fit"]
