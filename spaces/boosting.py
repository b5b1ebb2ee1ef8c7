"""What may be searched for gradient-boosted trees."""

from spaces.knobs import Float, Int

SPACE = {
    "optim.learning_rate": Float(low=0.02, high=0.3, log=True),
    "model.depth": Int(low=1, high=6),
    "model.leaf_clips": Int(low=1, high=30, log=True),
    "model.clip_share": Float(low=0.3, high=1.0),
    "model.value_share": Float(low=0.005, high=0.2, log=True),
}

FIRST = (
    {
        "optim.learning_rate": 0.1,
        "model.depth": 3,
        "model.leaf_clips": 5,
        "model.clip_share": 0.5,
        "model.value_share": 0.02,
    },
)
