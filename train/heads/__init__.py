"""Heads of the field, one module each: equal to the published code for the same weights and features.

They keep the parameter names of the published code, and take embeddings as the encoder gave them, not normalised,
where it does. A head is added by one module and one entry:

1. `heads/NAME.py` holds a `Scorer` (`scorer.py` says what comes in and goes out) and its builder:

       class Mine(Scorer):
           def encode_videos(self, frames, mask, dropout=None):    # (N, T, D), (N, T) -> (S, N, …), once a video
               …
           def compare(self, texts, videos, mask, dropout=None):   # (S, M, D), (S, N, …) -> (S, M, N), in logit units
               …

       def build(architecture: Architecture, shape: FeatureShape) -> Mine:
           return Mine(**text_side(architecture, shape, text_head="none"))

   A head without parameters that compares in its own way gives `encode_videos` and `compare`; one that compares by
   cosine needs no `compare`; one that changes texts gives `encode_texts`. Work for every pair belongs into `compare`,
   a block of texts at a time.
2. `names.MODELS` gets `"mine": ModelFacts(".heads.mine:build", …)`, which says what the trainer must know before the
   head is built. `--model`, `--help`, grids, evaluation and search know it from then on.

A setting that only some heads read is a field of `TrainConfig` and of `Architecture`, its name in `names.ARCHITECTURE`
and in the `reads` of the heads that read it. What a head takes besides a sentence's embedding (each word's, say) is a
field of `ModelFacts` that asks for it, loaded by `data.load_features` only where it is asked for, and handed to
`encode_texts` by `Features.texts_of`: the one place where texts come from in training, validation and evaluation.

A head of another package needs no change here. Where the package is installed, an entry point makes it known to every
command, sweeps and their processes too:

    [project.entry-points."camoe.models"]
    mine = "their_package.models:MINE"    # MINE = ModelFacts("their_package.mine:build")

In a script, `register_model("mine", ModelFacts("their_module:build"))` of `camoe.train` does so until Python ends.
"""
