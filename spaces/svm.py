"""What may be searched for the linear support vector machine."""

from spaces.knobs import Float

SPACE = {"model.complexity": Float(low=1e-5, high=0.1, log=True)}

# On inner validation speakers of RAVDESS the best of five values on functionals, and next to the best of ten on ComParE
# 2016. Fewer values a clip want more.
FIRST = ({"model.complexity": 1e-4},)
