"""What may be searched for the linear support vector machine."""

from spaces.knobs import Float

SPACE = {"model.complexity": Float(low=1e-6, high=1e-2, log=True)}

FIRST = ({"model.complexity": 1e-3},)
